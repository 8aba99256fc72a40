"""Owns which version a consumer should use now, and which stand beside it. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from registry.lifecycle import succession
from registry.models import ModelVersion, RegisteredModel


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which version of a model is to be used, and why not the champion where it is another."""

    model: RegisteredModel
    use: ModelVersion | None
    """None where none can be used."""
    note: str = ""

    def is_same(self, other: Choice) -> bool:
        """Whether both say to use the same version."""
        return (self.use and self.use.pk) == (other.use and other.use.pk)


def now(model_id: int) -> Choice:
    """Read what a model's pointer is to name."""
    return choose(RegisteredModel.objects.select_related("fleet", "champion").get(pk=model_id))


def choose(model: RegisteredModel) -> Choice:
    """Return what the pointer of a model is to name; the model comes with its fleet and its champion."""
    champion = model.champion
    if champion is None:
        return Choice(model=model, use=None, note="No version has been promoted yet.")
    champion.registered_model = model
    if champion.state == ModelVersion.State.READY:
        return Choice(model=model, use=champion)
    before = next(iter(succession.earlier(model)), None)
    what = f"The champion, version {champion.number}, is {champion.state}"
    if before is None:
        return Choice(model=model, use=None, note=f"{what}, and no earlier champion is ready.")
    before.registered_model = model
    return Choice(model=model, use=before, note=f"{what}; version {before.number} served before it.")


def wanted(choice: Choice, *, all_versions: bool) -> list[ModelVersion]:
    """Return the versions that stand in the folder: first what is used, then the newest ready ones."""
    ready = choice.model.versions.filter(state=ModelVersion.State.READY).order_by("-number")
    newest = list(ready if all_versions else ready[: choice.model.fleet.export.versions])
    for version in newest:
        version.registered_model = choice.model
    used = [choice.use] if choice.use is not None else []
    return [*used, *(version for version in newest if version not in used)]
