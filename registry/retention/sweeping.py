"""Owns the sweep: marked versions whose grace is over are forgotten, then the bytes that nobody else needs go.

Rows and metadata stay. A crash between the two leaves objects without a row, which `registry.retention.orphans` finds.
Refuses nothing by itself: what a pointer leads to or a hold keeps is spared by the lifecycle, looked at under the
model's lock.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from registry import errors, lifecycle, store
from registry.models import ModelVersion
from registry.retention import backups, grace, objects
from registry.retention.objects import Removed

logger = logging.getLogger(__name__)

SWEPT_AT_ONCE = 200
CAUSE = "retention"
REASON = "Its grace is over."


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one step of a sweep did."""

    versions: tuple[UUID, ...] = ()
    refused: Mapping[UUID, errors.PerennialError] = field(default_factory=dict)
    removed: Removed = field(default_factory=Removed)


def sweep(*, actor: str, at: datetime, fleet_id: int | None = None, reason: str = REASON) -> Iterator[Swept]:
    """Forget what is due, of a fleet or of all, those first that wait longest; works as it is consumed.

    With a backup store set a version is copied there before; one whose bytes do not verify is quarantined instead.
    Call it outside a transaction. Raises StoreUnavailable, backups.BackupDamaged; what was done until then stays done.
    """
    after = grace.FIRST
    while places := grace.page(at=at, fleet_id=fleet_id, after=after, limit=SWEPT_AT_ONCE):
        after = places[-1]
        yield _step([each.id for each in places], actor=actor, reason=reason, at=at)


def _step(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime) -> Swept:
    unsound = _back_up(version_ids) if backups.is_kept() else {}
    if damaged := [each for each, error in unsound.items() if isinstance(error, backups.DAMAGED)]:
        said = "Its bytes did not verify when it was to be backed up."
        lifecycle.quarantine(damaged, actor=actor, cause=CAUSE, reason=said, at=at)
    sound = [each for each in version_ids if each not in unsound]
    outcome = lifecycle.forget(sound, actor=actor, cause=CAUSE, reason=reason, at=at)
    return Swept(
        versions=tuple(each for each in version_ids if each in outcome.changed),
        refused={**outcome.refused, **unsound},
        removed=objects.remove(_objects_of(outcome.changed), at=at),
    )


def _back_up(version_ids: Sequence[UUID]) -> dict[UUID, errors.PerennialError]:
    """Copy versions to the second store and return those that cannot be copied: they stay, and the others go on.

    Raises StoreUnavailable, backups.BackupDamaged.
    """
    unsound: dict[UUID, errors.PerennialError] = {}
    for version in ModelVersion.objects.select_related("registered_model__fleet").filter(pk__in=version_ids):
        try:
            backups.keep(version)
        except (store.StoreUnavailable, backups.BackupDamaged):
            raise
        except errors.PerennialError as error:
            logger.error("%s cannot be backed up: %s", version, error)
            unsound[version.pk] = error
    return unsound


def _objects_of(version_ids: Collection[UUID]) -> set[str]:
    """Return the digests of the objects that hold the bytes of these versions."""
    rows = ModelVersion.objects.filter(pk__in=version_ids).values_list("artifact_container", "artifact_digest")
    return {container or digest for container, digest in rows}
