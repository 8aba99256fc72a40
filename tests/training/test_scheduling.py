"""Slots: which instants a cron text means, and which of them fire after beat was away."""

from __future__ import annotations

import itertools
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import factories
from tests.training.daily import Daily, daily
from tests.training.settings_of import training
from training import scheduling
from training.models import Batch, RetrainingPolicy, TrainingRun

NOW = datetime(2026, 3, 27, 17, 0, tzinfo=UTC)
SLOT = datetime(2026, 3, 26, 18, 30, tzinfo=UTC)
SOON = SLOT + timedelta(seconds=5)
Misfire = RetrainingPolicy.Misfire


def policy(**values: Any) -> RetrainingPolicy:
    return RetrainingPolicy(**{"cron": "30 18 * * *", "time_zone": "UTC", **values})


def due(fleet: Daily, at: datetime, **values: Any) -> RetrainingPolicy:
    """Let the policy be due at an instant."""
    RetrainingPolicy.objects.filter(pk=fleet.policy.pk).update(next_due_at=at, **values)
    return fleet.policy


@pytest.fixture
def nightly(db: None, tmp_path: Path) -> Daily:
    made = daily(tmp_path)
    factories.registered_model(fleet=made.fleet, entity_key="a")
    return made


@pytest.mark.requirement("S01")
def test_a_daily_slot_follows_the_wall_clock_across_the_change_to_summer_time() -> None:
    slots = scheduling.next_slots(policy(time_zone="Europe/Berlin"), after=NOW, count=3)
    assert [f"{slot:%d %H:%M}" for slot in slots] == ["27 17:30", "28 17:30", "29 16:30"]


def test_a_slot_that_the_clock_jumps_over_comes_at_the_first_minute_that_exists() -> None:
    slots = scheduling.next_slots(policy(cron="30 2 * * *", time_zone="Europe/Berlin"), after=NOW, count=3)
    assert [f"{slot:%d %H:%M}" for slot in slots] == ["28 01:30", "29 01:00", "30 00:30"]


def test_a_slot_that_the_clock_shows_twice_comes_once() -> None:
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    slots = scheduling.next_slots(policy(cron="30 2 * * *", time_zone="Europe/Berlin"), after=autumn, count=2)
    assert [f"{slot:%d %H:%M}" for slot in slots] == ["25 00:30", "26 01:30"]


# Hypothesis takes bare limits and adds the zone itself.
BETWEEN = (datetime(2021, 1, 1), datetime(2036, 1, 1))  # noqa: DTZ001
ZONES = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith(("Etc", "posix")))


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    minute=st.integers(0, 1439),
    start=st.datetimes(*BETWEEN, timezones=st.just(UTC)),
)
def test_a_daily_schedule_has_one_slot_on_each_local_day_of_any_zone(zone: str, minute: int, start: datetime) -> None:
    each_day = policy(cron=f"{minute % 60} {minute // 60} * * *", time_zone=zone)
    slots = scheduling.next_slots(each_day, after=start, count=400)
    days = [slot.astimezone(zoneinfo.ZoneInfo(zone)).date() for slot in slots]
    steps = [(later - earlier).days for earlier, later in itertools.pairwise(days)]
    assert set(steps) == {1}
    assert all(slot > start for slot in slots)


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "0 0 31 2 *", "* * * * * *", "@daily"])
def test_a_cron_text_that_is_none_is_refused_in_words(cron: str) -> None:
    with pytest.raises(scheduling.CronInvalid) as refused:
        scheduling.check(cron=cron, time_zone="UTC")
    assert refused.value.next_step


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_a_zone_that_is_none_is_refused_in_words(zone: str) -> None:
    with pytest.raises(scheduling.ZoneUnknown):
        scheduling.check(cron="0 0 * * *", time_zone=zone)


def test_a_due_policy_fires_once_and_is_planned_for_its_next_slot(nightly: Daily) -> None:
    slot = SLOT
    due(nightly, slot)
    [batch] = scheduling.fire_due(now=slot + timedelta(seconds=10))
    assert scheduling.fire_due(now=slot + timedelta(seconds=20)) == []
    nightly.policy.refresh_from_db()
    assert (batch.slot, nightly.policy.last_slot) == (slot, slot)
    assert nightly.policy.next_due_at == slot + timedelta(days=1)
    assert TrainingRun.objects.get(batch=batch).reasons[0].trigger == "schedule"


