"""When each periodic job last ran, where a silent beat shows, and how far the long ones have come."""

from __future__ import annotations

from datetime import datetime, timedelta

from registry.models import Bookmark, Tick

BREAK = timedelta(minutes=1)
"""The dispatcher ticks every second: after so long without any tick beat, or who hears it, was down."""
_STEADY = "ticking"


def record(name: str, *, at: datetime) -> None:
    """Note that a periodic job runs now, and where none ran for a while that they begin anew."""
    if (before := last()) is None or at - before > BREAK:
        note(_STEADY, 0, at=at)
    Tick.objects.update_or_create(name=name, defaults={"at": at})


def last() -> datetime | None:
    """Return when any periodic job last ran; None before beat's first tick."""
    return Tick.objects.order_by("-at").values_list("at", flat=True).first()


def steady_since(*, now: datetime) -> datetime | None:
    """Return since when periodic jobs have run without a break; None where none runs now."""
    found = last()
    if found is None or now - found > BREAK:
        return None
    # Where they have run without a break since before there was this note, the oldest tick is the best there is.
    return kept_at(_STEADY) or Tick.objects.order_by("at").values_list("at", flat=True).first()


def reached(name: str) -> int:
    """Return how far a job has come that goes through everything in several runs; 0 where it begins anew."""
    return Bookmark.objects.filter(name=name).values_list("event_id", flat=True).first() or 0


def kept_at(name: str) -> datetime | None:
    """Return when a job last noted how far it has come; None where it never did."""
    return Bookmark.objects.filter(name=name).values_list("at", flat=True).first()


def keep(name: str, place: int, *, at: datetime) -> None:
    """Note how far a job has come, so that its next run goes on there."""
    Bookmark.objects.update_or_create(name=name, defaults={"event_id": place, "at": at})


def noted(prefix: str) -> dict[str, Bookmark]:
    """Return the notes whose names begin so, by the rest of the name."""
    found = Bookmark.objects.filter(name__startswith=prefix)
    return {bookmark.name.removeprefix(prefix): bookmark for bookmark in found}


def note(name: str, place: int, *, at: datetime) -> None:
    """Note that something begins, in one statement, so that whoever finds the note knows that it did not end."""
    row = Bookmark(name=name, event_id=place, at=at)
    Bookmark.objects.bulk_create([row], update_conflicts=True, unique_fields=["name"], update_fields=["event_id", "at"])


def drop(name: str) -> None:
    """Remove a note: what it told of has ended."""
    Bookmark.objects.filter(name=name).delete()
