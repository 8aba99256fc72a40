"""The hourly and the daily sweep: bounded in time, going on where they were, harmless twice, and with a switch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis
from pytest_django import Settings

from registry import retention, tasks, ticks, timestamps
from registry.models import ModelVersion, Tick
from registry.retention import orphans, selection, sweeping
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R17")]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    now: list[Any] = [NOW]
    monkeypatch.setattr(timestamps, "utc_now", lambda: now[0])
    return now


def states() -> list[str]:
    return list(ModelVersion.objects.order_by("number").values_list("state", flat=True))


def test_the_hourly_tick_marks_and_sweeps(clock: list[Any], artifact_folder: Path) -> None:
    kept.model()
    kept.age(artifact_folder)
    tasks.prune()
    assert states() == ["archived", "archived", "ready"]
    clock[0] = kept.SWEPT
    tasks.prune(from_a_newer_sender=True)
    assert states() == ["deleted", "deleted", "ready"]
    assert Tick.objects.get(name="retention").at == kept.SWEPT


def test_a_tick_ends_in_time_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TICK_SECONDS", -1.0)
    monkeypatch.setattr(selection, "MODELS_AT_ONCE", 1)
    monkeypatch.setattr(retention, "MARKED_AT_ONCE", 1)
    fleet = kept.fleet()
    for _ in range(2):
        kept.model(owner=fleet)
    seen = []
    for _ in range(7):  # two versions and an end for each model, then the round is over
        tasks.prune()
        seen.append(ModelVersion.objects.filter(state="archived").count())
    assert seen[:2] == [1, 2]
    assert max(seen) == 4
    assert ticks.reached("retention") == 0


def test_a_second_worker_finds_the_lease_held_and_does_nothing(settings: Settings, redis_server: redis.Redis) -> None:
    from registry import locks

    kept.model()
    with locks.lease("sweep:retention-mark", seconds=30) as lease:
        assert lease.held
        tasks.prune()
    assert states() == ["ready"] * 3


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
    tasks.prune()
    tasks.sweep_orphans()
    assert states() == ["ready"] * 3
    assert set(Tick.objects.values_list("name", flat=True)) == {"retention", "orphans"}


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
    assert "1 versions have no object" in caplog.text
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
