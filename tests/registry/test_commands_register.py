"""`manage.py register` with many: from JSON lines or a folder, in slices, each told and refused by itself."""

from __future__ import annotations

import base64
import io
import json
import os
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from registry import errors, terminal
from registry.exchange import intake
from registry.management import registering, sending
from registry.management.commands.register import Command
from registry.models import Event, Fleet, ModelVersion
from registry.store import StoreUnavailable
from tests import factories
from tests.config.commands import Said, run
from tests.deliveries import NAIVE, forecaster, packed

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R01")]


@pytest.fixture
def fleet() -> Fleet:
    found = factories.fleet(name="bakery")
    factories.registered_model(fleet=found, entity_key="bread")
    return found


def line(entity: str, **values: Any) -> str:
    said = {"entity": entity, "format": NAIVE, "forecaster": base64.b64encode(forecaster()).decode(), **values}
    return json.dumps(said)


def written(folder: Path, *rows: str) -> Path:
    path = folder / "versions.ndjson"
    path.write_text("\n".join(rows) + "\n")
    return path


def register(*args: object) -> Said:
    return run("register", "bakery", *args)


def test_lines_are_registered_and_each_is_told(fleet: Fleet, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        line("bread", note="one"),
        "",
        line("rye"),
        "no json",
        json.dumps({"entity": "bread", "forecaster": "?"}),
        line("bread", format="pickle"),
        line("bread", tags=["pilot"]),
    )
    said = register("--lines", path, "--json")
    found = json.loads(said.text)
    assert said.status == 1
    assert (found["registered"], found["refused"]) == (2, 4)
    told = [(each["line"], each.get("entity"), each.get("code"), each.get("number")) for each in found["results"]]
    assert told == [
        (1, "bread", None, 1),
        (3, "rye", "model_unknown", None),
        (4, None, "invalid", None),
        (5, None, "invalid", None),
        (6, "bread", "format_not_trusted", None),
        (7, "bread", None, 2),
    ]
    assert all(each["next_step"] for each in found["results"] if "code" in each)
    versions = ModelVersion.objects.order_by("number")
    assert [(each.state, each.note, each.tags) for each in versions] == [
        ("pending", "one", []),
        ("pending", "", ["pilot"]),
    ]
    assert set(Event.objects.filter(to_version__in=versions).values_list("cause", flat=True)) == {"registration"}


def test_all_that_are_sound_end_with_success_and_are_enrolled_where_that_is_asked(fleet: Fleet, tmp_path: Path) -> None:
    path = written(tmp_path, line("rye"), line("bread"), line("rye"))
    said = register("--lines", path, "--create")
    assert said.status == 0
    assert "3 registered, 0 refused" in said.text
    assert "manage.py inspect" in said.text
    assert ModelVersion.objects.filter(registered_model__entity_key="rye").count() == 2


def test_a_folder_of_bundles_says_the_entities_by_its_names(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "bread").mkdir()
    for name in ("bread.bundle", "bread/2026.bundle", "rye.bundle", "notes.txt"):
        (tmp_path / name).write_bytes(packed())
    (tmp_path / "bread" / "broken.bundle").write_bytes(b"broken")
    said = register("--folder", tmp_path, "--json")
    found = json.loads(said.text)
    told = {each["file"]: each.get("code", each.get("state")) for each in found["results"]}
    assert told == {
        "bread.bundle": "pending",
        str(Path("bread") / "2026.bundle"): "pending",
        str(Path("bread") / "broken.bundle"): "bundle_invalid",
        "rye.bundle": "model_unknown",
    }
    assert (said.status, found["registered"], found["refused"]) == (1, 2, 2)


