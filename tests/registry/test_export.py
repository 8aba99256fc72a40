"""Versions as folders: complete, safe to open, named safely, and behind a pointer that never names half of one."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from registry import export as exporting_flow
from registry import lifecycle
from registry.export import ExportFailed, Job, files, folders
from registry.models import Export, ModelVersion, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry import exporting

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=3650)  # file systems have clocks of their own


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "export_dir": str(folder)}
    return folder


@pytest.fixture
def model() -> RegisteredModel:
    return factories.registered_model(fleet=exporting.fleet(), entity_key="bread")


def export(model: RegisteredModel, root: Path, **values: Any) -> Path:
    return exporting_flow.export(model.pk, Job(**{"root": root, "at": NOW, **values})).folder


@pytest.mark.requirement("R03", "R04", "R05", "R24")
def test_the_folder_of_a_version_holds_everything_in_full(model: RegisteredModel, root: Path) -> None:
    made = exporting.promoted(model)
    folder = export(model, root)
    assert folder == root.resolve() / "acme" / "bakery" / "bread"
    assert sorted(path.name for path in (folder / made.label).iterdir()) == [
        "context.csv", "feature_importance.csv", "files.json", "forecaster.json", "metadata.json",
        "test_predictions.csv", "validation_predictions.csv",
    ]  # fmt: skip
    assert (folder / made.label / "forecaster.json").read_bytes() == exporting.content(1).forecaster
    metadata = json.loads((folder / made.label / "metadata.json").read_text())
    assert list(metadata) == list(files.FIELDS)
    expected = {
        "version": made.label, "number": 1, "training_date": "2026-03-01T12:00:00+00:00",
        "data_start": "2026-01-01T00:00:00+00:00", "data_end": "2026-02-28T00:00:00+00:00",
        "metrics": {"mae": 1.5, "mape": None}, "features": ["weekday"], "hyperparameters": {"growth": "flat"},
        "deployment_status": "champion", "promoted_at": "2026-03-01T12:00:00+00:00", "extra": {"line": "A"},
        "library_versions": {"prophet": "1.5.0"},
    }  # fmt: skip
    assert {name: metadata[name] for name in expected} == expected


@pytest.mark.requirement("R24")
@pytest.mark.parametrize(("name", "count"), [("validation", exporting.ROWS), ("test", 120)])
def test_predictions_come_back_whole_and_begin_no_formula(
    model: RegisteredModel, root: Path, name: str, count: int
) -> None:
    made = exporting.promoted(model)
    text = (export(model, root) / made.label / f"{name}_predictions.csv").read_bytes().decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert [cell.removeprefix("'") for cell in header] == ["time", "yhat", "y", "=note"]
    assert len(rows) == count
    given = getattr(exporting.content(1), name).rows
    assert [float(row[1]) for row in rows] == [row[1] for row in given]
    assert [row[2] for row in rows] == ["2.25" if row[2] else "" for row in given]
    assert {row[3].removeprefix("'") for row in rows} == {"=1+1"}
    assert not [cell for row in [header, *rows] for cell in row if cell.startswith("=")]


@pytest.mark.requirement("R05", "C08")
def test_the_fleet_says_which_metadata_it_wants(root: Path) -> None:
    fleet = exporting.fleet(metadata=("version", "metrics"))
    made = exporting.promoted(factories.registered_model(fleet=fleet))
    written = (export(made.registered_model, root) / made.label / "metadata.json").read_text()
    assert json.loads(written) == {"version": made.label, "metrics": {"mae": 1.5, "mape": None}}


@pytest.mark.requirement("R07", "R08", "R14")
def test_the_pointer_follows_the_champion_forth_and_back(model: RegisteredModel, root: Path) -> None:
    first = exporting.promoted(model, number=1)
    folder = export(model, root)
    before = exporting.read(folder)
    assert (before["version"], before["number"], before["id"]) == (first.label, 1, str(first.pk))
    assert (before["digest"], before["is_champion"], before["note"]) == (first.artifact_digest, True, "")
    assert (folder / "production" / "latest").readlink() == Path("..", first.label)
    second = exporting.promoted(model, number=2, at=NOW + timedelta(days=1))
    export(model, root)
    assert exporting.read(folder)["version"] == second.label
    assert (folder / "production" / "latest" / "metadata.json").exists()
    assert (folder / "production" / "latest").resolve().name == second.label
    assert json.loads((folder / first.label / "metadata.json").read_text())["deployment_status"] == "ready"
    lifecycle.roll_back(registered_model=model, actor="ada", reason="drifts", at=NOW + timedelta(days=2))
    export(model, root)
    assert exporting.read(folder)["version"] == first.label
    assert (folder / "production" / "latest").resolve().name == first.label
    assert Export.objects.get().version_id == first.pk


def test_what_has_not_changed_is_not_written_again(model: RegisteredModel, root: Path) -> None:
    exporting.promoted(model)
    folder = export(model, root)
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    export(model, root)
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.requirement("R22")
def test_a_quarantined_champion_is_replaced_by_the_last_good_one_and_the_pointer_says_so(
    model: RegisteredModel, root: Path
) -> None:
    first = exporting.promoted(model, number=1)
    second = exporting.promoted(model, number=2, at=NOW + timedelta(days=1))
    folder = export(model, root)
    lifecycle.quarantine([second.pk], actor="audit", reason="a bit flipped", at=NOW + timedelta(days=2))
    export(model, root)
    pointer = exporting.read(folder)
    assert (pointer["version"], pointer["is_champion"]) == (first.label, False)
    assert pointer["note"] == "The champion, version 2, is quarantined; version 1 served before it."
    lifecycle.quarantine([first.pk], actor="audit", reason="so did another", at=NOW + timedelta(days=3))
    export(model, root)
    nothing = json.loads((folder / "current.json").read_text())
    assert (nothing["version"], nothing["path"], nothing["files"]) == (None, None, {})
    assert "no earlier champion is ready" in nothing["note"]
    assert not (folder / "production" / "latest").is_symlink()
    lifecycle.release([second.pk], actor="ada", reason="restored", at=NOW + timedelta(days=4))
    export(model, root)
    assert exporting.read(folder)["version"] == second.label


def test_the_newest_ready_versions_stand_beside_the_champion(root: Path) -> None:
    model = factories.registered_model(fleet=exporting.fleet(versions=2))
    first = exporting.promoted(model)
    others = [exporting.version(model, number=number) for number in (2, 3, 4)]
    folder = export(model, root)
    labels = {path.name for path in folder.iterdir()} - {"current.json", "production"}
    assert labels == {first.label, others[1].label, others[2].label}
    every = export(model, root, all_versions=True)
    assert {first.label, *(each.label for each in others)} <= {path.name for path in every.iterdir()}


@pytest.mark.requirement("R07")
def test_old_folders_go_after_the_grace_and_never_the_one_in_use(model: RegisteredModel, root: Path) -> None:
    first = exporting.promoted(model, number=1)
    folder = export(model, root)
    second = exporting.promoted(model, number=2, at=NOW + timedelta(days=1))
    done = exporting_flow.export(model.pk, Job(root=root, at=NOW))
    assert done.due_at is not None and (folder / first.label).is_dir()
    assert Export.objects.get().due_at == done.due_at
    assert exporting_flow.export(model.pk, Job(root=root, at=LATER)).due_at is None
    assert [path.name for path in folder.iterdir() if path.is_dir() and path.name != "production"] == [second.label]
    assert exporting.read(folder)["version"] == second.label
    assert Export.objects.get().due_at is None


def test_a_damaged_folder_is_written_anew(model: RegisteredModel, root: Path) -> None:
    made = exporting.promoted(model)
    folder = export(model, root)
    file = folder / made.label / "forecaster.json"
    file.write_bytes(b"other")
    (folder / made.label / "test_predictions.csv").unlink()
    export(model, root)
    assert file.read_bytes() == exporting.content(1).forecaster
    exporting.read(folder)


@pytest.mark.requirement("R21")
def test_where_links_cannot_be_made_there_is_a_copy(
    model: RegisteredModel, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(os, "symlink", refuse)
    exporting.promoted(model, number=1)
    latest = export(model, root) / "production" / "latest"
    assert not latest.is_symlink() and json.loads((latest / "forecaster.json").read_text())["number"] == 1
    exporting.promoted(model, number=2, at=NOW + timedelta(days=1))
    export(model, root)
    assert json.loads((latest / "forecaster.json").read_text())["number"] == 2
    assert json.loads((latest / "metadata.json").read_text())["deployment_status"] == "champion"
    monkeypatch.undo()
    export(model, root)
    assert latest.is_symlink()


@pytest.mark.requirement("R21", "X01")
@pytest.mark.parametrize("part", ["acme", "acme/bakery", "acme/bakery/bread", "acme/bakery/bread/{label}"])
def test_a_link_in_the_way_is_not_followed(
    model: RegisteredModel, root: Path, tmp_path: Path, part: str, request: pytest.FixtureRequest
) -> None:
    made = exporting.promoted(model)
    outside = tmp_path / "outside"
    outside.mkdir()
    way = root / part.format(label=made.label)
    way.parent.mkdir(parents=True)
    way.symlink_to(outside, target_is_directory=True)
    with pytest.raises(ExportFailed):
        export(model, root)
    assert list(outside.iterdir()) == []


@pytest.mark.requirement("R21", "X01")
def test_without_handles_the_same_holds(
    model: RegisteredModel, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "HAS_HANDLES", False)
    exporting.promoted(model, number=1)
    second = exporting.promoted(model, number=2, at=NOW + timedelta(days=1))
    folder = export(model, root)
    assert exporting.read(folder)["version"] == second.label
    exporting_flow.export(model.pk, Job(root=root, at=LATER))
    (tmp_path / "outside").mkdir()
    other = factories.registered_model(fleet=model.fleet, entity_key="cake")
    exporting.promoted(other)
    (folder.parent / "cake").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(ExportFailed):
        export(other, root)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_full_disk_is_told_and_leaves_the_pointer_where_it_was(model: RegisteredModel, root: Path) -> None:
    first = exporting.promoted(model, number=1)
    folder = export(model, root)
    exporting.promoted(model, number=2, at=NOW + timedelta(days=1))
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Writing ends after so many bytes of a file, as on a disk with no more room.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, free[1]))
    try:
        with pytest.raises(ExportFailed, match="File too large"):
            export(model, root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
    assert exporting.read(folder)["version"] == first.label
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_what_a_killed_writer_left_is_removed_later(model: RegisteredModel, root: Path) -> None:
    exporting.promoted(model)
    folder = export(model, root)
    (folder / ".0123").mkdir()
    (folder / ".0123" / "forecaster.json").write_bytes(b"half")
    export(model, root)
    assert (folder / ".0123").is_dir()
    export(model, root, at=LATER)
    assert not (folder / ".0123").exists()


def test_a_model_without_champion_has_no_pointer(model: RegisteredModel, root: Path) -> None:
    made = exporting.version(model)
    folder = export(model, root)
    assert (folder / made.label).is_dir() and not (folder / "current.json").exists()
    assert ModelVersion.objects.get().state == "ready"
