"""★ The story of a version: stored, registered, then promoted, nominated or rejected, and rolled back to.

The only writer of versions and pointers. Bytes come first, the row second, the pointer last, so that a crash leaves an
orphan or an unplaced version, never a pointer to nothing. Every move is a compare-and-set on the expected value, with
its event in the same transaction; a move that was overtaken places nothing, and the others of the same call commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from registry import artifacts, errors, history, pointers, registration, succession
from registry.artifacts import Stored
from registry.models import Event, ModelVersion, RegisteredModel
from registry.pointers import Move
from registry.registration import MetadataInvalid, Registration, VersionIdTaken
from registry.succession import AlreadyChampion, NothingToRollBackTo, VersionForeign, VersionNotReady

__all__ = [
    "AlreadyChampion",
    "ChampionMoved",
    "MetadataInvalid",
    "Move",
    "NothingToRollBackTo",
    "Placed",
    "ReasonMissing",
    "Registration",
    "Stored",
    "VersionForeign",
    "VersionIdTaken",
    "VersionNotReady",
    "nominate",
    "promote",
    "promote_by_hand",
    "register",
    "reject",
    "roll_back",
    "store_artifacts",
]
logger = logging.getLogger(__name__)

REGISTERED = "registry.version.registered"
NOMINATED = "registry.challenger.nominated"
REJECTED = "registry.version.rejected"


class ChampionMoved(errors.Conflict):
    """Somebody else moved the pointer at the same time."""

    code = "champion_moved"


class ReasonMissing(errors.Invalid):
    """A pointer moved by hand needs a reason, for those who read the ledger later."""

    code = "reason_missing"
    next_step = "Say in a sentence why."


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Which versions a call placed, and which were overtaken (or never could be placed); ids of versions."""

    placed: frozenset[UUID]
    overtaken: frozenset[UUID]


def store_artifacts(contents: Sequence[bytes], *, format: str) -> list[Stored]:
    """Store artifacts durably, in their order. Call it before and outside the transaction that registers them."""
    return [artifacts.store(content, format=format) for content in contents]


@transaction.atomic
def register(
    registrations: Sequence[Registration], *, actor: str, cause: str, at: datetime, reason: str = ""
) -> list[ModelVersion]:
    """Register versions in their order, numbered and labelled one after the other within each model.

    Labels sort as registered, also when the clock has stepped back. Raises VersionIdTaken, MetadataInvalid,
    history.ModelMissing; then nothing is registered.
    """
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
    history.announce(lines)
    return versions


def promote(moves: Sequence[Move], *, actor: str, cause: str, at: datetime) -> Placed:
    """Make versions champion where the champion still is the expected one."""
    return _move(moves, pointers.set_champions, kind=history.PROMOTED, actor=actor, cause=cause, at=at)


def nominate(moves: Sequence[Move], *, actor: str, cause: str, at: datetime) -> Placed:
    """Make versions challenger where the challenger still is the expected one."""
    return _move(moves, pointers.set_challengers, kind=NOMINATED, actor=actor, cause=cause, at=at)


def reject(moves: Sequence[Move], *, actor: str, cause: str, at: datetime) -> Placed:
    """Record that versions were refused, with their reports; one that waits as challenger waits no longer."""
    return _move(moves, pointers.withdraw, kind=REJECTED, actor=actor, cause=cause, at=at)


def roll_back(
    *, registered_model: RegisteredModel, to: ModelVersion | None = None, actor: str, reason: str, at: datetime
) -> Event:
    """Make an earlier version champion again, at once; without `to` the champion before the present one.

    Raises ReasonMissing, NothingToRollBackTo, VersionForeign, VersionNotReady, AlreadyChampion, ChampionMoved, and
    artifacts.ArtifactCorrupted where the target's own bytes do not hold.
    """
    target = to or succession.previous(registered_model)
    event = _place_by_hand(
        registered_model, target, kind=history.ROLLED_BACK, cause="rollback", actor=actor, reason=reason, at=at
    )
    logger.warning("%s was rolled back to version %s by %s: %s", registered_model, target.number, actor, reason)
    return event


def promote_by_hand(
    *, registered_model: RegisteredModel, version: ModelVersion, actor: str, reason: str, at: datetime
) -> Event:
    """Make a version champion without a gate, by an approver's word. Raises as `roll_back` does."""
    return _place_by_hand(
        registered_model, version, kind=history.PROMOTED, cause="manual", actor=actor, reason=reason, at=at
    )


@transaction.atomic
def _move(
    moves: Sequence[Move],
    compare_and_set: Callable[[Sequence[Move]], dict[UUID, int]],
    *,
    kind: str,
    actor: str,
    cause: str,
    at: datetime,
) -> Placed:
    # Lock first: an UPDATE alone would compare with what stood when it began to wait, and deadlock with its like.
    history.lock([move.registered_model_id for move in moves])
    fences = compare_and_set(moves)
    lines = [
        history.Line(
            kind=kind,
            registered_model_id=move.registered_model_id,
            from_id=None if kind == REJECTED else move.expected_id,
            to_id=move.version_id,
            actor=actor,
            cause=cause,
            reason=move.reason,
            report=move.report,
            fence=fences[move.version_id],
            at=at,
        )
        for move in moves
        if move.version_id in fences
    ]
    history.announce(lines)
    asked = frozenset(move.version_id for move in moves)
    return Placed(placed=frozenset(fences), overtaken=asked - fences.keys())


@transaction.atomic
def _place_by_hand(
    registered_model: RegisteredModel,
    version: ModelVersion,
    *,
    kind: str,
    cause: str,
    actor: str,
    reason: str,
    at: datetime,
) -> Event:
    if not reason.strip():
        raise ReasonMissing("No reason was given.", field="reason")
    champion_id = RegisteredModel.objects.values_list("champion_id", flat=True).get(pk=registered_model.pk)
    succession.check(registered_model, version, champion_id=champion_id)
    artifacts.load(version)
    move = Move(
        registered_model_id=registered_model.pk, version_id=version.pk, expected_id=champion_id, reason=reason.strip()
    )
    placed = _move([move], pointers.set_champions, kind=kind, actor=actor, cause=cause, at=at)
    if placed.overtaken:
        raise ChampionMoved(f"The champion of {registered_model} changed at the same time.")
    return Event.objects.filter(registered_model=registered_model, kind=kind).latest("count")