@pytest.mark.parametrize("name", ["..bundle", "...bundle", "-x.bundle", "a b.bundle"])
def test_a_name_that_is_no_entity_is_refused(fleet: Fleet, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(packed())
    said = register("--folder", tmp_path, "--create", "--json")
    assert (said.status, json.loads(said.text)["registered"]) == (1, 0)


def test_slices_follow_each_other_and_hold_few_at_a_time(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    store = intake.store

    def counted(*args: Any, **values: Any) -> Any:
        found = store(*args, **values)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(registering, "SLICE", 2)
    monkeypatch.setattr(intake, "store", counted)
    said = register("--lines", written(tmp_path, *(line("bread") for _ in range(5))), "--json")
    assert sizes == [2, 2, 1, 0]
    assert [each["number"] for each in json.loads(said.text)["results"]] == [1, 2, 3, 4, 5]


def test_lines_are_read_when_their_turn_comes() -> None:
    read: list[int] = []

    class Watched:
        def readline(self, most: int) -> bytes:
            read.append(most)
            return line("bread").encode() + b"\n"

    sent = sending.lines(Watched())  # type: ignore[arg-type]
    assert read == []
    assert next(sent).origin.entity == "bread"
    assert len(read) == 1


def test_what_ended_half_way_has_told_what_is_registered(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = intake.store
    calls: list[int] = []

    def broken(*args: Any, **values: Any) -> Sequence[Any]:
        calls.append(1)
        if len(calls) > 1:
            raise StoreUnavailable("The store is away.")
        return store(*args, **values)

    monkeypatch.setattr(registering, "SLICE", 2)
    monkeypatch.setattr(intake, "store", broken)
    said = register("--lines", written(tmp_path, *(line("bread") for _ in range(5))))
    assert said.status == 1
    assert "2 registered, 0 refused" in said.text
    assert "The store is away" in said.text
    assert ModelVersion.objects.count() == 2


def test_a_line_that_is_too_long_is_refused_and_the_next_is_read(
    fleet: Fleet, tmp_path: Path, settings: Settings
) -> None:
    sound = line("bread")
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "bulk_body_bytes": len(sound) + 10}
    said = register("--lines", written(tmp_path, "x" * 5000, sound), "--json")
    found = json.loads(said.text)["results"]
    assert [(each["line"], each.get("code")) for each in found] == [(1, "invalid"), (2, None)]


@pytest.mark.parametrize(
    ("args", "status", "told"),
    [
        (["bread", "--lines", "{path}"], 2, "an entity is said of one version"),
        (["--lines", "{path}", "--note", "x", "--format", "y"], 2, "--format and --note"),
        (["--lines", "missing.ndjson"], 2, "cannot be read"),
        (["--folder", "missing"], 2, "is no folder"),
        (["--bundle", "{path}"], 2, "Name the entity"),
        (["--lines", "{path}"], 3, "0 registered"),
    ],
)
def test_what_cannot_be_meant_is_refused(fleet: Fleet, tmp_path: Path, args: list[str], status: int, told: str) -> None:
    path = written(tmp_path, "")
    said = register(*(each.format(path=path) for each in args))
    assert (said.status, told in " ".join(said.text.split())) == (status, True), said.text


def test_an_error_of_the_registry_keeps_its_code() -> None:
    assert registering._plain(errors.Invalid("It is.", next_step="Mend it.")) == {
        "code": "invalid",
        "detail": "It is.",
        "next_step": "Mend it.",
    }


def test_what_is_no_file_is_refused_at_once_and_the_others_go_in(fleet: Fleet, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "rolls").mkdir(parents=True)
    (elsewhere / "rolls" / "one.bundle").write_bytes(packed())
    folder = tmp_path / "folder"
    (folder / "cake.bundle").mkdir(parents=True)
    (folder / "bread.bundle").write_bytes(packed())
    os.mkfifo(folder / "pipe.bundle")
    (folder / "zero.bundle").symlink_to("/dev/zero")
    (folder / "link.bundle").symlink_to(folder / "bread.bundle")
    (folder / "rolls").symlink_to(elsewhere / "rolls")
    said = register("--folder", folder, "--create", "--json")
    told = {each["file"]: each.get("detail", each.get("state")) for each in json.loads(said.text)["results"]}
    assert told.pop("bread.bundle") == "pending"
    assert {name: detail.split(" is ")[1].split(";")[0] for name, detail in told.items()} == {
        "cake.bundle": "no file.",
        "pipe.bundle": "no file.",
        "zero.bundle": "a link",
        "link.bundle": "a link",
        "rolls/one.bundle": "a link",
    }
    assert ModelVersion.objects.count() == 1


@pytest.mark.parametrize("option", ["--bundle", "--forecaster"])
def test_a_person_may_name_a_link_but_neither_a_pipe_nor_a_device(fleet: Fleet, tmp_path: Path, option: str) -> None:
    pipe, endless = tmp_path / "pipe", tmp_path / "endless"
    os.mkfifo(pipe)
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless):
        said = register("bread", option, path)
        assert (said.status, said.text) == (2, f"{path} is no file.")
    (tmp_path / "bread.bundle").write_bytes(packed())
    named = tmp_path / "named"
    named.symlink_to(tmp_path / "bread.bundle")
    assert register("bread", "--bundle", named).status == 0


def test_a_file_beyond_the_limit_is_refused_before_it_is_whole_in_memory(
    fleet: Fleet, tmp_path: Path, settings: Settings
) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "max_artifact_bytes": 1024**2}
    with (tmp_path / "large").open("wb") as large:
        large.truncate(64 * 1024**2)
    tracemalloc.start()
    said = register("bread", "--bundle", tmp_path / "large")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (said.status, "more than 1048576 bytes" in said.text) == (2, True)
    assert most < 16 * 1024**2


