"""★ The story of a version: stored, registered, promoted, nominated or rejected, rolled back to, archived, forgotten.

The only writer of versions and pointers. Bytes come first, the row second, the pointer last, so that a crash leaves an
orphan or an unplaced version, never a pointer to nothing. Every move is a compare-and-set on the expected value, with
its event in the same transaction; a move that was overtaken places nothing, and the others of the same call commit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from registry import artifacts, errors, history
from registry.artifacts import Stored
from registry.lifecycle import placing, pointers, registration, states, succession
from registry.lifecycle.placing import NOMINATED, REJECTED, ChampionMoved, Placed, RolledBack
from registry.lifecycle.pointers import Move
from registry.lifecycle.registration import MetadataInvalid, Registration, VersionIdTaken
from registry.lifecycle.states import Outcome, StateForbids, VersionHeld, VersionInUse, VersionUnknown
from registry.lifecycle.succession import AlreadyChampion, NothingToRollBackTo, VersionForeign, VersionNotReady
from registry.models import Event, ModelVersion, RegisteredModel

__all__ = [
    "AlreadyChampion",
    "ChampionMoved",
    "MetadataInvalid",
    "Move",
    "NothingToRollBackTo",
    "Outcome",
    "Placed",
    "ReasonMissing",
    "Registration",
    "RolledBack",
    "StateForbids",
    "Stored",
    "VersionForeign",
    "VersionHeld",
    "VersionIdTaken",
    "VersionInUse",
    "VersionNotReady",
    "VersionUnknown",
    "admit",
    "archive",
    "bring_back",
    "forget",
    "nominate",
    "preview_roll_back",
    "promote",
    "promote_by_hand",
    "promote_many_by_hand",
    "quarantine",
    "register",
    "rehearse",
    "reject",
    "release",
    "restore",
    "roll_back",
    "roll_back_many",
    "store_artifacts",
    "turn_away",
]
logger = logging.getLogger(__name__)

REGISTERED = "registry.version.registered"


class ReasonMissing(errors.Invalid):
    """A pointer moved by hand needs a reason, for those who read the ledger later."""

    code = "reason_missing"
    next_step = "Say in a sentence why."


def store_artifacts(contents: Sequence[bytes], *, format: str) -> list[Stored]:
    """Store artifacts durably, in their order. Call it before and outside the transaction that registers them."""
    return artifacts.store(contents, format=format)


@transaction.atomic
def register(
    registrations: Sequence[Registration], *, actor: str, cause: str, at: datetime, reason: str = ""
) -> list[ModelVersion]:
    """Register versions in their order, numbered and labelled one after the other within each model.

    Labels sort as registered, also when the clock has stepped back. Raises VersionIdTaken, MetadataInvalid,
    history.ModelMissing, artifacts.ArtifactSwept; then nothing is registered.
    """
    artifacts.share_against_sweep(item.stored for item in registrations)
    heads = history.lock([item.registered_model_id for item in registrations])
    versions = registration.insert(registrations, heads=heads, at=at)
    lines = [
        history.Line(
            kind=REGISTERED,
            registered_model_id=version.registered_model_id,
            to_id=version.pk,
            actor=actor,
            cause=cause,
            reason=reason,
            at=at,
            fence=heads[version.registered_model_id].fence,
        )
        for version in versions
    ]
    history.announce(lines, heads=heads)
    return versions


def promote(moves: Sequence[Move], *, actor: str, cause: str, at: datetime) -> Placed:
    """Make versions champion where the champion still is the expected one."""
    set_champions = partial(pointers.set_champions, at=at)
    return placing.move(moves, set_champions, kind=history.PROMOTED, actor=actor, cause=cause, at=at)


def nominate(moves: Sequence[Move], *, actor: str, cause: str, at: datetime) -> Placed:
    """Make versions challenger where the challenger still is the expected one."""
    return placing.move(moves, pointers.set_challengers, kind=NOMINATED, actor=actor, cause=cause, at=at)


def reject(moves: Sequence[Move], *, actor: str, cause: str, at: datetime) -> Placed:
    """Record that versions were refused, with their reports; one that waits as challenger waits no longer."""
    return placing.move(moves, pointers.withdraw, kind=REJECTED, actor=actor, cause=cause, at=at)


def promote_by_hand(
    *, registered_model: RegisteredModel, version: ModelVersion, actor: str, reason: str, at: datetime
) -> Event:
    """Make a version champion without a gate, by an approver's word. Raises as `roll_back` does."""
    asked = Move(registered_model_id=registered_model.pk, version_id=version.pk, expected_id=None)
    return placing.by_hand(
        registered_model, version, asked=asked, actor=actor, cause="manual", reason=_given(reason), at=at
    )


def promote_many_by_hand(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime) -> Outcome:
    """Make versions champion by an approver's word, at most one of each model; what cannot be is left with its reason.

    The bytes of each are read and verified first. Raises ReasonMissing.
    """
    done = placing.forward_many(version_ids, actor=actor, reason=_given(reason), at=at)
    return Outcome(changed=done.placed, refused=done.refused)


