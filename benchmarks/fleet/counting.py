"""Owns what is found afterwards: whether every model has exactly one new version, and nothing is left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from benchmarks.fleet.stock import Stock
from registry import history, rows
from registry.models import RegisteredModel

VERIFIED = 200
"""Models whose ledger is walked: spread evenly over the fleet."""
_BY = "SELECT {} AS told, count(*) FROM {} GROUP BY 1 ORDER BY 2 DESC"
_RUNS = "training_trainingrun WHERE batch_id = %s::uuid"
_TRAINERS = (
    "training_trainingrun AS r JOIN registry_modelversion AS v ON v.id = r.version_id WHERE r.batch_id = %s::uuid"
)
# One champion was there before; NULL where a model lost it.
_VERSIONS = """
SELECT count(*) FILTER (WHERE made = 1), count(*) FILTER (WHERE made = 0), count(*) FILTER (WHERE made > 1),
       count(*) FILTER (WHERE champion_id IS NULL)
FROM (SELECT m.id, m.champion_id, count(v.id) - 1 AS made FROM registry_registeredmodel AS m
      LEFT JOIN registry_modelversion AS v ON v.registered_model_id = m.id
      WHERE m.fleet_id = %s GROUP BY m.id) AS counted
"""
_OPEN = "SELECT count(*) FROM training_trainingrun WHERE state IN ('queued', 'dispatched', 'running')"
_OPEN_CHUNKS = "SELECT count(*) FROM training_chunk WHERE state IN ('queued', 'dispatched', 'running')"
_FORECASTS = """
SELECT count(*) FROM training_forecast AS f JOIN registry_modelversion AS v ON v.id = f.version_id
WHERE v.fleet_id = %s
"""
_NODES = """
SELECT c.worker, sum(c.ended)::bigint FROM training_chunk AS c
WHERE c.batch_id = %s::uuid AND c.kind = 'work' GROUP BY 1
"""


def count(stock: Stock, batch: str) -> dict[str, Any]:
    """Return what there is of versions, runs, events and forecasts, and what of the ledger does not hold."""
    [(once, never, often, headless)] = rows.found(_VERSIONS, [stock.fleet.pk])
    runs = {
        name: _by(f"coalesce(nullif({column}, ''), '-')", _RUNS, [batch])
        for name, column in (("states", "state"), ("verdicts", "verdict"), ("codes", "code"))
    }
    return {
        "models_with_one_new_version": once,
        "models_without_new_version": never,
        "models_with_more_new_versions": often,
        "models_without_champion": headless,
        "open_runs": _one(_OPEN),
        "open_chunks": _one(_OPEN_CHUNKS),
        **runs,
        "incumbents": _by("coalesce(report->>'incumbent', '-')", _RUNS, [batch]),
        "trainers": _by("v.trainer", _TRAINERS, [batch]),
        "events": _by("kind", "registry_event WHERE fleet_id = %s", [stock.fleet.pk]),
        "forecasts": _one(_FORECASTS, [stock.fleet.pk]),
        "ledgers_verified": min(VERIFIED, once + never + often),
        "ledgers_broken": _broken(stock),
    }


def of_nodes(batch: str, nodes: Sequence[set[int]]) -> list[int]:
    """Return how many runs each node ended, by the processes that it had."""
    done = [0] * len(nodes)
    for worker, ended in rows.found(_NODES, [batch]):
        pid = int(worker.rpartition(":")[2] or 0)
        for place, known in enumerate(nodes):
            done[place] += int(ended) if pid in known else 0
    return done


def _broken(stock: Stock) -> int:
    ids = list(RegisteredModel.objects.filter(fleet=stock.fleet).order_by("id").values_list("id", flat=True))
    some = RegisteredModel.objects.filter(id__in=ids[:: max(1, len(ids) // VERIFIED)][:VERIFIED])
    return sum(history.verify(model) is not None for model in some)


def _by(told: str, of: str, values: Sequence[int | str | UUID]) -> dict[str, int]:
    return {name: int(number) for name, number in rows.found(_BY.format(told, of), list(values))}


def _one(statement: str, values: Sequence[int] = ()) -> int:
    [(number,)] = rows.found(statement, list(values))
    return int(number)
