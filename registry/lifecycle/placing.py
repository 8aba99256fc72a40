"""Owns pointer moves with their events: for many, or by hand for one. `registry.lifecycle` alone calls it.

A move by hand takes a version whose very bytes were verified (`registry.lifecycle.soundness`), and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from registry import errors, history
from registry.lifecycle import pointers, succession
from registry.lifecycle.pointers import Move
from registry.lifecycle.soundness import Verified
from registry.lifecycle.succession import NothingToRollBackTo, RolledBackAlready
from registry.models import Event, ModelVersion, RegisteredModel

NOMINATED = "registry.challenger.nominated"
REJECTED = "registry.version.rejected"


class ChampionMoved(errors.Conflict):
    """Somebody else moved the pointer at the same time."""

    code = "champion_moved"


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Which versions a call placed, and which were overtaken (or never could be placed); ids of versions."""

    placed: frozenset[UUID]
    overtaken: frozenset[UUID]


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """What a roll back of many models did: the version that each went back to, and why others did not; by model id."""

    to: Mapping[int, ModelVersion]
    refused: Mapping[int, errors.PerennialError]


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """Which versions were placed by hand, and why others were not; by id."""

    placed: frozenset[UUID]
    refused: Mapping[UUID, errors.PerennialError]


@transaction.atomic
def move(
    moves: Sequence[Move],
    compare_and_set: Callable[[Sequence[Move]], dict[UUID, int]],
    *,
    kind: str,
    actor: str,
    cause: str,
    at: datetime,
) -> Placed:
    """Move pointers by one of the statements of `registry.lifecycle.pointers`, with the events, in one transaction."""
    # Lock first: an UPDATE alone would compare with what stood when it began to wait, and deadlock with its like.
    heads = history.lock([move.registered_model_id for move in moves])
    return _move(moves, compare_and_set, heads=heads, kind=kind, actor=actor, cause=cause, at=at)[0]


def _move(
    moves: Sequence[Move],
    compare_and_set: Callable[[Sequence[Move]], dict[UUID, int]],
    *,
    heads: Mapping[int, RegisteredModel],
    kind: str,
    actor: str,
    cause: str,
    at: datetime,
) -> tuple[Placed, list[Event]]:
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
    asked = frozenset(move.version_id for move in moves)
    placed = Placed(placed=frozenset(fences), overtaken=asked - fences.keys())
    return placed, history.announce(lines, heads=heads)


def by_hand(
    registered_model: RegisteredModel,
    version: ModelVersion,
    *,
    asked: Move,
    verified: Verified,
    cause: str,
    actor: str,
    reason: str,
    at: datetime,
) -> Event:
    """Make a version champion whatever serves now. Raises what `succession.check` raises, ChampionMoved and more."""
    kind = history.ROLLED_BACK if asked.back else history.PROMOTED
    with transaction.atomic():
        heads = history.lock([registered_model.pk])
        serving = heads[registered_model.pk].champion_id
        moves = [replace(asked, expected_id=serving, reason=reason, digest=verified.digest(version.pk))]
        set_champions = partial(pointers.set_champions, at=at)
        _, events = _move(moves, set_champions, heads=heads, kind=kind, actor=actor, cause=cause, at=at)
        if not events:
            # What it is now says more than that its bytes are missing, or are others.
            succession.check(registered_model, version, champion_id=serving)
            raise verified.refusal(version) or ChampionMoved(_overtaken(registered_model))
    [event] = events
    event.registered_model, event.fleet = registered_model, registered_model.fleet
    return event


def forward_many(
    version_ids: Sequence[UUID], *, verified: Verified, actor: str, reason: str, at: datetime, rehearsed: bool = False
) -> ByHand:
    """Make versions champion, one of each model, those whose bytes hold; rehearsed, only say which could be."""
    found, refused = succession.placeable(version_ids)
    refused |= {key: error for key, version in found.items() if (error := verified.refusal(version))}
    sound = {key: version for key, version in found.items() if key not in refused}
    if rehearsed:
        return ByHand(placed=frozenset(sound), refused=refused)
    moves = [
        Move(
            registered_model_id=version.registered_model_id,
            version_id=version_id,
            expected_id=verified.champions[version_id],
            reason=reason,
            digest=verified.digest(version_id),
        )
        for version_id, version in sound.items()
    ]
    set_champions = partial(pointers.set_champions, at=at)
    done = move(moves, set_champions, kind=history.PROMOTED, actor=actor, cause="manual", at=at)
    for version_id in done.overtaken:
        refused[version_id] = ChampionMoved(_overtaken(sound[version_id].registered_model))
    return ByHand(placed=done.placed, refused=refused)


def sound_returns(registered_models: Sequence[RegisteredModel], verified: Verified, *, again: bool) -> RolledBack:
    """Return where a roll back of each model would go, and why others cannot go back; moves nothing."""
    back = succession.returns([each.pk for each in registered_models])
    to, refused = _sound_targets(registered_models, back, verified, again=again)
    return RolledBack(to=to, refused=refused)


def back_many(
    registered_models: Sequence[RegisteredModel],
    *,
    verified: Verified,
    actor: str,
    reason: str,
    at: datetime,
    again: bool,
) -> RolledBack:
    """Roll each model back to the champion before its present one, those whose target's bytes hold.

    One that a roll back has moved last stays unless it is to go back `again`: a call that broke off, or whose answer
    was lost, can be repeated.
    """
    back = succession.returns([each.pk for each in registered_models])
    to, refused = _sound_targets(registered_models, back, verified, again=again)
    moves = [
        replace(returning(model_id, version, back[model_id]), reason=reason, digest=verified.digest(version.pk))
        for model_id, version in to.items()
    ]
    set_champions = partial(pointers.set_champions, at=at)
    done = move(moves, set_champions, kind=history.ROLLED_BACK, actor=actor, cause="rollback", at=at)
    asked = {each.pk: each for each in registered_models}
    for model_id, version in to.items():
        if version.pk in done.overtaken:
            refused[model_id] = ChampionMoved(_overtaken(asked[model_id]))
    return RolledBack(to={key: value for key, value in to.items() if value.pk in done.placed}, refused=refused)


def returning(model_id: int, version: ModelVersion, back: succession.Return) -> Move:
    """Return the move of a model back to a version, expecting the champion that was found."""
    return Move(
        registered_model_id=model_id,
        version_id=version.pk,
        expected_id=back.line[-1] if back.line else None,
        back=True,
        before_id=back.before(version.pk),
    )


def _sound_targets(
    registered_models: Iterable[RegisteredModel],
    back: Mapping[int, succession.Return],
    verified: Verified,
    *,
    again: bool,
) -> tuple[dict[int, ModelVersion], dict[int, errors.PerennialError]]:
    to: dict[int, ModelVersion] = {}
    refused: dict[int, errors.PerennialError] = {}
    hints = succession.suggestions([model_id for model_id, each in back.items() if each.to is None])
    for each in registered_models:
        target = back[each.pk].to
        if back[each.pk].is_back and not again:
            refused[each.pk] = RolledBackAlready(f"{each} was rolled back, and nothing was promoted since.")
        elif target is None:
            sentence, hint = f"{each} has no earlier champion that is ready.", hints.get(each.pk)
            refused[each.pk] = NothingToRollBackTo(sentence, next_step=hint)
        elif error := verified.refusal(target):
            refused[each.pk] = error
        else:
            to[each.pk] = target
    return to, refused


def _overtaken(registered_model: RegisteredModel) -> str:
    return f"The champion of {registered_model} changed at the same time."
