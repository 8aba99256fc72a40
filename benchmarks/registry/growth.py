"""Owns a registry of any size: models, versions and one event for each, written by SQL straight into the tables."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping

from benchmarks.registry import stock
from benchmarks.registry.calls import API
from benchmarks.registry.client import Client
from benchmarks.registry.pairs import Timed
from benchmarks.registry.site import TENANT, Server

VERSIONS_OF_A_MODEL = 10
FLEET = "grown"
SMALL, LARGE = "small", "large"
MODELS_AT_ONCE = 10_000

_FLEET = """
INSERT INTO registry_fleet (tenant, name, kind, frequency, horizon, season_length, time_zone, unit, tags, paused,
    retention, metric_settings, export, managed_by)
VALUES (%s, %s, 'forecast', 'D', 7, 7, 'UTC', '', '{}', false, '{"keep": 5}', '{}', '{}', '') RETURNING id
"""
_MODELS = """
INSERT INTO registry_registeredmodel (fleet_id, entity_key, state, last_number, last_version_at, fence, ledger_hash,
    ledger_count, ledger_at, tags)
SELECT %(fleet)s, 'entity-' || place, 'active', %(versions)s, now(), 0, repeat('0', 64), %(versions)s, now(), '{}'
FROM generate_series(%(start)s::int, %(end)s::int) AS place RETURNING id
"""
# Registered a day apart, the newest yesterday, so that rules of age have something to decide.
_VERSIONS = """
WITH made AS (
    SELECT m.id AS model, number, uuidv7() AS id, now() - (%(versions)s - number + 1) * interval '1 day' AS at
    FROM registry_registeredmodel AS m, generate_series(1, %(versions)s) AS number WHERE m.id = ANY(%(models)s)
)
INSERT INTO registry_modelversion (id, registered_model_id, fleet_id, number, label, state, trainer, params, scorecard,
    data_start, train_end, fit_end, rows, features, snapshot_digest, seed, library_versions, refitted,
    artifact_digest, artifact_size, artifact_format, artifact_key_id, artifact_signature, artifact_container,
    artifact_offset, note, tags, extra, created_at)
SELECT id, model, %(fleet)s, number, to_char(at, 'YYYYMMDD_HH24MISS_') || lpad(number::text, 6, '0'), 'ready',
    'seasonal_naive', '{"season_length": 7}', jsonb_build_object('metrics', jsonb_build_object('mae', 4 + random(),
    'rmse', 6 + random(), 'mape', 8 + random(), 'bias', random()), 'reasons', '{}'::jsonb, 'baseline', '{}'::jsonb,
    'points', 90, 'windows', 3, 'test_start', '', 'test_end', '', 'completeness', NULL),
    at - interval '120 days', at - interval '30 days', at, 120, '{}', '', 0, '{"python": "3.11.7"}', false,
    encode(sha256(id::text::bytea), 'hex'), 2048, %(format)s, 'local', repeat('0', 64), '', 0, '', '{}', '{}', at
FROM made
"""
_EVENTS = """
INSERT INTO registry_event (registered_model_id, fleet_id, kind, to_version_id, actor, cause, reason, fence, at, count,
    previous_hash, hash)
SELECT registered_model_id, fleet_id, 'registry.version.registered', id, 'benchmark', 'manual', '', 0, created_at,
    number, repeat('0', 64), repeat('0', 64)
FROM registry_modelversion WHERE registered_model_id = ANY(%(models)s) ORDER BY registered_model_id, number
"""
_CHAMPIONS = """
WITH newest AS (
    UPDATE registry_modelversion SET promoted_at = created_at
    WHERE registered_model_id = ANY(%(models)s) AND number = %(versions)s RETURNING id, registered_model_id
)
UPDATE registry_registeredmodel AS m SET champion_id = newest.id, anchor_id = newest.id, fence = 1
FROM newest WHERE newest.registered_model_id = m.id
"""


def fill(server: Server, database: str, *, models: int) -> None:
    """Make a fleet of that many models with ten versions each; the newest is champion."""
    with server.connect(database) as connection:
        # Loading alone: rows of this shape need no check of their foreign keys, and no wait for the disk.
        connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        [(fleet,)] = connection.execute(_FLEET, [TENANT, FLEET]).fetchall()
        for start in range(1, models + 1, MODELS_AT_ONCE):
            end = min(start + MODELS_AT_ONCE - 1, models)
            values = {"fleet": fleet, "start": start, "end": end, "versions": VERSIONS_OF_A_MODEL}
            ids = [key for (key,) in connection.execute(_MODELS, values).fetchall()]
            for statement in (_VERSIONS, _EVENTS, _CHAMPIONS):
                connection.execute(statement, {**values, "models": ids, "format": stock.FORMAT})
            print(f"{database}: {end * VERSIONS_OF_A_MODEL:,} versions", file=sys.stderr)
        # All of it would come some minutes later by itself, in the middle of the measurements.
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def reads(client: Client, *, models: int, seed: int = 1) -> Mapping[str, Timed]:
    """Return the reads of models chosen at random, the same ones in each run."""
    chosen = random.Random(seed)

    def of_any(path: str) -> Timed:
        return lambda number: client.get(f"{API}/models/{FLEET}/entity-{chosen.randint(1, models)}/{path}")[1]

    return {"champion": of_any("champion"), "versions": of_any("versions"), "search": lambda number: _search(client)}


def _search(client: Client) -> float:
    return client.get(f"{API}/versions", fleet=FLEET, max_mae=4.1, limit=50)[1]
