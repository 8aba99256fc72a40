"""Owns the sweep: marked versions whose grace is over are forgotten, then the bytes that nobody else needs go.

Rows and metadata stay. A crash between the two leaves objects without a row, which `registry.retention.orphans` finds.
The periodic sweep goes round in several runs, each from where the one before ended: what cannot be copied stays due,
and is not to hold up what comes behind it. Refuses nothing by itself: what a pointer leads to or a hold keeps is spared
by the lifecycle, looked at under the model's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from struct import pack, unpack
from uuid import UUID

from registry import deadlines, errors, lifecycle, ticks
from registry.deadlines import Deadline
from registry.models import ModelVersion
from registry.retention import backups, forgetting, grace, objects
from registry.retention.forgetting import Copied
from registry.retention.grace import FIRST, Place
from registry.retention.objects import Removed

SWEPT_AT_ONCE = 200
# Reading, writing and reading back each of them takes seconds where a store is slow.
COPIED_AT_ONCE = 5 * backups.COPIED_AT_ONCE
CAUSE = "retention"
REASON = "Its grace is over."
DUE, UPPER, LOWER = "retention-sweep", "retention-sweep-upper", "retention-sweep-lower"
"""Bookmarks: since when the version is due that the last run came to, in microseconds, and the halves of its id."""
# Ticks come every five minutes, to go on; a round begins every hour, a tick early or late.
BETWEEN_ROUNDS = timedelta(minutes=57)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one step of a sweep did."""

    versions: tuple[UUID, ...] = ()
    refused: Mapping[UUID, errors.PerennialError] = field(default_factory=dict)
    removed: Removed = field(default_factory=Removed)
    reached: Place = FIRST
    """The place behind which to go on."""


def go_on(*, actor: str, at: datetime, until: Deadline) -> Iterator[Swept]:
    """Sweep as `sweep` does, from where the last run ended; nothing where a round ended less than an hour ago."""
    after, ended_at = _reached(), ticks.kept_at(DUE)
    if after == FIRST and ended_at and timedelta() <= at - ended_at < BETWEEN_ROUNDS:
        return
    for step in sweep(actor=actor, at=at, until=until, after=after):
        _keep(step.reached, at=at)
        yield step
    _keep(None, at=at)


def sweep(
    *,
    actor: str,
    at: datetime,
    fleet_id: int | None = None,
    reason: str = REASON,
    until: Deadline = deadlines.NEVER,
    after: Place = FIRST,
) -> Iterator[Swept]:
    """Forget what is due behind a place, of a fleet or of all, those first that wait longest; works as it is consumed.

    With a backup store set a version is copied there before; one whose bytes do not verify is quarantined instead.
    Call it outside a transaction. Raises StoreUnavailable, backups.BackupDamaged; what was done until then stays done.
    """
    most = COPIED_AT_ONCE if backups.is_kept() else SWEPT_AT_ONCE
    while places := grace.page(at=at, fleet_id=fleet_id, after=after, limit=most):
        step = _step([each.id for each in places], actor=actor, reason=reason, at=at, until=until)
        yield replace(step, reached=_done(places, step) or after)
        after = places[-1]


def _step(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, until: Deadline) -> Swept:
    copied = forgetting.back_up(version_ids, until=until)
    _quarantine_damaged(copied or Copied(), actor=actor, at=at)
    outcome = lifecycle.forget(version_ids, actor=actor, cause=CAUSE, reason=reason, at=at, due=True, verified=copied)
    return Swept(
        versions=tuple(each for each in version_ids if each in outcome.changed),
        refused=outcome.refused,
        removed=objects.remove(_objects_of(outcome.changed), at=at, until=until),
    )


def _done(places: Sequence[Place], step: Swept) -> Place | None:
    """Return the last place before the first version that there was no time for."""
    late = forgetting.NotCopiedInTime
    done = list(takewhile(lambda each: not isinstance(step.refused.get(each.id), late), places))
    return done[-1] if done else None


def _reached() -> Place:
    due, upper, lower = (ticks.reached(each) for each in (DUE, UPPER, LOWER))
    if not due:
        return FIRST
    return Place(_EPOCH + timedelta(microseconds=due), UUID(bytes=pack(">qq", upper, lower)))


def _keep(place: Place | None, *, at: datetime) -> None:
    """Note a place; none begins a new round."""
    due, upper, lower = 0, 0, 0
    if place is not None and isinstance(place.sweep_after, datetime):
        due = (place.sweep_after - _EPOCH) // timedelta(microseconds=1)
        upper, lower = unpack(">qq", place.id.bytes)
    for name, half in ((UPPER, upper), (LOWER, lower), (DUE, due)):
        ticks.keep(name, half, at=at)


def _quarantine_damaged(copied: Copied, *, actor: str, at: datetime) -> None:
    if damaged := [each for each, error in copied.refused.items() if isinstance(error, backups.DAMAGED)]:
        said = "Its bytes did not verify when it was to be backed up."
        lifecycle.quarantine(damaged, actor=actor, cause=CAUSE, reason=said, at=at)


def _objects_of(version_ids: Collection[UUID]) -> set[str]:
    """Return the digests of the objects that hold the bytes of these versions."""
    rows = ModelVersion.objects.filter(pk__in=version_ids).values_list("artifact_container", "artifact_digest")
    return {container or digest for container, digest in rows}
