"""Owns what both sides hold before anything is measured: one model with its versions, each with a real small bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from benchmarks.registry.client import Client
from benchmarks.registry.site import TENANT
from registry import bundle, identifiers, lifecycle, timestamps
from registry.bundle import tables
from registry.models import Fleet, RegisteredModel
from registry.reports import Scorecard

FLEET = "bench"
ENTITY = "pump-1"
NAME = f"{FLEET}-{ENTITY}"
METRICS = {"mae": 4.2, "rmse": 6.1, "mape": 8.5, "wape": 0.09, "bias": -0.2, "relative_mae": 0.81}
ACTOR = "benchmark"
FORMAT = "seasonal-naive-json-1"
# The cheapest source that MLflow takes: for one on its own disk it looks up a run as well. Nothing is ever read there.
SOURCE = f"s3://bench/{NAME}"


@dataclass(frozen=True, kw_only=True)
class Stock:
    """Our model and its versions, oldest first."""

    registered_model_id: int
    versions: Sequence[UUID]


def small_bundle(number: int) -> bytes:
    """Return the bytes of a bundle with 90 test predictions and 28 observations of context; each number differs."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    days = [start + timedelta(days=day) for day in range(90)]
    test = tables.Table(
        columns=("time", "actual", "predicted"),
        rows=tuple((day, 20.0 + place % 7, 20.5 + place % 7) for place, day in enumerate(days)),
    )
    context = tables.Table(
        columns=("time", "value"), rows=tuple((day, 20.0 + place % 7) for place, day in enumerate(days[-28:]))
    )
    return bundle.pack(
        bundle.Bundle(
            format=FORMAT,
            forecaster=b'{"season_length": 7, "seed": %d}' % number,
            metadata={"trainer": "seasonal_naive", "number": number, "metrics": METRICS},
            feature_importance={"lag_7": 0.7, "lag_1": 0.3},
            test=test,
            context=context,
        )
    )


def registration(registered_model_id: int, stored: lifecycle.Stored) -> lifecycle.Registration:
    """Return what the row of one version says."""
    at = datetime(2026, 3, 31, tzinfo=UTC)
    return lifecycle.Registration(
        version_id=identifiers.uuid7(),
        registered_model_id=registered_model_id,
        stored=stored,
        trainer="seasonal_naive",
        params={"season_length": 7, "damped": True},
        scorecard=Scorecard(metrics=METRICS, baseline={"mae": 5.2}, points=90, windows=3),
        data_start=at - timedelta(days=120),
        train_end=at - timedelta(days=30),
        fit_end=at,
        rows=120,
        library_versions={"python": "3.11.7", "numpy": "2.4.0"},
        extra={"ticket": "none"},
    )


def fleet(name: str = FLEET) -> Fleet:
    """Make a fleet of daily forecasts."""
    return Fleet.objects.create(
        tenant=TENANT, name=name, kind="forecast", frequency="D", horizon=7, season_length=7, unit="l"
    )


def ours(*, versions: int) -> Stock:
    """Register the model and its versions; the newest is champion."""
    model = RegisteredModel.objects.create(fleet=fleet(), entity_key=ENTITY)
    stored = lifecycle.store_artifacts([small_bundle(number) for number in range(versions)], format=FORMAT)
    items = [registration(model.pk, each) for each in stored]
    now = timestamps.utc_now()
    lifecycle.register(items, actor=ACTOR, cause="manual", at=now)
    made = [item.version_id for item in items]
    move = lifecycle.Move(registered_model_id=model.pk, version_id=made[-1], expected_id=None)
    lifecycle.promote([move], actor=ACTOR, cause="gate", at=now)
    return Stock(registered_model_id=model.pk, versions=made)


def theirs(client: Client, *, versions: int) -> None:
    """Register the same model and as many versions with MLflow; the newest has the alias `champion`."""
    client.post("/api/2.0/mlflow/registered-models/create", {"name": NAME})
    for _ in range(versions):
        client.post("/api/2.0/mlflow/model-versions/create", {"name": NAME, "source": SOURCE})
    body = {"name": NAME, "alias": "champion", "version": str(versions)}
    client.post("/api/2.0/mlflow/registered-models/alias", body)