def roll_back(
    *, registered_model: RegisteredModel, to: ModelVersion | None = None, actor: str, reason: str, at: datetime
) -> Event:
    """Make an earlier version champion again, at once; without `to` the champion before the present one.

    Raises ReasonMissing, NothingToRollBackTo, VersionForeign, VersionNotReady, AlreadyChampion, ChampionMoved, and
    artifacts.ArtifactCorrupted where the target's own bytes do not hold.
    """
    said = _given(reason)
    back = succession.returns([registered_model.pk])[registered_model.pk]
    target = to or succession.previous(registered_model)
    asked = Move(
        registered_model_id=registered_model.pk,
        version_id=target.pk,
        expected_id=None,
        back=True,
        before_id=back.before(target.pk),
    )
    event = placing.by_hand(registered_model, target, asked=asked, actor=actor, cause="rollback", reason=said, at=at)
    logger.warning("%s was rolled back to version %s by %s: %s", registered_model, target.number, actor, said)
    return event


def roll_back_many(
    registered_models: Sequence[RegisteredModel], *, actor: str, reason: str, at: datetime
) -> RolledBack:
    """Roll each model back to the champion before its present one; what cannot go back is left with its reason.

    Every target's bytes are read and verified first. Raises ReasonMissing.
    """
    said = _given(reason)
    done = placing.back_many(registered_models, actor=actor, reason=said, at=at)
    logger.warning("%s models were rolled back by %s: %s", len(done.to), actor, said)
    return done


def preview_roll_back(registered_models: Sequence[RegisteredModel]) -> RolledBack:
    """Return where `roll_back_many` would go, verified to the bytes, and why others stay; moves nothing."""
    return placing.sound_returns(registered_models)


def rehearse(action: str, version_ids: Sequence[UUID], *, at: datetime) -> Outcome:
    """Return what an action of `states.BY_NAME`, or `promote`, would do to these, and why it would leave others.

    A change of state is carried out and taken back, so that it says what the deed itself would say at this moment.
    """
    if action == "promote":
        planned = placing.forward_many(version_ids, actor="", reason="", at=at, rehearsed=True)
        return Outcome(changed=planned.placed, refused=planned.refused)
    wanted = states.BY_NAME[action]
    make = states.make_ready if wanted in (states.RESTORE, states.RELEASE) else partial(states.change, cause="manual")
    with transaction.atomic():
        outcome = make(wanted, version_ids, actor="", reason="", at=at)
        transaction.set_rollback(True)
    return outcome


def archive(
    version_ids: Sequence[UUID],
    *,
    actor: str,
    reason: str,
    at: datetime,
    cause: str = "manual",
    sweep_after: datetime | None = None,
    spared: tuple[str, ...] = states.ARCHIVE.spared,
) -> Outcome:
    """Hide ready versions from every choice; they can be restored. With `sweep_after` retention lets them go then.

    Spares versions that a pointer of `spared` leads to or a hold keeps.
    """
    wanted = replace(states.ARCHIVE, sweep_after=sweep_after, spared=spared)
    return states.change(wanted, version_ids, actor=actor, cause=cause, reason=_given(reason), at=at)


def restore(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime) -> Outcome:
    """Make archived versions ready again, those whose bytes hold."""
    return states.make_ready(states.RESTORE, version_ids, actor=actor, reason=_given(reason), at=at)


def forget(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, cause: str = "manual") -> Outcome:
    """Give archived or quarantined versions up for good: the row and its metadata stay, the bytes may go.

    Spares versions that any pointer leads to or a hold keeps. `registry.retention` removes the bytes.
    """
    return states.change(states.FORGET, version_ids, actor=actor, cause=cause, reason=_given(reason), at=at)


def bring_back(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime) -> Outcome:
    """Make deleted versions archived again, whose bytes `registry.retention.backups` has put back; no sweep awaits."""
    return states.change(states.BRING_BACK, version_ids, actor=actor, cause="manual", reason=_given(reason), at=at)


def quarantine(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, cause: str = "manual") -> Outcome:
    """Keep versions from being loaded and placed, because their bytes are damaged or not trusted.

    A champion keeps its pointer, and the last good champion answers for it; a challenger waits no longer.
    """
    said = _given(reason)
    outcome = states.change(states.QUARANTINE, version_ids, actor=actor, cause=cause, reason=said, at=at)
    if outcome.changed:
        logger.error("%s versions were quarantined by %s: %s", len(outcome.changed), actor, said)
    return outcome


def release(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime) -> Outcome:
    """Make quarantined versions ready again, those whose bytes hold (restored from a backup, say)."""
    return states.make_ready(states.RELEASE, version_ids, actor=actor, reason=_given(reason), at=at)


def admit(version_ids: Sequence[UUID], *, actor: str, at: datetime) -> Outcome:
    """Make versions from elsewhere ready, whose forecasters a trainer has read."""
    return states.change(states.ADMIT, version_ids, actor=actor, cause=states.INSPECTION, reason="", at=at)


def turn_away(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime) -> Outcome:
    """Quarantine versions from elsewhere, whose forecasters no trainer can read; `release` refuses them for good."""
    said = _given(reason)
    return states.change(states.TURN_AWAY, version_ids, actor=actor, cause=states.INSPECTION, reason=said, at=at)


def _given(reason: str) -> str:
    if not reason.strip():
        raise ReasonMissing("No reason was given.", field="reason")
    return reason.strip()
