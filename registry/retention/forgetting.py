"""Owns how versions are given up, by retention or by hand: with a backup store set each is copied there first.

Refuses to let go what cannot be copied, and what there was no time to copy; what is quarantined because its bytes are
broken has nothing left to save and may go. Removes no bytes: the sweep does, and that of orphans.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from registry import deadlines, errors, lifecycle, reasons, store
from registry.deadlines import Deadline
from registry.lifecycle import Outcome, Verified
from registry.models import ModelVersion
from registry.retention import backups

logger = logging.getLogger(__name__)

# Of one call by hand: a request is not to wait longer, and what was left out can be asked for again.
BY_HAND_SECONDS = 10.0


class NotCopiedInTime(errors.Unavailable):
    """The version was not copied to the backup store yet, because others were."""

    code = "not_copied_in_time"
    next_step = "Ask for the same again: what was copied before is deleted by now."


def forget(
    version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, verified: Verified | None = None
) -> Outcome:
    """Give archived or quarantined versions up for good, by hand. Raises ReasonMissing, and what `back_up` raises.

    Inside a transaction give what `back_up_for_hand` returned before.
    """
    said = reasons.given(reason)
    copied = (verified or back_up_for_hand(version_ids)) if backups.is_kept() else None
    return lifecycle.forget(version_ids, actor=actor, reason=said, at=at, verified=copied)


def back_up_for_hand(version_ids: Sequence[UUID]) -> Verified:
    """Copy versions, as many as a person waits for; nothing where no second store is set. Raises as `back_up` does."""
    return back_up(version_ids, until=deadlines.after(BY_HAND_SECONDS)) or Verified()


def back_up(version_ids: Sequence[UUID], *, until: Deadline) -> Verified | None:
    """Copy versions to the second store, in their order and at least one; None where no such store is set.

    Those that cannot be copied, and those that there is no time for, are refused there. Raises StoreUnavailable,
    backups.BackupDamaged. Call it outside a transaction.
    """
    if not backups.is_kept():
        return None
    digests: dict[UUID, str] = {}
    refused: dict[UUID, errors.PerennialError] = {}
    rows = ModelVersion.objects.select_related("registered_model__fleet").exclude(state=ModelVersion.State.DELETED)
    for version in rows.filter(pk__in=version_ids).order_by("pk"):
        error = _late(version) if until.is_over and (digests or refused) else _copy(version)
        if error is None:
            digests[version.pk] = version.artifact_digest
        else:
            refused[version.pk] = error
    return Verified(digests=digests, refused=refused)


def _copy(version: ModelVersion) -> errors.PerennialError | None:
    """Copy a version and return why that cannot be done; None where it is done, or nothing is left to copy."""
    try:
        backups.keep(version)
    except (store.StoreUnavailable, backups.BackupDamaged):
        raise
    except errors.PerennialError as error:
        if version.state == ModelVersion.State.QUARANTINED and isinstance(error, errors.Corrupted):
            return None
        logger.error("%s cannot be backed up: %s", version, error)
        return error
    return None


def _late(version: ModelVersion) -> NotCopiedInTime:
    return NotCopiedInTime(f"There was no time to copy {version} to the backup store.")
