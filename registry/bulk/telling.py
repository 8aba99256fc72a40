"""Owns how programs read what became of many: the same words over REST and in the JSON of commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from registry import errors
from registry.bulk import Done, Step
from registry.bulk.tagging import Tagged
from registry.models import ModelVersion, RegisteredModel


def changed(action: str, done: Done, results: Sequence[Mapping[str, Any]], *, dry_run: bool) -> dict[str, Any]:
    """Return counts and results of one action."""
    return {"action": action, "dry_run": dry_run, **_counts(done), "results": list(results)}


def outcome(done: Done, version_id: UUID) -> dict[str, str]:
    """Return what became of one version, with the reason where it was refused."""
    return _outcome(done.changed, done.refused, version_id)


def rolled_back(steps: Sequence[Step], *, dry_run: bool) -> dict[str, Any]:
    """Return what became of each model of a roll back."""
    back = sum(each.to is not None for each in steps)
    results = [step(each) for each in steps]
    return {"dry_run": dry_run, "rolled_back": back, "refused": len(steps) - back, "results": results}


def step(done: Step) -> dict[str, Any]:
    """Return what became of one model of a roll back."""
    before = done.registered_model.champion
    told = {"entity": done.registered_model.entity_key, "before": named(before) if before else None}
    if done.to is not None:
        return {**told, "outcome": "rolled_back", "to": named(done.to)}
    return {**told, "outcome": "refused", **(done.refusal.plain() if done.refusal else {})}


def tagged(registered_models: Sequence[RegisteredModel], done: Tagged[int], *, dry_run: bool) -> dict[str, Any]:
    """Return what became of the tags of each model."""
    results = [
        {
            "entity": each.entity_key,
            **_outcome(done.changed, done.refused, each.pk),
            "tags": done.changed.get(each.pk, each.tags),
        }
        for each in registered_models
    ]
    return {"dry_run": dry_run, **_counts(done), "results": results}


def named(version: ModelVersion) -> dict[str, Any]:
    """Return how a version is named."""
    return {"id": str(version.pk), "number": version.number, "label": version.label}


def _counts(done: Done | Tagged[int]) -> dict[str, int]:
    return {"changed": len(done.changed), "unchanged": len(done.unchanged), "refused": len(done.refused)}


def _outcome(changed: Collection[Any], refused: Mapping[Any, errors.PerennialError], key: object) -> dict[str, str]:
    if error := refused.get(key):
        return {"outcome": "refused", **error.plain()}
    return {"outcome": "changed" if key in changed else "unchanged"}
