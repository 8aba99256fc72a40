"""Owns reasons to keep versions: holds are placed and lifted here, with their events. Refuses deleted versions.

A hold is placed under the model's lock, so that whoever archives or forgets the version at the same time either sees it
or came first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction

from registry import errors, history, lifecycle, reasons, timestamps
from registry.lifecycle import Outcome, Verified
from registry.models import Hold, ModelVersion

HELD = "registry.version.held"
LIFTED = "registry.version.hold_lifted"
OPEN = "it is lifted"
"""Until when a hold without an end keeps its version, in words."""
LONGEST_REASON = 500  # as the column is


class ReasonTooLong(errors.Invalid):
    """Lists of holds show their reasons whole."""

    code = "reason_too_long"
    next_step = "Say it shorter; the note of a version has room for more."


class HoldEnded(errors.Invalid):
    """A hold that is over when it is placed would keep nothing."""

    code = "hold_ended"
    next_step = "Give a time to come, or none."


class VersionGone(errors.Conflict):
    """The version is deleted: nothing is left to be kept."""

    code = "version_gone"
    next_step = "`manage.py bring_back` restores it where a backup has it."


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The holds that a call placed, and why it placed none on the other versions."""

    holds: tuple[Hold, ...] = ()
    refused: Mapping[UUID, errors.PerennialError] = field(default_factory=dict)


@transaction.atomic
def place(
    version_ids: Sequence[UUID],
    *,
    placed_by: str,
    reason: str,
    until: datetime | None,
    actor: str,
    at: datetime,
    rehearsed: bool = False,
) -> Placed:
    """Place a hold on each version, without end where `until` is None; several may lie on one version.

    Rehearsed, only say which would be held; that needs no reason. Raises reasons.ReasonMissing, ReasonTooLong,
    HoldEnded.
    """
    said = reason if rehearsed else reasons.given(reason)
    if len(said) > LONGEST_REASON:
        raise ReasonTooLong(f"A reason of a hold has at most {LONGEST_REASON} characters.", field="reason")
    if until is not None and until <= at:
        raise HoldEnded(f"The hold would have ended at {timestamps.readable(until)}.", field="until")
    fences = _locked(version_ids)
    found = dict(ModelVersion.objects.filter(pk__in=version_ids).values_list("pk", "state"))
    refused = {each: error for each in version_ids if (error := _refusal(each, found.get(each)))}
    wanted = [each for each in dict.fromkeys(version_ids) if each not in refused]
    holds = [Hold(version_id=each, placed_by=placed_by, actor=actor, reason=said, until=until) for each in wanted]
    made = Hold.objects.bulk_create(holds, batch_size=history.BATCH_ROWS)
    _announce(HELD, wanted, fences, actor=actor, cause=placed_by, reason=said, at=at)
    transaction.set_rollback(rehearsed)
    return Placed(holds=tuple(made), refused=refused)


def restore(
    version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, verified: Verified | None = None
) -> Outcome:
    """Make archived versions ready again, and hold them in the same transaction: the next mark would take them else.

    Inside a transaction give what `lifecycle.verify_for("restore", …)` found before. Raises reasons.ReasonMissing.
    """
    checked = verified or lifecycle.verify_for("restore", version_ids)
    with transaction.atomic():
        outcome = lifecycle.restore(version_ids, actor=actor, reason=reason, at=at, verified=checked)
        restored = sorted(outcome.changed)
        place(restored, placed_by=Hold.PlacedBy.USER, reason=reason, until=None, actor=actor, at=at)
    return outcome


@transaction.atomic
def lift(hold_ids: Sequence[int], *, actor: str, reason: str, at: datetime, rehearsed: bool = False) -> int:
    """Lift holds and return how many there still were; rehearsed, only say so. Raises reasons.ReasonMissing."""
    said = reason if rehearsed else reasons.given(reason)
    fences = _locked(list(Hold.objects.filter(pk__in=hold_ids).values_list("version", flat=True)))
    # Read again under the locks: of two that lift a hold at once, one announces it.
    found = list(Hold.objects.filter(pk__in=hold_ids).order_by("pk").values_list("pk", "version", "placed_by"))
    Hold.objects.filter(pk__in=[hold_id for hold_id, _, _ in found]).delete()
    for placed_by in sorted({each[2] for each in found}):
        versions = [version_id for _, version_id, by in found if by == placed_by]
        _announce(LIFTED, versions, fences, actor=actor, cause=placed_by, reason=said, at=at)
    transaction.set_rollback(rehearsed)
    return len(found)


def _refusal(version_id: UUID, state: str | None) -> errors.PerennialError | None:
    if state is None:
        return lifecycle.VersionUnknown(f"There is no version {version_id}.")
    if state == ModelVersion.State.DELETED:
        return VersionGone(f"Version {version_id} is deleted.")
    return None


def _locked(version_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """Lock the models of these versions; return id and fence of each version's model."""
    owners = dict(ModelVersion.objects.filter(pk__in=version_ids).values_list("pk", "registered_model_id"))
    heads = history.lock(list(owners.values()))
    return {version_id: (model_id, heads[model_id].fence) for version_id, model_id in owners.items()}


def _announce(
    kind: str,
    version_ids: Sequence[UUID],
    fences: Mapping[UUID, tuple[int, int]],
    *,
    actor: str,
    cause: str,
    reason: str,
    at: datetime,
) -> None:
    history.announce(
        [
            history.Line(
                kind=kind,
                registered_model_id=fences[version_id][0],
                to_id=version_id,
                actor=actor,
                cause=cause,
                reason=reason,
                fence=fences[version_id][1],
                at=at,
            )
            for version_id in version_ids
        ]
    )
