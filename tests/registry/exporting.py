"""Versions with real bundles, and a reader of exported folders that believes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local import state
from registry import bundle, lifecycle
from registry.bundle.tables import Table
from registry.models import Fleet, ModelVersion, RegisteredModel
from registry.reports import Scorecard
from tests import database, factories
from tests.factories import NOW

ROWS = 250


def content(number: int) -> bundle.Bundle:
    """A bundle with more predictions than anybody would cut, and names that try what they can."""
    rows = tuple((NOW + timedelta(days=day), -1.5 + day, None if day % 7 else 2.25, "=1+1") for day in range(ROWS))
    table = Table(("time", "yhat", "y", "=note"), rows)
    return bundle.Bundle(
        format="prophet-json-1",
        forecaster=json.dumps({"format": "prophet-json-1", "number": number}).encode(),
        metadata={"number": number},
        feature_importance={"weekday": 0.25, "=SUM(A1)": 0.75},
        validation=table,
        test=Table(table.columns, rows[:120]),
        context=Table(("time", "y"), ((NOW, 1.0),)),
    )


def version(model: RegisteredModel, *, number: int = 1, at: datetime = NOW, **values: Any) -> ModelVersion:
    """A ready version with a real bundle."""
    defaults = {
        "params": {"growth": "flat"}, "features": ["weekday"], "library_versions": {"prophet": "1.5.0"},
        "scorecard": Scorecard(metrics={"mae": 1.5, "mape": None}), "rows": 90, "extra": {"line": "A"},
        "data_start": datetime(2026, 1, 1, tzinfo=UTC), "fit_end": datetime(2026, 2, 28, tzinfo=UTC),
    }  # fmt: skip
    packed = bundle.pack(content(number))
    return factories.version(registered_model=model, content=packed, at=at, **{**defaults, **values})


def promoted(model: RegisteredModel, *, number: int = 1, at: datetime = NOW, **values: Any) -> ModelVersion:
    """A champion with a real bundle."""
    made = version(model, number=number, at=at, **values)
    return promote(model, made, at=at)


def promote(model: RegisteredModel, made: ModelVersion, *, at: datetime = NOW) -> ModelVersion:
    """Make a version champion by hand."""
    lifecycle.promote_by_hand(registered_model=model, version=made, actor="test", reason="for the test", at=at)
    model.refresh_from_db()
    made.refresh_from_db()
    return made


def fleet(**values: Any) -> Fleet:
    """A fleet that asks for exports."""
    from registry.models import ExportSettings

    return factories.fleet(export=ExportSettings(enabled=True, **values), name="bakery")


@contextmanager
def process(script: str, *arguments: str, artifacts: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script on the tests' database as a process of its own, and wait for its line `ready`; killed at the end."""
    own = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database.url(),
        "PERENNIAL_REGISTRY_ARTIFACT_URL": artifacts.as_uri(),
        "PERENNIAL_REGISTRY_SIGNING_KEYS": "test:only-for-tests",
        "PERENNIAL_REGISTRY_EXPORT_GRACE_SECONDS": "1",
    }
    command = [sys.executable, "-c", script, *arguments]
    started = subprocess.Popen(
        command, cwd=state.PROJECT, env={**os.environ, **own}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert started.stdout is not None and started.stdout.readline() == "ready\n"
        yield started
    finally:
        started.kill()
        started.communicate()


def read(folder: Path) -> dict[str, Any]:
    """Return what a consumer of this model would use: the pointer, after looking at every file that it names."""
    pointer: dict[str, Any] = json.loads((folder / "current.json").read_bytes())
    used = folder / pointer["path"]
    for name, digest in pointer["files"].items():
        assert hashlib.sha256((used / name).read_bytes()).hexdigest() == digest, name
    assert {"feature_importance.csv", "test_predictions.csv", "validation_predictions.csv"} < set(pointer["files"])
    assert json.loads((used / "metadata.json").read_bytes())["version"] == pointer["version"] == used.name
    assert json.loads((used / pointer["forecaster"]).read_bytes())["format"] == pointer["forecaster_format"]
    return pointer
