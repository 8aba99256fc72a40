"""Owns what is there: the registry of `benchmarks.registry.growth`, and beside it what a year of work leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model

from benchmarks.registry import growth
from benchmarks.registry.site import MAIN, TENANT, Server
from registry import timestamps
from registry.models import ApiToken, Event, Export, ExportSettings, Fleet, Hold, ModelVersion, RegisteredModel
from training.models import (
    Batch,
    Chunk,
    Columns,
    FileOptions,
    Forecast,
    RetrainingPolicy,
    RunLog,
    Snapshot,
    Source,
    TrainingRun,
    Worker,
)
from training.policy_terms import Reason, TrainerChoice

USER = "root"
SMALL_FLEETS = 300
RUNS_OF_A_CHUNK = 100
MANY_VERSIONS = 2000
RARE = 50
"""Lines of a kind that the ledger hardly has, the oldest of all."""
_STATE = "CASE WHEN place %% 100 = 0 THEN 'failed' WHEN place %% 50 = 1 THEN 'skipped' ELSE 'succeeded' END"
_VERDICT = "CASE WHEN place %% 100 = 0 OR place %% 50 = 1 THEN '' WHEN place %% 40 = 2 THEN 'held' ELSE 'passed' END"
_OF_MODELS = "(SELECT id AS model, champion_id AS champion, row_number() OVER (ORDER BY id) AS place"
_OF_MODELS += " FROM registry_registeredmodel WHERE champion_id IS NOT NULL) AS made"


_MIXED = """
UPDATE registry_registeredmodel SET challenger_id = anchor_id WHERE id % 50 = 0;
UPDATE registry_registeredmodel SET state = 'paused' WHERE id % 1000 = 1;
UPDATE registry_modelversion SET state = 'archived' WHERE number <= 4 AND registered_model_id % 2 = 0;
UPDATE registry_modelversion SET state = 'quarantined' WHERE number = 5 AND registered_model_id % 500 = 0
"""


@dataclass(frozen=True, kw_only=True)
class Stock:
    """The rows whose pages are looked at, and the user who looks."""

    user: User
    rows: Mapping[str, Model]


def multiply(row: Model, source: str, **values: str) -> None:
    """Write a row like this one for each of `source`, an SQL table; `values` are expressions by column."""
    fields = [each for each in row._meta.concrete_fields if not each.primary_key or each.column in values]
    columns = ", ".join(f'"{each.column}"' for each in fields)
    wanted = ", ".join(values.get(str(each.column), f'kept."{each.column}"') for each in fields)
    table, key = row._meta.db_table, row._meta.pk
    assert key is not None
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({columns}) SELECT {wanted} FROM "{table}" AS kept, {source}'
            f' WHERE kept."{key.column}" = %s',
            [row.pk],
        )


def series(number: int) -> str:
    """Return a table of the numbers up to one."""
    return f"generate_series(1, {number}) AS place"


def fill(server: Server, *, models: int) -> Stock:
    """Write all of it."""
    growth.fill(server, MAIN, models=models)
    with connection.cursor() as cursor:
        # Rows of this shape need no check of their foreign keys, and no wait for the disk.
        cursor.execute(
            "SET session_replication_role = replica; SET synchronous_commit = off; SET statement_timeout = 0"
        )
    fleet = Fleet.objects.get(name=growth.FLEET)
    rows = {"fleet": fleet, **_registry(fleet), **_training(fleet, models=models)}
    user = User.objects.create_superuser(USER)
    _people(user)
    with connection.cursor() as cursor:
        cursor.execute("RESET session_replication_role")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    connection.close()
    return Stock(user=user, rows=rows)


def _registry(fleet: Fleet) -> dict[str, Model]:
    model = RegisteredModel.objects.filter(fleet=fleet).order_by("pk")[7]
    version = model.versions.order_by("number")[0]
    names = {
        "number": "1000 + place",
        "label": "'many_' || place",
        "created_at": "created_at + place * interval '1 min'",
    }
    multiply(version, series(MANY_VERSIONS), id="uuidv7()", **names)
    multiply(fleet, series(SMALL_FLEETS), name="'small-' || place")
    Fleet.objects.filter(pk=fleet.pk).update(export=ExportSettings(enabled=True))
    event = Event.objects.order_by("pk")[0]
    rare = "SELECT id FROM registry_event ORDER BY id LIMIT " + str(RARE)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE registry_event SET kind = 'registry.model.paused', reason = 'rare' WHERE id IN ({rare})"
        )
        cursor.execute(_MIXED)
    Export.objects.bulk_create([Export(registered_model=model, version_id=model.champion_id)])
    export = Export.objects.get()
    multiply(
        export,
        f"{_OF_MODELS} ".replace("NOT NULL)", f"NOT NULL AND id <> {model.pk})"),
        registered_model_id="model",
        version_id="champion",
    )
    hold = Hold.objects.create(version=version, placed_by="user", reason="kept for an audit", actor=USER)
    multiply(hold, _OF_MODELS, version_id="champion")
    return {"model": model, "version": version, "event": event, "hold": hold}


def _training(fleet: Fleet, *, models: int) -> dict[str, Model]:
    columns = Columns(time="day", target="sold", entity="product")
    source = Source.objects.create(tenant=TENANT, name="all", options=FileOptions(path="/none.csv"), columns=columns)
    naive = (TrainerChoice(name="seasonal_naive"),)
    policy = RetrainingPolicy.objects.create(fleet=fleet, source=source, name="nightly", trainers=naive)
    snapshot = Snapshot.objects.create(
        source=source, digest="ab" * 32, rows=730 * models, entities=models, location="x"
    )
    now = timestamps.utc_now()
    reason = Reason(trigger="manual", sentence="to see", actor=USER)
    common: dict[str, Any] = {"fleet": fleet, "policy": policy, "reason": reason, "expected": models}
    done = Batch.objects.create(
        **common, state="done", counts={"succeeded": models}, requested_at=now - timedelta(hours=3), finished_at=now
    )
    rows: dict[str, Model] = {"source": source, "policy": policy, "snapshot": snapshot, "batch": done}
    rows |= _work(done, "uuidv7(-interval '3 hours')", models, state=_STATE, verdict=_VERDICT)
    counted = {"counts": {"queued": models}, "counted_at": now}
    opened = Batch.objects.create(**common, **counted, state="open", requested_at=now)
    _work(opened, "uuidv7()", models, state="'queued'", verdict="''")
    multiply(source, series(SMALL_FLEETS), name="'source-' || place")
    multiply(policy, series(SMALL_FLEETS), name="'policy-' || place")
    multiply(snapshot, series(5000), digest="md5(place::text) || md5(place::text)")
    multiply(done, series(5000), id="uuidv7(-place * interval '1 hour' - interval '1 day')")
    forecast = Forecast.objects.create(
        version=ModelVersion.objects.filter(number=1)[0],
        cutoff=now, published_at=now, time=[now], yhat=[1.0], lower=[0.5], upper=[1.5],
    )  # fmt: skip
    multiply(forecast, _OF_MODELS, version_id="champion", cutoff="kept.cutoff - interval '1 day'")
    worker = Worker.objects.create(
        name="training@0", host="host", pid=1, queues=["training"], started_at=now, seen_at=now
    )
    multiply(worker, series(2000), name="'training@' || place", stopped_at="now()")
    return {**rows, "forecast": forecast, "worker": worker, "open_batch": opened}


def _work(batch: Batch, key: str, models: int, **values: str) -> dict[str, Model]:
    """Write the chunks, runs and log lines of a batch; one run for each model."""
    first = RegisteredModel.objects.order_by("pk")[0]
    chunk = Chunk.objects.create(batch=batch, policy=batch.policy, state="done", worker="training@1")
    multiply(chunk, series(models // RUNS_OF_A_CHUNK))
    run = TrainingRun.objects.create(
        registered_model=first, batch=batch, policy=batch.policy, chunk=chunk, requested_at=batch.requested_at,
        started_at=batch.finished_at, finished_at=batch.finished_at, state="skipped",
    )  # fmt: skip
    kept = "CASE WHEN place %% 100 = 0 OR place %% 50 = 1 THEN NULL ELSE champion END"
    if values["state"] == "'queued'":
        kept = "NULL::uuid"
    multiply(run, _OF_MODELS, id=key, registered_model_id="model", version_id=kept, **values)
    log = RunLog.objects.create(run=run, at=batch.requested_at, level="info", message="Read 730 rows.")
    of_runs = f"(SELECT id AS run FROM training_trainingrun WHERE batch_id = '{batch.pk}') AS made"
    multiply(log, of_runs, run_id="run")
    return {"chunk": chunk, "run": run, "log": log}


def _people(user: User) -> None:
    multiply(user, series(2000), username="'user-' || place", is_superuser="false")
    token = ApiToken.objects.create(user=user, expiry=None, label="of a service")[0]
    multiply(token, series(2000), digest="md5(place::text) || md5(place::text)", label="'service-' || place")
