"""How a policy's schedule reads on screen: state, cron text, next slots, and whether it is late."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from registry import display, errors, timestamps
from training import conf, scheduling
from training.models import RetrainingPolicy

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def grace() -> timedelta:
    """Return how long after its slot a policy may fire before it counts as late."""
    return timedelta(seconds=60 + 2 * conf.current().sweep_every_seconds)


def is_late(policy: RetrainingPolicy, *, now: datetime) -> bool:
    """Whether a slot passed and nothing fired."""
    return (
        policy.enabled and not policy.paused and policy.next_due_at is not None and policy.next_due_at + grace() < now
    )


def state(policy: RetrainingPolicy) -> Any:
    """Return the badge of a policy: disabled, paused, late or enabled."""
    if not policy.enabled:
        return display.badge("disabled")
    if policy.paused or policy.fleet.paused:
        return display.badge("paused", title="" if policy.paused else "its fleet is paused")
    return display.badge("late" if is_late(policy, now=timestamps.utc_now()) else "enabled")


def next_due(policy: RetrainingPolicy) -> Any:
    """Return when the policy fires next, as the row says."""
    if policy.paused or not policy.enabled:
        return display.NOTHING
    return display.instant(policy.next_due_at)


def in_words(cron: str) -> str:
    """Return the common shapes of a cron text in words; empty for all others, which the text itself says best."""
    fields = cron.split()
    if len(fields) != 5:
        return ""
    minute, hour, day, month, weekday = fields
    if month != "*" or day != "*":
        return ""
    if minute.startswith("*/") and hour == weekday == "*":
        return f"every {minute[2:]} minutes"
    if not minute.isdigit():
        return "every minute" if minute == hour == weekday == "*" else ""
    if hour == "*":
        return f"every hour, at minute {minute}" if weekday == "*" else ""
    return _at(minute, hour, weekday)


def _at(minute: str, hour: str, weekday: str) -> str:
    if not hour.isdigit():
        return ""
    clock = f"{int(hour):02}:{int(minute):02}"
    if weekday == "*":
        return f"every day at {clock}"
    if weekday in ("1-5", "MON-FRI"):
        return f"Monday to Friday at {clock}"
    return f"every {WEEKDAYS[int(weekday)]} at {clock}" if weekday.isdigit() and int(weekday) < 8 else ""


def slots(policy: RetrainingPolicy, *, now: datetime) -> tuple[list[tuple[str, Any]], str]:
    """Return the next three nominal slots as (in the policy's zone, in UTC), or none and the sentence that says why."""
    if not policy.triggers.schedule:
        return [], "This policy has no schedule: it acts when asked."
    try:
        found = scheduling.next_slots(policy, after=now, count=3)
        zone = ZoneInfo(policy.time_zone)
    except errors.PerennialError as error:
        return [], str(error)
    return [(f"{slot.astimezone(zone):%a %Y-%m-%d %H:%M %Z}", display.instant(slot)) for slot in found], ""
