"""Owns what is there before a slot comes: a fleet of any size with its policy and file, and a small one by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from django.db import connection

from benchmarks.registry.site import TENANT
from registry.models import Fleet
from training.models import Columns, FileOptions, RetrainingPolicy, Source
from training.policy_terms import TrainerChoice

BY_HAND_MODELS = 200
POINTS, BY_HAND_POINTS = 3, 60
FIRST = date(2025, 1, 1)
_MODELS = """
INSERT INTO registry_registeredmodel (fleet_id, entity_key, state, last_number, fence, ledger_hash, ledger_count, tags)
SELECT %s, 'item-' || lpad(place::text, 7, '0'), 'active', 0, 0, '', 0, '{}' FROM generate_series(0, %s - 1) AS place
"""


@dataclass(frozen=True, kw_only=True)
class Stock:
    """The two fleets; the policy of the large one is made due."""

    large: Fleet
    policy: RetrainingPolicy
    by_hand: Fleet


def fill(folder: Path, *, models: int) -> Stock:
    """Write both fleets, all their models known and none trained."""
    large, policy = _fleet(folder, "large", models=models, points=POINTS)
    by_hand, _ = _fleet(folder, "by-hand", models=BY_HAND_MODELS, points=BY_HAND_POINTS)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return Stock(large=large, policy=policy, by_hand=by_hand)


def _fleet(folder: Path, name: str, *, models: int, points: int) -> tuple[Fleet, RetrainingPolicy]:
    path = folder / f"{name}.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("day,sold,product\n")
        for place in range(models):
            file.writelines(
                f"{FIRST + timedelta(days=day)},{10 + (place + day) % 7},item-{place:07}\n" for day in range(points)
            )
    fleet = Fleet.objects.create(tenant=TENANT, name=name, kind="forecast", frequency="D", horizon=7, season_length=7)
    source = Source.objects.create(
        tenant=TENANT,
        name=name,
        options=FileOptions(path=str(path)),
        columns=Columns(time="day", target="sold", entity="product"),
    )
    naive = (TrainerChoice(name="seasonal_naive"),)
    policy = RetrainingPolicy.objects.create(fleet=fleet, source=source, name=name, trainers=naive)
    with connection.cursor() as cursor:
        cursor.execute(_MODELS, [fleet.pk, models])
    return fleet, policy


def make_due(policy: RetrainingPolicy, *, minutes_ago: int) -> datetime:
    """Let the policy have been due at that minute, once a day; return that slot."""
    slot = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    RetrainingPolicy.objects.filter(pk=policy.pk).update(
        cron=f"{slot.minute} {slot.hour} * * *", time_zone="UTC", next_due_at=slot
    )
    return slot
