"""The hourly and the daily sweep: bounded in time, going on where they were, harmless twice, and with a switch."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from pytest_django import Settings

from config.schedule import sweeps
from registry import ownership, retention, tasks, ticks, timestamps
from registry.models import ModelVersion, Tick
from registry.retention import backups, orphans, removal, selection, sweeping
from tests.factories import NOW
from tests.registry import kept
from training.conf import TrainingConf

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R17")]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    now: list[Any] = [NOW]
    monkeypatch.setattr(timestamps, "utc_now", lambda: now[0])
    return now


def states() -> list[str]:
    return list(ModelVersion.objects.order_by("number").values_list("state", flat=True))


def test_the_hourly_ticks_mark_and_sweep(clock: list[Any], artifact_folder: Path) -> None:
    kept.model()
    kept.age(artifact_folder)
    tasks.mark()
    tasks.sweep()
    assert states() == ["archived", "archived", "ready"]
    clock[0] = kept.SWEPT
    tasks.mark(from_a_newer_sender=True)
    tasks.sweep(from_a_newer_sender=True)
    assert states() == ["deleted", "deleted", "ready"]
    assert set(Tick.objects.filter(at=kept.SWEPT).values_list("name", flat=True)) == {"retention", "retention-sweep"}


def test_a_tick_ends_in_time_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(selection, "MODELS_AT_ONCE", 1)
    monkeypatch.setattr(retention, "MARKED_AT_ONCE", 1)
    fleet = kept.fleet()
    for _ in range(2):
        kept.model(owner=fleet)
    seen = []
    for _ in range(7):  # two versions and an end for each model, then the round is over
        tasks.mark()
        seen.append(ModelVersion.objects.filter(state="archived").count())
    assert seen[:2] == [1, 2]
    assert max(seen) == 4
    assert ticks.reached("retention") == 0


def test_a_second_worker_finds_the_lease_held_and_does_nothing(settings: Settings, redis_server: redis.Redis) -> None:
    from registry import locks

    kept.model()
    with locks.lease("sweep:retention-mark", seconds=30) as lease:
        assert lease.held
        tasks.mark()
    assert states() == ["ready"] * 3


@pytest.mark.parametrize("column", ["artifact_key_id", "artifact_signature"])
def test_what_can_be_copied_nowhere_does_not_keep_the_others_waiting(
    column: str,
    clock: list[Any],
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": (tmp_path / "second").as_uri()}
    monkeypatch.setattr(tasks, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(sweeping, "COPIED_AT_ONCE", 2)
    monkeypatch.setattr(backups, "COPIED_AT_ONCE", 1)
    _, versions = kept.model(versions=6)
    kept.archive(versions[:5])
    ModelVersion.objects.filter(pk__in=[each.pk for each in versions[:3]]).update(**{column: "gone"})
    clock[0] = kept.SWEPT
    for _ in range(3):
        tasks.sweep()
    assert states() == ["archived"] * 5 + ["ready"], "one in each tick, of those that wait longest"
    for _ in range(2):
        tasks.sweep()
    assert states() == ["archived"] * 3 + ["deleted"] * 2 + ["ready"]
    assert caplog.text.count("retention left 1 due version: sign") == 3


def test_a_tick_tells_once_how_many_it_had_to_leave(
    clock: list[Any], settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": (tmp_path / "second").as_uri()}
    _, versions = kept.model(versions=4)
    kept.archive(versions[:3])
    ModelVersion.objects.filter(pk__in=[each.pk for each in versions[:2]]).update(artifact_key_id="gone")
    clock[0] = kept.SWEPT
    tasks.sweep()
    told = [each.getMessage() for each in caplog.records if each.levelname in {"WARNING", "ERROR"}]
    assert len(told) == 1 and "left 2 due versions: signing_key_unknown" in told[0]


def test_a_round_of_the_sweep_begins_every_hour_and_what_is_left_of_one_goes_on_at_once(
    clock: list[Any], artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SWEPT_AT_ONCE", 1)
    _, versions = kept.model(versions=4)
    kept.archive(versions[:2])
    clock[0] = kept.SWEPT
    monkeypatch.setattr(tasks, "TICK_SECONDS", -1.0)
    tasks.sweep()
    assert states().count("deleted") == 1
    clock[0] += timedelta(minutes=5)
    monkeypatch.setattr(tasks, "TICK_SECONDS", 60.0)
    tasks.sweep()
    assert states().count("deleted") == 2
    kept.archive(versions[2:3])
    clock[0] += timedelta(minutes=55)
    tasks.sweep()
    assert states().count("deleted") == 2
    clock[0] += timedelta(minutes=5)
    tasks.sweep()
    assert states().count("deleted") == 3
    assert sweeps(TrainingConf())["retention-sweep"].every == 300


def test_two_sweeps_at_once_forget_each_version_once(artifact_folder: Path) -> None:
    _, versions = kept.model()
    kept.archive(versions[:2])
    kept.age(artifact_folder)
    first = sweeping.sweep(actor="retention", at=kept.SWEPT)
    second = sweeping.sweep(actor="retention", at=kept.SWEPT)
    done = [each for step in (*first, *second) for each in step.versions]
    assert sorted(done) == sorted(each.pk for each in versions[:2])


def test_switched_off_nothing_is_marked_and_the_tick_is_noted(settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "retention_enabled": False}
    kept.model()
    for tick in (tasks.mark, tasks.sweep, tasks.sweep_orphans, tasks.sweep_temporary):
        tick()
    assert states() == ["ready"] * 3
    names = {"retention", "retention-sweep", "orphans", "temporary"}
    assert set(Tick.objects.values_list("name", flat=True)) == names


def test_the_daily_tick_removes_what_is_nobodys_and_names_what_is_missing(
    clock: list[Any], artifact_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, versions = kept.model()
    stray = kept.path(artifact_folder, "ab" + "0" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x")
    kept.age(artifact_folder)
    kept.path(artifact_folder, versions[0].artifact_digest).unlink()
    clock[0] = kept.SWEPT
    tasks.sweep_orphans()
    assert kept.files(artifact_folder) == {versions[1].artifact_digest, versions[2].artifact_digest}
    assert "no object in the store for 1 version:" in caplog.text
    assert states() == ["ready"] * 3


def test_the_daily_tick_touches_no_store_that_looks_like_anothers(
    clock: list[Any], artifact_folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "FEW", 0)
    kept.model()
    kept.age(artifact_folder)
    ModelVersion.objects.update(state="deleted")
    clock[0] = kept.SWEPT
    tasks.sweep_orphans()
    assert len(kept.files(artifact_folder)) == 3
    assert "nobody's here" in caplog.text


def test_the_daily_tick_goes_on_where_time_ended_it(clock: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TICK_SECONDS", -1.0)
    for expected in (1, 2, 3):
        tasks.sweep_orphans()
        assert ticks.reached("orphans") == expected


@pytest.mark.django_db(transaction=True)
def test_a_fleet_with_a_policy_that_cannot_be_read_keeps_neither_the_others_nor_the_sweep_waiting(
    clock: list[Any], artifact_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, broken, last = (kept.fleet(name=name) for name in ("a", "b", "c"))
    for fleet in (first, broken, last):
        kept.model(owner=fleet, versions=2)
    with connection.cursor() as cursor:
        cursor.execute("""UPDATE registry_fleet SET retention = '{"keep": "many"}' WHERE name = 'b'""")
    tasks.mark()
    archived = ModelVersion.objects.filter(state="archived").values_list("registered_model__fleet", flat=True)
    assert set(archived) == {first.pk, last.pk}
    assert f"fleet {broken.pk} could not be marked" in caplog.text
    clock[0] = kept.SWEPT
    tasks.sweep()
    assert ModelVersion.objects.filter(state="deleted").count() == 2


def test_the_next_tick_goes_on_in_the_fleet_where_this_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TICK_SECONDS", -1.0)
    fleets = [kept.fleet() for _ in range(3)]
    for fleet in fleets:
        kept.model(owner=fleet, versions=2)
    seen: list[list[int]] = []
    while not seen or ticks.reached("retention-fleet"):
        tasks.mark()
        rows = ModelVersion.objects.filter(state="archived").order_by("registered_model__fleet")
        seen.append(list(rows.values_list("registered_model__fleet", flat=True)))
        assert len(seen) < 20
    assert seen[0] == [fleets[0].pk] and seen[-1] == [each.pk for each in fleets]


def test_a_folder_that_there_was_no_time_to_clean_is_the_first_of_the_next_tick(
    clock: list[Any], artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(removal, "REMOVED_AT_ONCE", 1)
    strays = [kept.path(artifact_folder, f"00{number:062x}") for number in range(3)]
    for path in strays:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    kept.age(artifact_folder)
    ownership.claim("artifacts")
    clock[0] = kept.SWEPT
    seen = []
    for _ in range(3):
        tasks.sweep_orphans()
        seen.append((sum(path.exists() for path in strays), ticks.reached("orphans")))
    assert seen == [(2, 0), (1, 0), (0, 1)]


def test_half_written_files_go_folder_by_folder_and_the_next_tick_goes_on(
    clock: list[Any], artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "TICK_SECONDS", -1.0)
    names = [f"artifacts/{fan}/.{fan}{'0' * 62}.{'1' * 16}.tmp" for fan in ("0a", "ff")]
    names.append(f"snapshots/3/.{'0' * 64}.parquet.{'1' * 16}.tmp")
    for name in names:
        (artifact_folder / name).parent.mkdir(parents=True)
        (artifact_folder / name).write_bytes(b"x")
    kept.age(artifact_folder)
    clock[0] = kept.SWEPT
    seen = []
    for _ in range(3):
        tasks.sweep_temporary()
        seen.append((sum((artifact_folder / name).exists() for name in names), ticks.reached("temporary")))
    assert seen == [(2, 1), (1, 2), (0, 0)]
