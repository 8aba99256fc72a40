"""Owns which version may become champion by hand, and which came before. Reads only; refusals say what would do."""

from __future__ import annotations

from uuid import UUID

from registry import errors, history
from registry.models import Event, ModelVersion, RegisteredModel

# Champion moves that are looked at to find the one before; more rollbacks in a row than this are not meant.
LOOKED_BACK_MOVES = 500
SUGGESTED_VERSIONS = 5


class VersionNotReady(errors.Conflict):
    """Only a ready version can be placed."""

    code = "version_not_ready"


class VersionForeign(errors.Invalid):
    """The version belongs to another registered model."""

    code = "version_foreign"


class AlreadyChampion(errors.Conflict):
    """The version serves already."""

    code = "already_champion"


class NothingToRollBackTo(errors.Conflict):
    """No earlier champion is ready."""

    code = "nothing_to_roll_back_to"
    next_step = "Promote a version by hand, or retrain."


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
        raise VersionNotReady(
            f"Version {version.number} is {state}.", next_step=_suggestion(registered_model, champion_id)
        )


def _suggestion(registered_model: RegisteredModel, champion_id: UUID | None) -> str:
    ready = ModelVersion.objects.filter(registered_model=registered_model, state=ModelVersion.State.READY)
    if champion_id is not None:
        ready = ready.exclude(pk=champion_id)
    numbers = ready.order_by("-number").values_list("number", flat=True)[:SUGGESTED_VERSIONS]
    if not numbers:
        return "No other version of it is ready: retrain."
    return f"Ready are the versions {', '.join(map(str, numbers))}."


def previous(registered_model: RegisteredModel) -> ModelVersion:
    """Return the ready champion before the present one, not one that a rollback undid. Raises NothingToRollBackTo."""
    earlier = _line_of_champions(registered_model)[:-1]
    ready = ModelVersion.objects.filter(registered_model=registered_model, state=ModelVersion.State.READY)
    versions = ready.in_bulk([version_id for version_id in earlier if version_id is not None])
    for version_id in reversed(earlier):
        if version_id in versions:
            return versions[version_id]
    raise NothingToRollBackTo(f"{registered_model} has no earlier champion that is ready.")


def _line_of_champions(registered_model: RegisteredModel) -> list[UUID | None]:
    moves = Event.objects.filter(registered_model=registered_model, kind__in=history.CHAMPION_KINDS)
    newest = list(moves.order_by("-count").values_list("kind", "from_version", "to_version")[:LOOKED_BACK_MOVES])
    line: list[UUID | None] = []
    for kind, before, after in reversed(newest):
        line = line or [before]
        if kind == history.ROLLED_BACK and after in line:
            line = line[: len(line) - 1 - line[::-1].index(after)]
        line.append(after)
    return line
