"""The folders follow the ledger: what happened is exported once, failures are put aside and tried again."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from django.db import connection
from pytest_django import Settings

from registry import export as export_flow
from registry import lifecycle, tasks
from registry.export import ExportBusy, Job, attempts, files, following, pointer
from registry.export.folders import Folder
from registry.models import Bookmark, Export, ExportSettings, Fleet, ModelVersion, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry import exporting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "export_dir": str(folder)}
    return folder


@pytest.fixture
def fleet(root: Path) -> Fleet:
    return exporting.fleet()


def model(fleet: Fleet, entity: str = "bread") -> RegisteredModel:
    return factories.registered_model(fleet=fleet, entity_key=entity)


def sweep(at: timedelta = timedelta(), seconds: float = 30) -> following.Swept:
    return following.sweep(at=NOW + at, seconds=seconds)


def damage(version: ModelVersion, folder: Path) -> Callable[[], None]:
    """Flip a bit of an artifact; return what puts it right again."""
    file = folder / "artifacts" / version.artifact_digest[:2] / version.artifact_digest
    whole = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    def repair() -> None:
        file.write_bytes(whole)

    return repair


@pytest.mark.requirement("R07", "R14")
def test_what_happens_is_exported_and_nothing_twice(fleet: Fleet, root: Path) -> None:
    bread = model(fleet)
    sweep()
    first = exporting.promoted(bread)
    assert (sweep().exported, sweep().exported) == (1, 0)
    assert exporting.read(root / "acme/bakery/bread")["version"] == first.label
    second = exporting.promoted(bread, number=2, at=NOW + timedelta(days=1))
    assert sweep().exported == 1
    assert exporting.read(root / "acme/bakery/bread")["version"] == second.label
    lifecycle.roll_back(registered_model=bread, actor="ada", reason="drifts", at=NOW + timedelta(days=2))
    lifecycle.quarantine([first.pk], actor="audit", reason="a bit flipped", at=NOW + timedelta(days=3))
    assert sweep().exported == 1
    assert not (root / "acme/bakery/bread/production/latest").is_symlink()


def test_what_stood_before_the_export_began_is_exported_too(fleet: Fleet, root: Path) -> None:
    fleet.export = ExportSettings()
    fleet.save()
    versions = [exporting.promoted(model(fleet, entity)) for entity in ("bread", "cake", "roll")]
    assert sweep().exported == 0
    fleet.export = ExportSettings(enabled=True)
    fleet.save()
    assert sweep().exported == 3
    for version in versions:
        exporting.read(root / "acme/bakery" / version.registered_model.entity_key)
    fleet.export = ExportSettings(enabled=True, metadata=("version",))
    fleet.save()
    assert (sweep().exported, sweep().exported) == (3, 0)


def test_a_sweep_stops_in_time_and_the_next_goes_on(fleet: Fleet, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep()
    for number in range(6):
        exporting.promoted(model(fleet, f"m{number}"))
    spent = iter(range(1000))
    monkeypatch.setattr(following, "time", SimpleNamespace(monotonic=lambda: next(spent) / 2))
    assert 0 < sweep(seconds=2).exported < 6
    counts = [sweep(seconds=2).exported for _ in range(8)]
    assert counts[0] and not counts[-1]
    assert Export.objects.filter(version__isnull=False).count() == 6


@pytest.mark.parametrize(("seconds", "counts"), [(10, (6, 2, 2)), (0, (1, 1, 1))])
def test_however_much_happens_what_failed_and_what_is_old_get_on_too(
    fleet: Fleet, root: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, counts: tuple[int, ...]
) -> None:
    other = factories.fleet(name="old")
    old = [exporting.version(model(other, f"old-{number}")).registered_model for number in range(8)]
    sweep()
    Fleet.objects.filter(pk=other.pk).update(export=ExportSettings(enabled=True))
    failed = [model(fleet, f"failed-{number}") for number in range(8)]
    for each in failed:
        export_flow.note_failure(each.pk, code="export_failed", sentence="No room.", at=NOW - timedelta(hours=1))
    busy = [exporting.version(model(fleet, f"busy-{number}")).registered_model for number in range(8)]
    done: list[int] = []
    attempt = attempts.attempt

    def counted(model_id: int, job: Job) -> attempts.Outcome:
        done.append(model_id)
        return attempt(model_id, job)

    # Each takes a second.
    monkeypatch.setattr(attempts, "attempt", counted)
    monkeypatch.setattr(following, "time", SimpleNamespace(monotonic=lambda: len(done)))
    sweep(seconds=seconds)
    assert tuple(sum(each.pk in done for each in group) for group in (busy, failed, old)) == counts


@pytest.mark.requirement("R07")
@pytest.mark.parametrize("fault", ["other version", "no folder", "nonsense", "a folder"])
def test_a_pointer_that_is_not_the_registrys_is_found_and_written_again(
    fleet: Fleet, root: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    bread, cake = model(fleet), model(fleet, "cake")
    exporting.promoted(bread)
    exporting.promoted(cake, number=7)
    sweep()
    folder = root / "acme/bakery/bread"
    before = (folder / "current.json").read_bytes()
    second = exporting.promoted(bread, number=2, at=NOW + timedelta(days=1))
    assert sweep().exported == 1
    if fault == "no folder":
        shutil.rmtree(folder / second.label)
    elif fault == "a folder":
        (folder / "current.json").unlink()
        (folder / "current.json").mkdir()
    else:
        (folder / "current.json").write_bytes(before if fault == "other version" else b"[]")
    assert sweep(timedelta(seconds=30)).exported == 0, "only now and then"
    with caplog.at_level("WARNING"):
        done = sweep(timedelta(minutes=2))
    assert "export_differed" in {getattr(each, "code", "") for each in caplog.records}
    if fault == "a folder":
        assert (done.failed, Export.objects.get(pk=bread.pk).code) == (1, "export_failed")
        return
    assert (done.exported, done.failed) == (1, 0)
    assert exporting.read(folder)["version"] == second.label


def test_pointers_are_compared_some_at_a_time(fleet: Fleet, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for entity in ("bread", "cake", "roll"):
        exporting.promoted(model(fleet, entity))
    sweep()
    for file in root.glob("acme/bakery/*/current.json"):
        file.write_text("{}")
    monkeypatch.setattr(following, "POINTERS_AT_ONCE", 2)
    assert [sweep(timedelta(minutes=minutes)).exported for minutes in (2, 2, 2, 4)] == [2, 1, 0, 0]
    for entity in ("bread", "cake", "roll"):
        exporting.read(root / "acme/bakery" / entity)


def test_a_failure_that_nobody_foresaw_is_told_and_holds_up_no_other(
    fleet: Fleet, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = (exporting.promoted(model(fleet, entity)).registered_model for entity in ("bread", "cake"))
    contents = files.contents

    def sometimes(version: ModelVersion) -> dict[str, bytes]:
        if version.registered_model_id == bad.pk:
            raise KeyError("column")
        return contents(version)

    monkeypatch.setattr(files, "contents", sometimes)
    done = sweep()
    assert (done.exported, done.failed) == (1, 1)
    row = Export.objects.get(pk=bad.pk)
    assert (row.code, row.failures) == ("internal_error", 1) and "KeyError: 'column'" in row.sentence
    assert row.due_at is not None and row.due_at > NOW
    assert [each.exc_info is not None for each in caplog.records if getattr(each, "code", "") == row.code] == [True]
    exporting.read(root / "acme/bakery" / good.entity_key)


def test_a_fleet_that_does_not_ask_for_it_is_left_alone(fleet: Fleet, root: Path) -> None:
    exporting.promoted(factories.registered_model())
    sweep()
    exporting.promoted(factories.registered_model())
    assert sweep().exported == 0
    assert not (root / "acme").exists()


@pytest.mark.requirement("R22")
def test_a_damaged_artifact_is_reported_and_holds_up_no_other(
    fleet: Fleet, root: Path, artifact_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep()
    bad, good = (exporting.promoted(model(fleet, entity), number=number) for number, entity in enumerate(("a", "b")))
    repair = damage(bad, artifact_folder)
    with caplog.at_level("WARNING"):
        done = sweep()
    assert (done.exported, done.failed) == (1, 1)
    exporting.read(root / "acme/bakery/b")
    row = Export.objects.get(pk=bad.registered_model_id)
    assert (row.code, row.failures, row.version) == ("artifact_corrupted", 1, None)
    assert str(bad.pk) in row.sentence and "artifact_corrupted" in {
        getattr(each, "code", "") for each in caplog.records
    }
    assert sweep().failed == 0, "not before it is due"
    assert sweep(timedelta(minutes=1)).failed == 1
    row.refresh_from_db()
    assert row.failures == 2 and row.due_at is not None and row.due_at > NOW + timedelta(minutes=1)
    repair()
    assert sweep(timedelta(minutes=20)).exported == 1
    row.refresh_from_db()
    assert (row.code, row.failures, row.version_id) == ("", 0, bad.pk)
    assert good.pk == Export.objects.get(pk=good.registered_model_id).version_id


@pytest.mark.requirement("R07")
def test_a_writer_that_was_overtaken_does_not_turn_the_pointer_back(
    fleet: Fleet, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bread = model(fleet)
    first = exporting.promoted(bread)
    second = exporting.version(bread, number=2)
    job = Job(root=root, at=NOW)
    ensure = export_flow._ensure

    def overtaken(folder: Folder, version: ModelVersion, *, is_examined: bool) -> None:
        monkeypatch.setattr(export_flow, "_ensure", ensure)
        exporting.promote(bread, second, at=NOW + timedelta(days=1))
        export_flow.export(bread.pk, job)
        ensure(folder, version, is_examined=is_examined)

    monkeypatch.setattr(export_flow, "_ensure", overtaken)
    done = export_flow.export(bread.pk, job)
    assert exporting.read(root / "acme/bakery/bread")["version"] == second.label
    assert (done.version, Export.objects.get().version_id) == (second, second.pk)
    assert first.label in {path.name for path in (root / "acme/bakery/bread").iterdir()}


def test_the_pointers_of_one_model_are_written_by_one_at_a_time(fleet: Fleet, root: Path) -> None:
    bread = model(fleet)
    exporting.promoted(bread)
    held, released = threading.Event(), threading.Event()

    def hold() -> None:
        with pointer.locked(bread.pk):
            held.set()
            released.wait(30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    try:
        with pytest.raises(ExportBusy):
            export_flow.export(bread.pk, Job(root=root, at=NOW))
        assert not (root / "acme/bakery/bread/current.json").exists()
        exporting.promoted(model(fleet, "cake"))
        done = sweep()
        assert (done.exported, done.failed, Export.objects.get(pk=bread.pk).code) == (1, 1, "export_busy")
    finally:
        released.set()
        thread.join(30)
        connection.close()
    export_flow.export(bread.pk, Job(root=root, at=NOW))
    exporting.read(root / "acme/bakery/bread")


def test_an_unknown_field_is_told(root: Path) -> None:
    fleet = exporting.fleet(metadata=("version", "colour"))
    exporting.promoted(model(fleet))
    assert sweep().failed == 1
    assert "'colour'" in Export.objects.get().sentence


def test_switched_off_and_on_again_it_starts_anew(fleet: Fleet, root: Path) -> None:
    sweep()
    exporting.promoted(model(fleet))
    for enabled, exported in ((False, 0), (True, 1)):
        fleet.export = ExportSettings(enabled=enabled)
        fleet.save()
        assert sweep().exported == exported
    assert Bookmark.objects.filter(name__startswith=following.BOOKMARK).count() == 2


def test_the_task_does_it_and_an_emptied_redis_changes_nothing(
    fleet: Fleet, root: Path, redis_server: redis.Redis
) -> None:
    exporting.promoted(model(fleet))
    tasks.export_versions()
    redis_server.flushall()
    second = exporting.promoted(RegisteredModel.objects.get(), number=2, at=NOW + timedelta(days=1))
    tasks.export_versions()
    assert exporting.read(root / "acme/bakery/bread")["version"] == second.label
