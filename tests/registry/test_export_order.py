"""What a sweep does first, what it leaves be, and where it ends: a promotion waits behind no crowd and no outage."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from registry import holding, lifecycle
from registry.bulk import tagging
from registry.export import Job, attempts, files, following, pending
from registry.models import Export, Fleet, Hold, ModelVersion, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry import exporting

pytestmark = pytest.mark.django_db(transaction=True)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "export_dir": str(folder)}
    return folder


@pytest.fixture
def fleet(root: Path) -> Fleet:
    return exporting.fleet()


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The models that sweeps export, in their order."""
    done: list[int] = []
    attempt = attempts.attempt

    def told(model_id: int, job: Job) -> attempts.Outcome:
        done.append(model_id)
        return attempt(model_id, job)

    monkeypatch.setattr(attempts, "attempt", told)
    return done


def model(fleet: Fleet, entity: str = "bread") -> RegisteredModel:
    return factories.registered_model(fleet=fleet, entity_key=entity)


def sweep(at: timedelta = timedelta()) -> following.Swept:
    return following.sweep(at=NOW + at, seconds=30)


def tag(*versions: ModelVersion, name: str = "seen") -> None:
    tagging.tag_versions([each.pk for each in versions], tagging.Order(add=(name,)), actor="ada", at=NOW + HOUR)


@pytest.mark.requirement("R07")
def test_who_is_to_use_another_version_comes_before_any_number_of_tags(
    fleet: Fleet, root: Path, carried_out: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = [exporting.promoted(model(fleet, f"m{number}")) for number in range(5)]
    bread = exporting.promoted(model(fleet)).registered_model
    served = exporting.promoted(model(fleet, "cake"))
    cake = served.registered_model
    sweep()
    carried_out.clear()
    monkeypatch.setattr(following, "EVENTS_AT_ONCE", 2)
    tag(*crowd)
    exporting.promoted(bread, number=2, at=NOW + HOUR)
    lifecycle.quarantine([served.pk], actor="audit", reason="a bit flipped", at=NOW + HOUR)
    sweep()
    assert carried_out[:2] == [bread.pk, cake.pk]
    assert sorted(carried_out) == sorted([bread.pk, cake.pk, *(each.registered_model_id for each in crowd)])
    carried_out.clear()
    tag(*crowd, name="again")
    assert sweep().exported == len(crowd)


def test_what_could_not_be_exported_is_not_first_for_ever(fleet: Fleet, root: Path, carried_out: list[int]) -> None:
    sweep()
    bread = exporting.promoted(model(fleet)).registered_model
    (root / "acme/bakery").mkdir(parents=True)
    (root / "acme/bakery/bread").write_text("in the way")
    cake = exporting.promoted(model(fleet, "cake")).registered_model
    done = following.sweep(at=NOW, seconds=0)
    assert (done.failed, carried_out) == (1, [bread.pk])
    following.sweep(at=NOW, seconds=0)
    assert carried_out[1] == cake.pk
    exporting.read(root / "acme/bakery/cake")


@pytest.mark.requirement("R07")
def test_only_a_pointer_that_moves_or_is_compared_has_the_files_read_again(
    fleet: Fleet, root: Path, carried_out: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    bread = model(fleet)
    first = exporting.promoted(bread)
    sweep()
    folder = root / "acme/bakery/bread"
    damaged = folder / first.label / "forecaster.json"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"other")
    link = folder / "production" / "latest"
    link.unlink()
    tag(first)
    assert sweep().exported == 1
    assert link.is_symlink(), "a killed writer may have left it out"
    assert damaged.read_bytes() == b"other"
    assert json.loads((folder / first.label / "metadata.json").read_bytes())["tags"] == ["seen"]
    second = exporting.promoted(bread, number=2, at=NOW + DAY)
    sweep()
    lifecycle.roll_back(registered_model=bread, actor="ada", reason="drifts", at=NOW + 2 * DAY)
    sweep()
    assert damaged.read_bytes() == whole
    assert exporting.read(folder)["version"] == first.label != second.label
    damaged.write_bytes(b"other")
    own = timedelta(minutes=(bread.pk - NOW.minute) % following.EXAMINED_OF)
    assert sweep(DAY + own + timedelta(minutes=1)).exported == 0, "the minute of other models"
    assert sweep(2 * DAY + own).exported == 1
    assert damaged.read_bytes() == whole
    assert "export_differed" in {getattr(each, "code", "") for each in caplog.records}


def test_what_no_file_shows_exports_nothing(fleet: Fleet, root: Path, carried_out: list[int]) -> None:
    first = exporting.promoted(model(fleet))
    other = exporting.promoted(factories.registered_model(fleet=fleet, entity_key="cake"))
    sweep()
    carried_out.clear()
    holding.place([first.pk], placed_by=Hold.PlacedBy.USER, reason="audit", until=None, actor="ada", at=NOW + HOUR)
    tagging.tag_models([first.registered_model_id], tagging.Order(add=("x",)), actor="ada", at=NOW + HOUR)
    sweep()
    assert carried_out == []
    Fleet.objects.update(export={"enabled": True, "metadata": ["version"]})
    sweep()
    carried_out.clear()
    tag(first)
    sweep()
    assert carried_out == []
    exporting.promoted(other.registered_model, number=2, at=NOW + DAY)
    assert sweep().exported == 1


@pytest.mark.requirement("R22")
@pytest.mark.parametrize("what", ["the store", "the root"])
def test_a_failure_that_concerns_all_ends_the_sweep(
    fleet: Fleet, root: Path, artifact_folder: Path, carried_out: list[int], what: str
) -> None:
    sweep()
    models = [exporting.promoted(model(fleet, entity)).registered_model for entity in ("bread", "cake", "roll")]
    lost = artifact_folder if what == "the store" else root
    away = lost.rename(lost.parent / "away") if lost.exists() else lost.parent / "away"
    lost.write_text("in the way")
    done = sweep()
    assert (done.exported, done.failed, len(carried_out)) == (0, 1, 1)
    assert sweep().failed == 1, "the next goes on with another"
    row = Export.objects.get(pk=carried_out[0])
    assert row.code.startswith("store_") if what == "the store" else row.code == "export_failed"
    lost.unlink()
    if away.exists():
        away.rename(lost)
    sweep(HOUR)
    for each in models:
        exporting.read(root / "acme/bakery" / each.entity_key)


def test_a_failure_of_one_model_ends_no_sweep(fleet: Fleet, root: Path) -> None:
    sweep()
    for entity in ("bread", "cake", "roll"):
        exporting.promoted(model(fleet, entity))
    (root / "acme/bakery").mkdir(parents=True)
    (root / "acme/bakery/bread").write_text("in the way")
    done = sweep()
    assert (done.exported, done.failed) == (2, 1)


def test_every_kind_that_shows_in_few_fields_names_fields_that_there_are() -> None:
    assert {name for shown in pending._SHOWN.values() for name in shown} <= set(files.FIELDS)
