"""Owns the sweep: marked versions whose grace is over are forgotten, then the bytes that nobody else needs go.

Rows and metadata stay. A crash between the two leaves objects without a row, which `registry.retention.orphans` finds.
Refuses nothing by itself: what a pointer leads to or a hold keeps is spared by the lifecycle, looked at under the
model's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from registry import deadlines, errors, lifecycle
from registry.deadlines import Deadline
from registry.lifecycle import Verified
from registry.models import ModelVersion
from registry.retention import backups, forgetting, grace, objects
from registry.retention.objects import Removed

SWEPT_AT_ONCE = 200
# Reading, writing and reading back each of them takes seconds where a store is slow.
COPIED_AT_ONCE = 20
CAUSE = "retention"
REASON = "Its grace is over."


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one step of a sweep did."""

    versions: tuple[UUID, ...] = ()
    refused: Mapping[UUID, errors.PerennialError] = field(default_factory=dict)
    removed: Removed = field(default_factory=Removed)


def sweep(
    *,
    actor: str,
    at: datetime,
    fleet_id: int | None = None,
    reason: str = REASON,
    until: Deadline = deadlines.NEVER,
) -> Iterator[Swept]:
    """Forget what is due, of a fleet or of all, those first that wait longest; works as it is consumed.

    With a backup store set a version is copied there before; one whose bytes do not verify is quarantined instead.
    Call it outside a transaction. Raises StoreUnavailable, backups.BackupDamaged; what was done until then stays done.
    """
    after, most = grace.FIRST, COPIED_AT_ONCE if backups.is_kept() else SWEPT_AT_ONCE
    while places := grace.page(at=at, fleet_id=fleet_id, after=after, limit=most):
        after = places[-1]
        yield _step([each.id for each in places], actor=actor, reason=reason, at=at, until=until)


def _step(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, until: Deadline) -> Swept:
    copied = forgetting.back_up(version_ids, until=until)
    _quarantine_damaged(copied or Verified(), actor=actor, at=at)
    outcome = lifecycle.forget(version_ids, actor=actor, cause=CAUSE, reason=reason, at=at, due=True, verified=copied)
    return Swept(
        versions=tuple(each for each in version_ids if each in outcome.changed),
        refused=outcome.refused,
        removed=objects.remove(_objects_of(outcome.changed), at=at, until=until),
    )


def _quarantine_damaged(copied: Verified, *, actor: str, at: datetime) -> None:
    if damaged := [each for each, error in copied.refused.items() if isinstance(error, backups.DAMAGED)]:
        said = "Its bytes did not verify when it was to be backed up."
        lifecycle.quarantine(damaged, actor=actor, cause=CAUSE, reason=said, at=at)


def _objects_of(version_ids: Collection[UUID]) -> set[str]:
    """Return the digests of the objects that hold the bytes of these versions."""
    rows = ModelVersion.objects.filter(pk__in=version_ids).values_list("artifact_container", "artifact_digest")
    return {container or digest for container, digest in rows}
