"""What the tests of retention share: a model with old versions, and files that are old."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from registry import artifacts, lifecycle, retention
from registry.models import Fleet, ModelVersion, RegisteredModel, Retention
from registry.retention import selection
from tests import factories
from tests.factories import NOW

SWEPT = NOW + timedelta(days=30)
"""Long after every mark that is made at NOW."""


def fleet(**values: Any) -> Fleet:
    """A fleet that keeps one version of each model."""
    return factories.fleet(retention=Retention(keep=1, grace_days=7), **values)


def model(*, versions: int = 3, owner: Fleet | None = None) -> tuple[RegisteredModel, list[ModelVersion]]:
    """A model whose versions nobody needs, the newest excepted."""
    made = factories.registered_model(fleet=owner or fleet())
    return made, [factories.version(registered_model=made) for _ in range(versions)]


def packed(*, contents: Sequence[bytes], owner: Fleet | None = None) -> list[ModelVersion]:
    """Versions of one model whose artifacts lie in one container."""
    made = factories.registered_model(fleet=owner or fleet())
    stored = lifecycle.store_artifacts(contents, format="test-1")
    assert len({each.container for each in stored}) == 1
    items = [
        lifecycle.Registration(registered_model_id=made.pk, stored=each, trainer="seasonal_naive") for each in stored
    ]
    return lifecycle.register(items, actor="test", cause="manual", at=NOW)


def mark(owner: Fleet, *, at: datetime = NOW) -> list[Any]:
    """Mark a fleet to the end; the ids."""
    scope = selection.Scope(fleet_id=owner.pk)
    return [each.id for step in retention.mark(scope, actor="retention", at=at) for each in step.versions]


def archive(versions: Sequence[ModelVersion]) -> None:
    """Mark just these versions, due at SWEPT."""
    done = lifecycle.archive(
        [each.pk for each in versions], actor="test", reason="test", at=NOW, sweep_after=NOW + timedelta(days=7)
    )
    assert len(done.changed) == len(versions)


def age(root: Path, *, to: datetime = NOW) -> None:
    """Make every file of a store as old as this."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (to.timestamp(), to.timestamp()))


def path(root: Path, digest: str) -> Path:
    """Where an object of this digest lies."""
    return root / artifacts.key_of(digest)


def files(root: Path) -> set[str]:
    """The names of the objects, half-written ones included."""
    return {each.name for folder in ("artifacts", "snapshots") for each in (root / folder).rglob("*") if each.is_file()}


def state(version: ModelVersion) -> str:
    """The state of a version now."""
    return ModelVersion.objects.values_list("state", flat=True).get(pk=version.pk)
