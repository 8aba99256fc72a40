"""What somebody put into an exported folder is written over: never believed, followed, waited for or read for ever."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import export as export_flow
from registry.export import Job, files, folders
from registry.models import ModelVersion, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry import exporting

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(60)]


@pytest.fixture
def made() -> ModelVersion:
    model = factories.registered_model(fleet=exporting.fleet(), entity_key="bread")
    return exporting.promoted(model)


def export(model: RegisteredModel, root: Path, *, is_thorough: bool = True) -> Path:
    return export_flow.export(model.pk, Job(root=root, at=NOW, is_thorough=is_thorough)).folder


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """A list of files in which something is another."""

    def applied(before: bytes) -> bytes:
        listed = json.loads(before)
        change(listed)
        return json.dumps(listed).encode()

    return applied


# From the folder of a version to beside the root.
SECRET = "../../../../../secret"
LISTS: dict[str, Callable[[bytes], bytes]] = {
    "no digest": changed(lambda listed: listed.pop("digest")),
    "no format": changed(lambda listed: listed.pop("format")),
    "format is a number": changed(lambda listed: listed.update(format=1)),
    "another format": changed(lambda listed: listed.update(format="arima-npz-1")),
    "no files": changed(lambda listed: listed.update(files=None)),
    "files as a list": changed(lambda listed: listed.update(files=list(listed["files"]))),
    "one file less": changed(lambda listed: listed["files"].pop("context.csv")),
    "a path": changed(lambda listed: listed["files"].update({SECRET: hashlib.sha256(b"secret").hexdigest()})),
    "a digest that is none": changed(lambda listed: listed["files"].update({"context.csv": None})),
    "deeper than anybody reads": lambda _: b"[" * 200_000,
    "no JSON": lambda _: b"\xff",
}


@pytest.mark.requirement("R21", "X01")
@pytest.mark.parametrize("is_thorough", [True, False])
@pytest.mark.parametrize("fault", LISTS)
def test_a_list_of_files_that_nobody_here_wrote_is_written_anew(
    made: ModelVersion, tmp_path: Path, fault: str, is_thorough: bool
) -> None:
    model = made.registered_model
    folder = export(model, tmp_path / "exports")
    file = folder / made.label / "files.json"
    before = file.read_bytes()
    file.write_bytes(LISTS[fault](before))
    (tmp_path / "secret").write_bytes(b"secret")
    if fault == "a digest that is none":
        (folder / made.label / "context.csv").unlink()
    export(model, tmp_path / "exports", is_thorough=is_thorough)
    assert file.read_bytes() == before
    exporting.read(folder)


@pytest.mark.requirement("R21", "X01")
@pytest.mark.parametrize("name", ["forecaster.json", "files.json", "metadata.json"])
@pytest.mark.parametrize("kind", ["a pipe", "an endless device", "a link"])
def test_what_is_no_file_is_neither_opened_nor_followed(
    made: ModelVersion, tmp_path: Path, name: str, kind: str
) -> None:
    folder = export(made.registered_model, tmp_path / "exports")
    file = folder / made.label / name
    file.unlink()
    outside = tmp_path / "outside"
    outside.write_bytes(b"{}")
    if kind == "a pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero" if kind == "an endless device" else outside)
    export(made.registered_model, tmp_path / "exports")
    assert file.is_file() and not file.is_symlink() and outside.read_bytes() == b"{}"
    exporting.read(folder)


def test_no_more_than_a_bound_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"four")
    with folders.root(tmp_path) as folder:
        assert folder.read("file", limit=4) == b"four" and folder.digest("file", limit=4)
        assert folder.read("file", limit=3) is None and folder.digest("file", limit=3) is None


def test_a_file_larger_than_any_that_is_written_is_not_read(made: ModelVersion, tmp_path: Path) -> None:
    folder = export(made.registered_model, tmp_path / "exports")
    file = folder / made.label / "forecaster.json"
    with file.open("r+b") as opened:
        opened.truncate(100 * files.largest())  # a hole, which takes no room
    export(made.registered_model, tmp_path / "exports")
    exporting.read(folder)
