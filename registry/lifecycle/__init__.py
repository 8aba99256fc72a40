"""★ The story of a version: stored, registered, promoted, nominated or rejected, rolled back to, archived, forgotten.

The only writer of versions and pointers. Bytes come first, the row second, the pointer last, so that a crash leaves an
orphan or an unplaced version, never a pointer to nothing. Every move is a compare-and-set on the expected value, with
its event in the same transaction; a move that was overtaken places nothing, and the others of the same call commit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import copy
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from registry import artifacts, history, reasons, rows
from registry.artifacts import ArtifactSwept, Stored
from registry.lifecycle import admission, placing, pointers, registration, succession
from registry.lifecycle.placing import NOMINATED, REJECTED, ChampionMoved, Placed, RolledBack
from registry.lifecycle.pointers import Move
from registry.lifecycle.registration import MetadataInvalid, Registration, VersionIdTaken
from registry.lifecycle.rehearsing import rehearse
from registry.lifecycle.shelving import (
    admit,
    archive,
    bring_back,
    forget,
    quarantine,
    release,
    restore,
    turn_away,
)
from registry.lifecycle.soundness import Verified, VersionChanged, verify_for, verify_returns, verify_versions
from registry.lifecycle.states import Outcome, StateForbids, VersionHeld, VersionInUse
from registry.lifecycle.succession import (
    AlreadyChampion,
    NothingToRollBackTo,
    VersionForeign,
    VersionNotReady,
    VersionUnknown,
)
from registry.models import Event, ModelVersion, RegisteredModel
from registry.reasons import ReasonMissing

__all__ = [
    "AlreadyChampion",
    "ArtifactSwept",
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
    "Verified",
    "VersionChanged",
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
    "register_as_read",
    "rehearse",
    "reject",
    "release",
    "restore",
    "roll_back",
    "roll_back_many",
    "store_artifacts",
    "turn_away",
    "verify_for",
    "verify_returns",
    "verify_versions",
]
logger = logging.getLogger(__name__)


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
    artifacts.refuse_stale(item.stored for item in registrations)
    heads = history.lock([item.registered_model_id for item in registrations])
    versions = registration.number(registrations, heads=heads, at=at)
    line = partial(_line, actor=actor, cause=cause, reason=reason, at=at)
    lines = [line(version, heads[version.registered_model_id]) for version in versions]
    with registration.refusals():
        history.announce(lines, heads=heads, versions=versions)
    return versions


def register_as_read(
    item: Registration,
    head: RegisteredModel,
    *,
    actor: str,
    cause: str,
    at: datetime,
    reason: str = "",
    shown: rows.Beside = history.UNSHOWN,
) -> tuple[ModelVersion, tuple[Any, ...] | None]:
    """Register one version of a model that was just read, as `register` does and raising the same.

    Where nothing was written to its chain since, one statement does it, and gives what `shown` gives of the version
    (see `history.announce_as_read`); else, or within a transaction, the model is locked and read again, and it is None.
    """
    # What a broken statement takes with it has to be itself alone.
    if not connection.in_atomic_block:
        artifacts.refuse_stale([item.stored])
        mine = copy(head)
        [version] = registration.number([item], heads={head.pk: mine}, at=at)
        line = _line(version, mine, actor=actor, cause=cause, reason=reason, at=at)
        with registration.refusals():
            told = history.announce_as_read(line, head=mine, version=version, count=head.ledger_count, shown=shown)
        if told:
            return version, told
    [version] = register([item], actor=actor, cause=cause, at=at, reason=reason)
    return version, None


def _line(
    version: ModelVersion, head: RegisteredModel, *, actor: str, cause: str, reason: str, at: datetime
) -> history.Line:
    return history.Line(
        kind=admission.REGISTERED,
        registered_model_id=version.registered_model_id,
        to_id=version.pk,
        actor=actor,
        cause=cause,
        reason=reason,
        at=at,
        fence=head.fence,
    )


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
    *,
    registered_model: RegisteredModel,
    version: ModelVersion,
    actor: str,
    reason: str,
    at: datetime,
    verified: Verified | None = None,
) -> Event:
    """Make a version champion without a gate, by an approver's word. Raises as `roll_back` does.

    Whoever calls it, or one of those below, inside a transaction gives what `verify_versions` (`verify_for`,
    `verify_returns`) found before; without it the bytes are read and verified first, here.
    """
    said = reasons.given(reason)
    asked = Move(registered_model_id=registered_model.pk, version_id=version.pk, expected_id=None)
    checked = verified or verify_versions([version])
    return placing.by_hand(
        registered_model, version, asked=asked, verified=checked, actor=actor, cause="manual", reason=said, at=at
    )


def promote_many_by_hand(
    version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, verified: Verified | None = None
) -> Outcome:
    """Make versions champion by an approver's word, at most one of each model; what cannot be is left with its reason.

    Raises ReasonMissing.
    """
    said = reasons.given(reason)
    checked = verified or verify_for("promote", version_ids)
    done = placing.forward_many(version_ids, verified=checked, actor=actor, reason=said, at=at)
    return Outcome(changed=done.placed, refused=done.refused)


def roll_back(
    *,
    registered_model: RegisteredModel,
    to: ModelVersion | None = None,
    actor: str,
    reason: str,
    at: datetime,
    verified: Verified | None = None,
) -> Event:
    """Make an earlier version champion again, at once; without `to` the champion before the present one.

    Raises ReasonMissing, NothingToRollBackTo, VersionForeign, VersionNotReady, AlreadyChampion, ChampionMoved, and
    artifacts.ArtifactCorrupted where the target's own bytes do not hold.
    """
    said = reasons.given(reason)
    back = succession.returns([registered_model.pk])[registered_model.pk]
    target = to or succession.previous(registered_model)
    asked = placing.returning(registered_model.pk, target, back)
    checked = verified or verify_versions([target])
    event = placing.by_hand(
        registered_model, target, asked=asked, verified=checked, actor=actor, cause="rollback", reason=said, at=at
    )
    logger.warning("%s was rolled back to version %s by %s: %s", registered_model, target.number, actor, said)
    return event


def roll_back_many(
    registered_models: Sequence[RegisteredModel],
    *,
    actor: str,
    reason: str,
    at: datetime,
    verified: Verified | None = None,
    again: bool = False,
) -> RolledBack:
    """Roll each model back to the champion before its present one; what cannot go back is left with its reason.

    So is one that a roll back moved last, unless it is to go back `again`. Raises ReasonMissing.
    """
    said = reasons.given(reason)
    checked = verified or verify_returns(registered_models)
    done = placing.back_many(registered_models, verified=checked, actor=actor, reason=said, at=at, again=again)
    logger.warning("rolled back by %s: %s models: %s", actor, len(done.to), said)
    return done


def preview_roll_back(
    registered_models: Sequence[RegisteredModel], *, verified: Verified | None = None, again: bool = False
) -> RolledBack:
    """Return where `roll_back_many` would go, verified to the bytes, and why others stay; moves nothing."""
    return placing.sound_returns(registered_models, verified or verify_returns(registered_models), again=again)
