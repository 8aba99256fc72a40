"""Owns how often the reading of a version from elsewhere was tried in vain: one line of the ledger for each try.

What could not be read for want of time or memory, or by an error of this code, may be sound, so it is tried again,
later each time; what a trainer read and refused is not. A try is noted before it begins: what takes the whole worker
with it counts as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, Max, OuterRef

from registry import history, ticks
from registry.lifecycle import admission
from registry.models import Bookmark, Event, ModelVersion

FAILED = "registry.version.reading_failed"
# Of a bookmark; the version's id follows, 36 letters, and 64 is the most.
_BEGUN = "inspection-reads:"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """How often a version was tried in vain, and when last."""

    times: int = 0
    last_at: datetime | None = None

    def is_due(self, *, now: datetime, retry_seconds: float) -> bool:
        """Return whether the next try may begin: so many seconds after the first one, twice as many after the next."""
        return self.last_at is None or now >= self.last_at + timedelta(seconds=retry_seconds * self.times)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A try that began and of whose end nobody told: the tries in vain before it, and when it began."""

    times: int
    at: datetime


def of(version_ids: Sequence[UUID]) -> dict[UUID, Tried]:
    """Return the tries of those versions that were tried in vain since somebody last let them wait anew."""
    anew = Event.objects.filter(to_version=OuterRef("to_version"), kind__in=admission.ANEW, id__gt=OuterRef("id"))
    lines = Event.objects.filter(~Exists(anew), to_version__in=list(version_ids), kind=FAILED).order_by()
    counted = lines.values_list("to_version").annotate(Count("id"), Max("at"))
    return {version_id: Tried(times=times, last_at=last_at) for version_id, times, last_at in counted}


@transaction.atomic
def record(version: ModelVersion, *, times: int, actor: str, reason: str, at: datetime) -> bool:
    """Put down that a version could not be read, and return True; not where somebody else told of the same try.

    `times` is how often it had been tried in vain when this try began.
    """
    heads = history.lock([version.registered_model_id])
    pending = ModelVersion.objects.filter(pk=version.pk, state=ModelVersion.State.PENDING)
    if of([version.pk]).get(version.pk, Tried()).times != times or not pending.exists():
        return False
    line = history.Line(
        kind=FAILED,
        registered_model_id=version.registered_model_id,
        to_id=version.pk,
        actor=actor,
        cause=admission.INSPECTION,
        reason=reason,
        fence=heads[version.registered_model_id].fence,
        at=at,
    )
    history.announce([line], heads=heads)
    return True


@contextmanager
def begun(version: ModelVersion, *, times: int, at: datetime) -> Iterator[None]:
    """Note for the block that a version is being read; the note stays where the process is killed in it."""
    name = f"{_BEGUN}{version.pk}"
    ticks.note(name, times, at=at)
    try:
        yield
    finally:
        ticks.drop(name)


def unfinished() -> dict[UUID, Begun]:
    """Return the tries that began and of whose end nobody told, by version."""
    notes = ticks.noted(_BEGUN).items()
    return {UUID(rest): _begun(note) for rest, note in notes}


def settle(version_id: UUID) -> None:
    """Remove the note of a try that was counted."""
    ticks.drop(f"{_BEGUN}{version_id}")


def _begun(note: Bookmark) -> Begun:
    assert note.at is not None
    return Begun(times=note.event_id, at=note.at)
