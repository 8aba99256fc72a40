"""Owns how single instants are read and compared: aware UTC inside, local time at the edges. Refuses to guess a zone.

A naive stamp is read in a declared zone. Where clocks go back, the earlier of the two instants is meant; where they go
forward, a stamp that no clock showed moves forward by the gap (PEP 495, fold 0). Data frames have their own module.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from registry import errors

# In an address `+` is a space, so that an offset arrives without its sign.
LOST_PLUS = re.compile(r".*T.* \d{2}:?\d{2}")
LONGEST = 40


class TimestampInvalid(errors.Invalid):
    """What was given is no instant, or no zone says which."""

    code = "timestamp_invalid"
    next_step = "Give an ISO 8601 stamp with an offset, such as 2026-03-01T18:30:00Z, or declare the time zone."


def utc_now() -> datetime:
    """Return the present instant; for the edges, which pass it on."""
    return datetime.now(UTC)


def is_aware(stamp: datetime) -> bool:
    """Whether the stamp says which instant it is."""
    return stamp.utcoffset() is not None


def to_utc(stamp: datetime, *, zone: str | None = None) -> datetime:
    """Return the instant in UTC; a naive stamp is read in `zone`, and refused with TimestampInvalid without one."""
    if is_aware(stamp):
        return stamp.astimezone(UTC)
    if zone is None:
        raise TimestampInvalid(f"{stamp.isoformat()} has no offset and no time zone is declared.")
    return make_aware(stamp, zone=zone).astimezone(UTC)


def make_aware(stamp: datetime, *, zone: str) -> datetime:
    """Return a naive local stamp as an aware one in `zone`. Raises TimestampInvalid for an aware stamp."""
    if is_aware(stamp):
        raise TimestampInvalid(f"{stamp.isoformat()} has an offset already.")
    placed = stamp.replace(tzinfo=find_zone(zone), fold=0)
    # The way through UTC moves a stamp out of a gap.
    return placed.astimezone(UTC).astimezone(placed.tzinfo)


def make_naive(stamp: datetime, *, zone: str) -> datetime:
    """Return the wall time of an aware stamp in `zone`, without offset. Raises TimestampInvalid for a naive stamp."""
    if not is_aware(stamp):
        raise TimestampInvalid(f"{stamp.isoformat()} has no offset.")
    return stamp.astimezone(find_zone(zone)).replace(tzinfo=None, fold=0)


def parse(value: object, *, zone: str | None = None) -> datetime:
    """Return the UTC instant of ISO text, epoch seconds, a datetime, or a date (its midnight, in `zone` or UTC).

    Raises TimestampInvalid for anything else, for a number out of range, and for a naive stamp without a zone.
    """
    if isinstance(value, datetime):
        return to_utc(value, zone=zone)
    if isinstance(value, date):
        return to_utc(datetime.combine(value, time()), zone=zone or "UTC")
    if isinstance(value, str):
        return _parse_text(value.strip(), zone=zone)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _parse_epoch(value)
    raise TimestampInvalid(f"{value!r} is not a time.")


def instant(text: str) -> datetime:
    """Return the instant that a person or program wrote: ISO 8601 with an offset, or a date, its midnight in UTC.

    Raises TimestampInvalid.
    """
    shown = text.strip()[:LONGEST]
    if LOST_PLUS.fullmatch(shown):
        raise TimestampInvalid(f"{shown!r} has lost the + of its offset: write %2B, or the time in UTC.")
    try:
        return parse(shown, zone="UTC" if len(shown) == len("2026-03-01") else None)
    except TimestampInvalid as error:
        next_step = "Write 2026-03-01T18:30:00Z, another offset, or a date, which is its midnight in UTC."
        raise TimestampInvalid(error.sentence, next_step=next_step) from error


def readable(at: datetime, *, seconds: bool = False) -> str:
    """Return an instant as people read it, on screens and in sentences: `2026-03-01 18:30 UTC`."""
    pattern = "%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC"
    return at.astimezone(UTC).strftime(pattern)


def compare(first: datetime, second: datetime, *, zone: str | None = None) -> int:
    """Return -1, 0 or 1 as `first` lies before, at or after `second`; naive stamps are read in `zone`."""
    left, right = to_utc(first, zone=zone), to_utc(second, zone=zone)
    return (left > right) - (left < right)


def find_zone(name: str) -> ZoneInfo:
    """Return the IANA zone. Raises TimestampInvalid for an unknown name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        next_step = "Use a name such as Europe/Berlin."
        raise TimestampInvalid(f"{name!r} is not an IANA time zone.", next_step=next_step) from error


def _parse_text(text: str, *, zone: str | None) -> datetime:
    try:
        return to_utc(datetime.fromisoformat(text), zone=zone)
    except (ValueError, OverflowError) as error:
        raise TimestampInvalid(f"{text!r} is not an ISO 8601 time.") from error


def _parse_epoch(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise TimestampInvalid(f"{seconds!r} seconds since 1970 is no time of the calendar.") from error
