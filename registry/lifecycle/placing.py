"""Owns pointer moves with their events: for many, or by hand for one. `registry.lifecycle` alone calls it.

A move by hand verifies the very bytes that are to serve, and says why, before it touches a pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from registry import artifacts, errors, history
from registry.lifecycle import pointers, succession
from registry.lifecycle.pointers import Move
from registry.lifecycle.succession import NothingToRollBackTo
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
    cause: str,
    actor: str,
    reason: str,
    at: datetime,
) -> Event:
    """Make a version champion whatever serves now. Raises what `succession.check` raises, ChampionMoved and more."""
    if not _looks_placeable(registered_model, version):
        _check(registered_model, version)
    try:
        artifacts.load(version)
    except errors.PerennialError:
        # Gone with a version that was swept since it was read: that says more than a missing file.
        _check(registered_model, version)
        raise
    kind = history.ROLLED_BACK if asked.back else history.PROMOTED
    with transaction.atomic():
        heads = history.lock([registered_model.pk])
        serving = heads[registered_model.pk].champion_id
        moves = [replace(asked, expected_id=serving, reason=reason)]
        set_champions = partial(pointers.set_champions, at=at)
        _, events = _move(moves, set_champions, heads=heads, kind=kind, actor=actor, cause=cause, at=at)
        if not events:
            # What it was when it was read it is no more: say what it is.
            succession.check(registered_model, version, champion_id=serving)
            raise ChampionMoved(f"The champion of {registered_model} changed at the same time.")
    [event] = events
    event.registered_model, event.fleet = registered_model, registered_model.fleet
    return event


def _check(registered_model: RegisteredModel, version: ModelVersion) -> None:
    champion_id = RegisteredModel.objects.values_list("champion_id", flat=True).get(pk=registered_model.pk)
    succession.check(registered_model, version, champion_id=champion_id)


def _looks_placeable(registered_model: RegisteredModel, version: ModelVersion) -> bool:
    """Whether nothing that was read speaks against it; where something does, the database is asked again."""
    own = version.registered_model_id == registered_model.pk
    return own and version.state == ModelVersion.State.READY and version.pk != registered_model.champion_id


def forward_many(
    version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime, rehearsed: bool = False
) -> ByHand:
    """Make versions champion, one of each model, those whose bytes hold; rehearsed, only say which could be."""
    found, refused = succession.placeable(version_ids)
    sound = {}
    for version_id, version in found.items():
        try:
            artifacts.load(version)
            sound[version_id] = version
        except errors.PerennialError as error:
            refused[version_id] = error
    if rehearsed:
        return ByHand(placed=frozenset(sound), refused=refused)
    moves = [
        Move(
            registered_model_id=version.registered_model_id,
            version_id=version_id,
            expected_id=version.registered_model.champion_id,
            reason=reason,
        )
        for version_id, version in sound.items()
    ]
    set_champions = partial(pointers.set_champions, at=at)
    done = move(moves, set_champions, kind=history.PROMOTED, actor=actor, cause="manual", at=at)
    for version_id in done.overtaken:
        refused[version_id] = ChampionMoved(
            f"The champion of {sound[version_id].registered_model} changed at the same time."
        )
    return ByHand(placed=done.placed, refused=refused)


def sound_returns(registered_models: Sequence[RegisteredModel]) -> RolledBack:
    """Return where a roll back of each model would go, and why others cannot go back; moves nothing."""
    back = succession.returns([each.pk for each in registered_models])
    to, refused = _sound_targets(registered_models, back)
    return RolledBack(to=to, refused=refused)


def back_many(registered_models: Sequence[RegisteredModel], *, actor: str, reason: str, at: datetime) -> RolledBack:
    """Roll each model back to the champion before its present one, those whose target's bytes hold."""
    back = succession.returns([each.pk for each in registered_models])
    to, refused = _sound_targets(registered_models, back)
    moves = [_return(model_id, version, back[model_id], reason) for model_id, version in to.items()]
    set_champions = partial(pointers.set_champions, at=at)
    done = move(moves, set_champions, kind=history.ROLLED_BACK, actor=actor, cause="rollback", at=at)
    asked = {each.pk: each for each in registered_models}
    for model_id, version in to.items():
        if version.pk in done.overtaken:
            refused[model_id] = ChampionMoved(f"The champion of {asked[model_id]} changed at the same time.")
    return RolledBack(to={key: value for key, value in to.items() if value.pk in done.placed}, refused=refused)


def _return(model_id: int, version: ModelVersion, back: succession.Return, reason: str) -> Move:
    return Move(
        registered_model_id=model_id,
        version_id=version.pk,
        expected_id=back.line[-1],
        back=True,
        before_id=back.before(version.pk),
        reason=reason,
    )


def _sound_targets(
    registered_models: Iterable[RegisteredModel], back: Mapping[int, succession.Return]
) -> tuple[dict[int, ModelVersion], dict[int, errors.PerennialError]]:
    to: dict[int, ModelVersion] = {}
    refused: dict[int, errors.PerennialError] = {}
    hints = succession.suggestions([model_id for model_id, each in back.items() if each.to is None])
    for each in registered_models:
        target = back[each.pk].to
        if target is None:
            sentence, hint = f"{each} has no earlier champion that is ready.", hints.get(each.pk)
            refused[each.pk] = NothingToRollBackTo(sentence, next_step=hint)
            continue
        try:
            artifacts.load(target)
            to[each.pk] = target
        except errors.PerennialError as error:
            refused[each.pk] = error
    return to, refused
