"""Owns which version may become champion by hand, and which came before. Reads only; refusals say what would do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from django.db import connection

from registry import errors, history
from registry.models import ModelVersion, RegisteredModel

# Champion moves that are looked at to find the one before; more rollbacks in a row than this are not meant.
LOOKED_BACK_MOVES = 500
SUGGESTED_VERSIONS = 5
_MOVES = """
SELECT wanted.id, e.kind, e.from_version_id, e.to_version_id
FROM unnest(%s::bigint[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT kind, from_version_id, to_version_id, count FROM registry_event
    WHERE registered_model_id = wanted.id AND kind = ANY(%s) ORDER BY count DESC LIMIT %s
) AS e ORDER BY wanted.id, e.count
"""


_READY = """
SELECT m.id, v.number
FROM registry_registeredmodel AS m CROSS JOIN LATERAL (
    SELECT number FROM registry_modelversion
    WHERE registered_model_id = m.id AND state = 'ready' AND id IS DISTINCT FROM m.champion_id
    ORDER BY number DESC LIMIT %s
) AS v WHERE m.id = ANY(%s::bigint[]) ORDER BY m.id, v.number DESC
"""


class VersionUnknown(errors.NotFound):
    """No version answers to that id, number, label or word."""

    code = "version_unknown"
    next_step = "GET /api/v1/models/{fleet}/{entity}/versions and `manage.py versions` list the versions of a model."


class VersionNotReady(errors.Conflict):
    """Only a ready version can be placed."""

    code = "version_not_ready"


class VersionForeign(errors.Invalid):
    """The version belongs to another registered model."""

    code = "version_foreign"


class AlreadyChampion(errors.Conflict):
    """The version serves already."""

    code = "already_champion"


class NoChampion(errors.NotFound):
    """The model has, or had then, no champion, or none that can be loaded."""

    code = "no_champion"
    next_step = "Retrain it, by POST /api/v1/runs or manage.py retrain: what the gate passes becomes champion."


class RolledBackAlready(errors.Conflict):
    """What serves is there because of a roll back, so the same call once more would go further than anybody meant."""

    code = "rolled_back_already"
    next_step = "To go back one champion more say `again`: --again on the command line, a box on the page."


class NothingToRollBackTo(errors.Conflict):
    """No earlier champion is ready."""

    code = "nothing_to_roll_back_to"
    next_step = "Promote a version by hand, or retrain."


@dataclass(frozen=True, kw_only=True)
class Return:
    """Where a roll back of one model goes."""

    to: ModelVersion | None
    """The ready champion before the present one, not one that a rollback undid; None where there is none."""
    line: tuple[UUID | None, ...]
    """The champions one after the other, without what rollbacks undid; the last is the present one."""
    is_back: bool = False
    """Whether a roll back made the present champion serve."""

    def before(self, version_id: UUID) -> UUID | None:
        """Return which champion came before this one, or the present one where it never was champion."""
        if version_id not in self.line:
            return self.line[-1] if self.line else None
        place = len(self.line) - 1 - self.line[::-1].index(version_id)
        return self.line[place - 1] if place else None


def check(registered_model: RegisteredModel, version: ModelVersion, *, champion_id: UUID | None) -> None:
    """Refuse a version that cannot become champion. Raises VersionForeign, AlreadyChampion, VersionNotReady."""
    state = ModelVersion.objects.values_list("state", flat=True).get(pk=version.pk)
    if version.registered_model_id != registered_model.pk:
        raise VersionForeign(
            f"Version {version.pk} is not one of {registered_model}.",
            next_step=_suggestion(registered_model, champion_id),
        )
    if version.pk == champion_id:
        raise AlreadyChampion(
            f"Version {version.number} is the champion already.", next_step=_suggestion(registered_model, champion_id)
        )
    if state != ModelVersion.State.READY:
        raise _not_ready(f"Version {version.number}", state, _suggestion(registered_model, champion_id))


_WAYS: Mapping[str, str] = {
    ModelVersion.State.PENDING: "A worker lets its trainer read it first; without one: manage.py inspect. ",
    ModelVersion.State.ARCHIVED: "Restore it first. ",
    ModelVersion.State.QUARANTINED: "The history of its model says why it is quarantined, and its page what to do. ",
}


def _not_ready(name: str, state: str, hint: str) -> VersionNotReady:
    return VersionNotReady(f"{name} is {state}.", next_step=_WAYS.get(state, "") + hint)


def _suggestion(registered_model: RegisteredModel, champion_id: UUID | None) -> str:
    ready = ModelVersion.objects.filter(registered_model=registered_model, state=ModelVersion.State.READY)
    if champion_id is not None:
        ready = ready.exclude(pk=champion_id)
    numbers = ready.order_by("-number").values_list("number", flat=True)[:SUGGESTED_VERSIONS]
    if not numbers:
        return "No other version of it is ready: retrain."
    return f"Ready are the versions {', '.join(map(str, numbers))}."


def suggestions(model_ids: Sequence[int]) -> dict[int, str]:
    """Return for each of these models which versions could become champion by hand; nothing where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_READY, [SUGGESTED_VERSIONS, list(model_ids)])
        rows = cursor.fetchall()
    return {
        model_id: f"Ready are the versions {', '.join(str(number) for _, number in group)}."
        for model_id, group in groupby(rows, key=itemgetter(0))
    }