@pytest.mark.parametrize("as_json", [True, False])
def test_any_file_name_is_told_and_none_commands_the_terminal(fleet: Fleet, tmp_path: Path, as_json: bool) -> None:
    (tmp_path / "bread.bundle").write_bytes(packed())
    for name in (b"caf\xe9.bundle", b"red\x1b[31m.bundle", b"two\nlines.bundle"):
        (tmp_path / os.fsdecode(name)).write_bytes(packed())
    said = register("--folder", tmp_path, *(["--json"] if as_json else []))
    said.text.encode()
    assert said.status == 1
    assert "\x1b" not in said.text
    assert ModelVersion.objects.count() == 1
    if as_json:
        assert {each["file"] for each in said.json["results"]} >= {"caf\udce9.bundle", "red\x1b[31m.bundle"}
    else:
        assert all(name in said.text for name in (r"caf\udce9.bundle", r"red\x1b[31m.bundle", r"two\nlines.bundle"))
        assert "1 registered, 3 refused" in said.text


def test_what_comes_slowly_is_registered_before_a_slice_is_full(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "SLICE_SECONDS", 0.0)
    path = written(tmp_path, *(line("bread") for _ in range(3)))
    sent = sending.lines(io.BytesIO(path.read_bytes()))
    slices = [len(registering._slice(fleet, sent, create=False)) for _ in range(4)]
    assert slices == [1, 1, 1, 0]
    assert ModelVersion.objects.count() == 3


def test_a_sentence_commands_no_terminal_either(fleet: Fleet) -> None:
    command = register_command()
    said = register("bread", "--bundle", "red\x1b[31m")
    assert (said.status, said.text) == (2, "red\\x1b[31m cannot be read: No such file or directory.")
    command.say("red\x1b[31m\u202e and\nwhite")
    command.warn("blue\x1b[34m")
    told = command.stdout._out.getvalue(), command.stderr._out.getvalue()  # type: ignore[attr-defined]
    assert told == ("red\\x1b[31m\\u202e and\nwhite\n", "blue\\x1b[34m\n")


def register_command() -> terminal.Command:
    return Command(stdout=io.StringIO(), stderr=io.StringIO(), no_color=True)
