"""Turns the cron text of a policy into slots, and due slots into batches. The calendar is cronsim's; times are UTC.

A local time that does not exist runs at the first valid minute, one that comes twice runs once (as in Debian's cron).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from django.db import IntegrityError, transaction

from registry import errors
from registry.models import Fleet
from training import conf, runs
from training.models import Batch, RetrainingPolicy
from training.policy_terms import Reason

logger = logging.getLogger(__name__)
AT_ONCE = 100


class CronInvalid(errors.Invalid):
    """The text is not a cron expression of five fields, or never comes true."""

    code = "cron_invalid"
    next_step = "Write minute, hour, day of month, month, day of week, such as `30 18 * * *`."


class ZoneUnknown(errors.Invalid):
    """No IANA zone has this name."""

    code = "zone_unknown"
    next_step = "Write an IANA name such as Europe/Berlin."


def check(*, cron: str, time_zone: str) -> None:
    """Raise CronInvalid or ZoneUnknown unless the two make a schedule."""
    next(_walk(cron, time_zone, after=datetime(2026, 1, 1, tzinfo=UTC)))


def _walk(cron: str, time_zone: str, *, after: datetime) -> Iterator[datetime]:
    """Yield the slots after an instant, UTC, without end."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ZoneUnknown(f"There is no time zone {time_zone!r}.", field="time_zone") from error
    if len(cron.split()) != 5:
        raise CronInvalid(f"{cron!r} has {len(cron.split())} fields, not five.", field="cron")
    try:
        yield from (slot.astimezone(UTC) for slot in CronSim(cron, after.astimezone(zone)))
    except CronSimError as error:
        raise CronInvalid(f"{cron!r} is not a cron expression: {error}.", field="cron") from error
    raise CronInvalid(f"{cron!r} never comes true.", field="cron")


def next_slots(policy: RetrainingPolicy, *, after: datetime, count: int = 3) -> list[datetime]:
    """Return the next nominal slots after an instant, UTC. Raises CronInvalid, ZoneUnknown."""
    return list(islice(_walk(policy.cron, policy.time_zone, after=after), count))


def plan(policy: RetrainingPolicy, *, now: datetime) -> None:
    """Set and save when the policy is due next; nothing before `now` is caught up, as at a first apply or a resume."""
    policy.next_due_at = next_slots(policy, after=now, count=1)[0] if policy.triggers.schedule else None
    policy.save(update_fields=["next_due_at"])


def pause(policy: RetrainingPolicy) -> None:
    """Stop the schedule of a policy until it is resumed; runs asked for by people still run."""
    policy.paused, policy.next_due_at = True, None
    policy.save(update_fields=["paused", "next_due_at"])


def resume(policy: RetrainingPolicy, *, now: datetime) -> None:
    """Start the schedule again, from its next slot."""
    policy.paused = False
    policy.save(update_fields=["paused"])
    plan(policy, now=now)


def fire_due(*, now: datetime) -> list[Batch]:
    """Open a batch for each due slot that its policy's misfire rule lets fire. Any number of tickers may call this.

    Each policy in a transaction of its own: one that cannot fire must not stop the others, nor hold their locks.
    """
    due = RetrainingPolicy.objects.filter(enabled=True, paused=False, next_due_at__lte=now)
    ids = list(due.order_by("next_due_at", "id").values_list("id", flat=True)[:AT_ONCE])
    return [batch for policy_id in ids for batch in _fire_alone(policy_id, now)]


@transaction.atomic
def _fire_alone(policy_id: int, now: datetime) -> list[Batch]:
    free = RetrainingPolicy.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
    due = free.filter(pk=policy_id, enabled=True, paused=False, next_due_at__lte=now)
    policy = due.select_related("fleet", "source").first()
    try:
        return [] if policy is None else _fire(policy, now)
    except errors.PerennialError as error:
        logger.error("a policy cannot fire", extra={"policy": str(policy), "code": error.code, "sentence": str(error)})
        return []


def _fire(policy: RetrainingPolicy, now: datetime) -> list[Batch]:
    slots = _due(policy, now)
    chosen = [] if _switched_off(policy) else _after_misfire(policy, slots, now)
    batches = [batch for slot in chosen if (batch := _open(policy, slot, now)) is not None]
    policy.last_slot = slots[-1] if slots else policy.last_slot
    policy.next_due_at = next_slots(policy, after=now, count=1)[0]
    policy.save(update_fields=["last_slot", "next_due_at"])
    return batches


def _due(policy: RetrainingPolicy, now: datetime) -> list[datetime]:
    """Return the slots from the one that was due up to now, no older than the catch-up window."""
    if policy.next_due_at is None:
        return []
    oldest = now - timedelta(days=conf.current().cron_catch_up_days)
    after = max(policy.next_due_at, oldest) - timedelta(seconds=1)
    slots: list[datetime] = []
    for slot in _walk(policy.cron, policy.time_zone, after=after):
        if slot > now:
            return slots
        slots.append(slot)
    return slots


def _switched_off(policy: RetrainingPolicy) -> bool:
    fleet: Fleet = policy.fleet
    return fleet.paused or not conf.current().enabled


def _after_misfire(policy: RetrainingPolicy, slots: Sequence[datetime], now: datetime) -> list[datetime]:
    """Return the slots that fire. The newest one is on time unless a whole sweep could have fired it earlier."""
    if not slots:
        return []
    late = timedelta(seconds=60 + 4 * conf.current().sweep_every_seconds)
    if policy.misfire == RetrainingPolicy.Misfire.SKIP:
        return [slots[-1]] if now - slots[-1] <= late else []
    if policy.misfire == RetrainingPolicy.Misfire.RUN_LATEST:
        return [slots[-1]]
    return list(slots[-policy.misfire_limit :])


def _open(policy: RetrainingPolicy, slot: datetime, now: datetime) -> Batch | None:
    """Open the batch of one slot; None where another ticker, or an earlier life of this one, already did."""
    reason = Reason(
        trigger="schedule", sentence=f"Slot {slot:%Y-%m-%d %H:%M} UTC of policy {policy.name}.", actor="schedule"
    )
    try:
        with transaction.atomic():
            return runs.request(
                fleet=policy.fleet, entities=None, reason=reason, at=now, queue="training", policy=policy, slot=slot
            )
    except IntegrityError as error:
        if "slot_fires_once" not in str(error):
            raise
        return None
    except errors.PerennialError as error:
        logger.error("a slot could not fire", extra={"policy": str(policy), "code": error.code, "sentence": str(error)})
        return None