@pytest.mark.requirement("S03")
def test_a_slot_has_one_batch_however_often_it_is_found_due(nightly: Daily) -> None:
    slot = SLOT
    for _ in range(3):
        due(nightly, slot)
        scheduling.fire_due(now=slot + timedelta(seconds=10))
    assert Batch.objects.filter(slot=slot).count() == 1


@pytest.mark.parametrize(
    ("misfire", "days_late", "fired"),
    [
        (Misfire.SKIP, 0, 1),
        (Misfire.SKIP, 3, 0),
        (Misfire.RUN_LATEST, 3, 1),
        (Misfire.RUN_ALL, 1, 2),
        (Misfire.RUN_ALL, 6, 3),
    ],
)
def test_after_beat_was_away_the_misfire_policy_alone_decides(
    nightly: Daily, misfire: str, days_late: int, fired: int
) -> None:
    slot = datetime(2026, 3, 10, 18, 30, tzinfo=UTC)
    due(nightly, slot, misfire=misfire, misfire_limit=3)
    late = timedelta(days=days_late, hours=1 if days_late else 0, seconds=30)
    batches = scheduling.fire_due(now=slot + late)
    assert len(batches) == fired
    slots = [batch.slot for batch in batches if batch.slot]
    assert len(slots) == fired
    assert slots == sorted(set(slots))
    assert all(each <= slot + late for each in slots)


def test_a_paused_policy_does_not_fire_and_resuming_catches_nothing_up(nightly: Daily) -> None:
    due(nightly, SLOT)
    nightly.policy.refresh_from_db()
    scheduling.pause(nightly.policy)
    assert scheduling.fire_due(now=SOON) == []
    scheduling.resume(nightly.policy, now=SOON + timedelta(days=2))
    assert scheduling.fire_due(now=SOON + timedelta(days=2, seconds=1)) == []
    assert nightly.policy.next_due_at == SLOT + timedelta(days=3)
    assert len(scheduling.fire_due(now=SOON + timedelta(days=3))) == 1


@pytest.mark.requirement("S01")
def test_the_switch_of_the_installation_stops_every_schedule(nightly: Daily, settings: Any) -> None:
    training(settings, enabled=False)
    due(nightly, SLOT)
    assert scheduling.fire_due(now=SOON) == []
    training(settings, enabled=True)
    nightly.policy.refresh_from_db()
    assert nightly.policy.next_due_at == SLOT + timedelta(days=1)
    assert len(scheduling.fire_due(now=SOON + timedelta(days=1))) == 1


def test_a_paused_fleet_lets_its_slots_pass(nightly: Daily) -> None:
    due(nightly, SLOT)
    nightly.fleet.paused = True
    nightly.fleet.save()
    assert scheduling.fire_due(now=SOON) == []
    nightly.fleet.paused = False
    nightly.fleet.save()
    assert len(scheduling.fire_due(now=SOON + timedelta(days=1))) == 1


def test_jitter_spreads_the_models_of_a_slot_and_each_is_as_late_as_yesterday(nightly: Daily) -> None:
    for entity in "bcdefgh":
        factories.registered_model(fleet=nightly.fleet, entity_key=entity)
    slots = [datetime(2026, 3, day, 18, 30, tzinfo=UTC) for day in (10, 11)]
    delays = []
    for slot in slots:
        due(nightly, slot, jitter_seconds=600)
        [batch] = scheduling.fire_due(now=slot + timedelta(seconds=5))
        runs = TrainingRun.objects.filter(batch=batch)
        delays.append({run.registered_model.entity_key: run.not_before - slot for run in runs if run.not_before})
        runs.update(state=TrainingRun.State.CANCELLED)
    assert delays[0] == delays[1]
    assert len(set(delays[0].values())) > 3
    assert all(timedelta(0) <= delay < timedelta(seconds=600) for delay in delays[0].values())


def test_a_policy_that_cannot_fire_stops_no_other(nightly: Daily, caplog: Any) -> None:
    due(nightly, SLOT)
    broken = factories.policy(fleet=factories.fleet(), time_zone="Europe/Nowhere")
    RetrainingPolicy.objects.filter(pk=broken.pk).update(next_due_at=SLOT - timedelta(hours=1))
    [batch] = scheduling.fire_due(now=SOON)
    assert batch.policy == nightly.policy
    assert "a policy cannot fire" in caplog.text
