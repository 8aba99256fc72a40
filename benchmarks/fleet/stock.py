"""Owns what is there before the slot: the fleet, its file, and a champion for each model, fitted up to the day before.

The champions are fitted by the trainer itself and registered and promoted through `lifecycle`, a thousand at a time;
every second one has parameters that are not the policy's, so that its twin is fitted when it is challenged.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.db import connection

from benchmarks.fleet import shapes
from benchmarks.fleet.shapes import Block
from registry import bundle, enrolment, lifecycle, timestamps
from registry.lifecycle import Registration
from registry.models import Fleet
from registry.reports import Scorecard
from training import packing, sources
from training.models import Columns, FileOptions, RetrainingPolicy, Source
from training.policy_terms import TrainerChoice
from training.trainers import table
from training.trainers.base import Fitted, Params, Series

TENANT, NAME, ACTOR = "bench", "fleet", "benchmark"
HORIZON, SEASON = 28, 7
TRAINER = "prophet"
OTHER: Mapping[str, Any] = {"changepoint_prior_scale": 0.1, "weekly_seasonality": 4}
"""Parameters of every second champion, where the policy has the trainer's own."""
SAID = (
    "Every model has a champion, fitted by the trainer on all days but the last and registered and promoted before"
    " anything is measured; every second one has the parameters " + str(dict(OTHER)) + ", which are not the policy's."
)
TOLD_EVERY = 10_000


@dataclass(frozen=True, kw_only=True)
class Stock:
    """The fleet and its policy, which is made due."""

    fleet: Fleet
    policy: RetrainingPolicy


def fill(folder: Path, *, models: int) -> Stock:
    """Write the file, the fleet and all champions."""
    path = folder / "sold.parquet"
    fleet = Fleet.objects.create(
        tenant=TENANT, name=NAME, kind="forecast", frequency="D", horizon=HORIZON, season_length=SEASON
    )
    source = Source.objects.create(
        tenant=TENANT,
        name=NAME,
        options=FileOptions(path=str(path)),
        columns=Columns(time="day", target="sold", entity="product"),
    )
    policy = RetrainingPolicy.objects.create(
        fleet=fleet, source=source, name=NAME, trainers=(TrainerChoice(name=TRAINER),)
    )
    given = 0
    for block in shapes.write(path, models=models):
        _crown(fleet, block)
        given += len(block.keys)
        if given % TOLD_EVERY == 0:
            print(f"champions: {given} of {models}", file=sys.stderr)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return Stock(fleet=fleet, policy=policy)


def make_due(policy: RetrainingPolicy) -> datetime:
    """Let the policy have been due a minute ago, once a day; return that slot."""
    slot = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    RetrainingPolicy.objects.filter(pk=policy.pk).update(
        cron=f"{slot.minute} {slot.hour} * * *", time_zone="UTC", next_due_at=slot
    )
    return slot


def _crown(fleet: Fleet, block: Block) -> None:
    """Give the entities of a block their models, each with a champion."""
    at = timestamps.utc_now()
    enrolled = enrolment.enroll(fleet=fleet, entity_keys=block.keys, actor=ACTOR, at=at)
    models = {model.entity_key: model.pk for model in enrolled}
    series = [_series(key, block, values) for key, values in zip(block.keys, block.values, strict=True)]
    trainer = table.find(TRAINER)
    params = [trainer.check_params(OTHER if place % 2 else {}) for place in range(len(series))]
    seeds = [zlib.crc32(each.entity.encode()) for each in series]
    fits = trainer.fit_many(series, params=params, seeds=seeds, grid=sources.grid_of(fleet))
    stored = lifecycle.store_artifacts(
        [_packed(fleet, *each) for each in zip(series, fits, params, strict=True)], format=trainer.format
    )
    items = [
        _registration(models[one.entity], kept, one, choice, seed)
        for one, kept, choice, seed in zip(series, stored, params, seeds, strict=True)
    ]
    lifecycle.register(items, actor=ACTOR, cause="retrain", at=at)
    moves = [
        lifecycle.Move(registered_model_id=item.registered_model_id, version_id=item.version_id, expected_id=None)
        for item in items
    ]
    lifecycle.promote(moves, actor=ACTOR, cause="gate", at=at)


def _series(key: str, block: Block, values: Any) -> Series:
    stamps = block.days[:-1].astype("datetime64[us]")
    return Series(
        entity=key,
        instants=stamps,
        times=stamps,
        target=np.ascontiguousarray(values[:-1]),
        features=np.empty((len(stamps), 0)),
    )


def _packed(fleet: Fleet, series: Series, fit: Fitted, params: Params) -> bytes:
    last = 2 * SEASON
    context = bundle.Columns(
        ("time", "y"), (np.datetime_as_string(series.times[-last:], unit="D").tolist(), series.target[-last:].tolist())
    )
    content = bundle.Bundle(
        format=table.find(TRAINER).format,
        forecaster=fit.forecaster.dump(),
        metadata={"fleet": fleet.name, "entity": series.entity, "trainer": TRAINER, "params": dict(params)},
        feature_importance=fit.feature_importance,
    )
    return bundle.pack(content, by_columns={"context": context})


def _registration(model_id: int, stored: lifecycle.Stored, series: Series, params: Params, seed: int) -> Registration:
    first, last = (each.replace(tzinfo=UTC) for each in series.times[[0, -1]].tolist())
    return Registration(
        registered_model_id=model_id,
        stored=stored,
        trainer=TRAINER,
        params=dict(params),
        scorecard=Scorecard(),
        data_start=first,
        train_end=last,
        fit_end=last,
        rows=len(series),
        seed=seed,
        library_versions=packing.libraries(),
        refitted=True,
    )