def placeable(version_ids: Sequence[UUID]) -> tuple[dict[UUID, ModelVersion], dict[UUID, errors.PerennialError]]:
    """Return which of these can become champion by hand, one of each model, and why the others cannot; two queries."""
    rows = ModelVersion.objects.select_related("registered_model__fleet").in_bulk(list(version_ids))
    hints = suggestions([each.registered_model_id for each in rows.values()])
    found: dict[UUID, ModelVersion] = {}
    refused: dict[UUID, errors.PerennialError] = {}
    named: set[int] = set()
    for version_id in version_ids:
        version = rows.get(version_id)
        if version is None:
            refused[version_id] = VersionUnknown(f"There is no version {version_id}.")
        elif error := _unplaceable(version, hints, named):
            refused[version_id] = error
            if isinstance(error, AlreadyChampion):
                named.add(version.registered_model_id)
        else:
            found[version_id] = version
            named.add(version.registered_model_id)
    return found, refused


def _unplaceable(version: ModelVersion, hints: Mapping[int, str], named: set[int]) -> errors.PerennialError | None:
    model, hint = (
        version.registered_model,
        hints.get(version.registered_model_id, "No other version of it is ready: retrain."),
    )
    if model.champion_id == version.pk and model.pk not in named:
        return AlreadyChampion(f"{version} is the champion already.", next_step=hint)
    if version.state != ModelVersion.State.READY:
        return _not_ready(str(version), version.state, hint)
    if model.pk in named:
        return errors.Conflict(f"Another version of {model} is named too.", next_step="Name one version of each model.")
    return None


def previous(registered_model: RegisteredModel) -> ModelVersion:
    """Return the ready champion before the present one, not one that a rollback undid. Raises NothingToRollBackTo."""
    found = returns([registered_model.pk])[registered_model.pk].to
    if found is None:
        raise NothingToRollBackTo(f"{registered_model} has no earlier champion that is ready.")
    return found


def earlier(registered_model: RegisteredModel) -> list[ModelVersion]:
    """Return the ready champions before the present one, the last first, without those that rollbacks undid."""
    lines = dict(_moves([registered_model.pk]))
    line = _line(lines.get(registered_model.pk, []))
    wanted = [each for each in dict.fromkeys(reversed(line[:-1])) if each and each != line[-1]]
    ready = ModelVersion.objects.select_related("registered_model__fleet").filter(state=ModelVersion.State.READY)
    versions = ready.in_bulk(wanted)
    return [versions[each] for each in wanted if each in versions]


def returns(model_ids: Sequence[int]) -> dict[int, Return]:
    """Return for each of these models where a roll back goes, in two queries."""
    found = dict(_moves(model_ids))
    lines = {model_id: tuple(_line(moves)) for model_id, moves in found.items()}
    went_back = {model_id for model_id, moves in found.items() if moves[-1][0] == history.ROLLED_BACK}
    wanted = {version_id for line in lines.values() for version_id in line[:-1] if version_id is not None}
    ready = ModelVersion.objects.select_related("registered_model__fleet").filter(state=ModelVersion.State.READY)
    versions = ready.in_bulk(list(wanted))
    return {
        model_id: _return(lines.get(model_id, ()), versions, is_back=model_id in went_back) for model_id in model_ids
    }


def _return(line: tuple[UUID | None, ...], versions: Mapping[UUID, ModelVersion], *, is_back: bool) -> Return:
    earlier = (versions[each] for each in reversed(line[:-1]) if each and each in versions and each != line[-1])
    return Return(to=next(earlier, None), line=line, is_back=is_back)


def _moves(model_ids: Sequence[int]) -> Iterable[tuple[int, list[tuple[str, UUID | None, UUID | None]]]]:
    with connection.cursor() as cursor:
        cursor.execute(_MOVES, [list(model_ids), list(history.CHAMPION_KINDS), LOOKED_BACK_MOVES])
        rows = cursor.fetchall()
    return [(model_id, [row[1:] for row in group]) for model_id, group in groupby(rows, key=itemgetter(0))]


def _line(moves: Sequence[tuple[str, UUID | None, UUID | None]]) -> list[UUID | None]:
    line: list[UUID | None] = []
    for kind, before, after in moves:
        line = line or [before]
        if kind == history.ROLLED_BACK and after in line:
            line = line[: len(line) - 1 - line[::-1].index(after)]
        line.append(after)
    return line
