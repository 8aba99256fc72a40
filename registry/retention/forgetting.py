"""Owns how versions are given up, by retention or by hand: with a backup store set each is copied there first.

Refuses to let go what cannot be copied, and what there was no time to copy; what is quarantined because its bytes are
broken has nothing left to save and may go. Removes no bytes: the sweep does, and that of orphans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models.functions import Now

from registry import deadlines, errors, lifecycle, reasons
from registry.deadlines import Deadline
from registry.lifecycle import Outcome, Verified, states
from registry.models import Hold, ModelVersion
from registry.retention import backups

# Of one call by hand: a request is not to wait longer, and what was left out can be asked for again.
BY_HAND_SECONDS = 10.0


class NotCopiedInTime(errors.Unavailable):
    """The version was not copied to the backup store yet, because others were."""

    code = "not_copied_in_time"
    next_step = "Ask for the same again: what was copied before is deleted by now."


@dataclass(frozen=True, kw_only=True)
class Copied(Verified):
    """Which versions are in the second store, read back there, or have nothing left to save; and why others are not."""


def forget(
    version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, verified: Verified | None = None
) -> Outcome:
    """Give archived or quarantined versions up for good, by hand. Raises ReasonMissing, and what `back_up` raises.

    Inside a transaction give what `back_up_for_hand` returned before.
    """
    said = reasons.given(reason)
    copied = (verified or back_up_for_hand(version_ids)) if backups.is_kept() else None
    return lifecycle.forget(version_ids, actor=actor, reason=said, at=at, verified=copied)


def back_up_for_hand(version_ids: Sequence[UUID]) -> Copied:
    """Copy versions, as many as a person waits for; nothing where no second store is set. Raises as `back_up` does."""
    return back_up(version_ids, until=deadlines.after(BY_HAND_SECONDS)) or Copied()


def back_up(version_ids: Sequence[UUID], *, until: Deadline) -> Copied | None:
    """Copy versions to the second store, in their order and at least the first; None where no such store is set.

    What is not to be forgotten anyway, by state, pointer or hold, is left out: the lifecycle refuses it, and says why.
    Those that cannot be copied, and those that there is no time for, are refused there. Raises StoreUnavailable,
    backups.BackupDamaged. Call it outside a transaction.
    """
    if not backups.is_kept():
        return None
    digests: dict[UUID, str] = {}
    refused: dict[UUID, errors.PerennialError] = {}
    for group in backups.groups(_forgettable(version_ids)):
        is_late = until.is_over and (digests or refused)
        for version, error in zip(group, map(_late, group) if is_late else backups.keep(group), strict=True):
            if error is None or _has_nothing_left(version, error):
                digests[version.pk] = version.artifact_digest
            else:
                refused[version.pk] = error
    return Copied(digests=digests, refused=refused)


def _forgettable(version_ids: Sequence[UUID]) -> list[ModelVersion]:
    rows = ModelVersion.objects.select_related("registered_model__fleet").filter(state__in=states.FORGET.since)
    found = rows.in_bulk(list(version_ids))
    # Only to spare copies, so that the database's clock will do; what counts is the look of the lifecycle.
    holds = Hold.objects.filter(version__in=found).exclude(until__lte=Now())
    held = set(holds.values_list("version", flat=True))
    return [found[each] for each in version_ids if each in found and each not in held and not _is_needed(found[each])]


def _is_needed(version: ModelVersion) -> bool:
    model = version.registered_model
    return any(getattr(model, f"{pointer}_id") == version.pk for pointer in states.FORGET.spared)


def _has_nothing_left(version: ModelVersion, error: errors.PerennialError) -> bool:
    return version.state == ModelVersion.State.QUARANTINED and isinstance(error, errors.Corrupted)


def _late(version: ModelVersion) -> NotCopiedInTime:
    return NotCopiedInTime(f"There was no time to copy {version} to the backup store.")
