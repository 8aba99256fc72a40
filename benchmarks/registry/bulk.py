"""Owns what registering many at once costs: bytes stored durably, rows, and their lines in the ledger."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.registry import stock
from registry import lifecycle, timestamps
from registry.models import RegisteredModel

FLEET = "bulk"


def register(*, versions: int, repetitions: int) -> dict[str, Any]:
    """Register one version of each of as many models in one call, several times, and return versions per second."""
    fleet = stock.fleet(FLEET)
    models = RegisteredModel.objects.bulk_create(
        [RegisteredModel(fleet=fleet, entity_key=f"bulk-{number}") for number in range(versions)]
    )
    found = sorted(_once(models, round) for round in range(repetitions))
    return {
        "versions": versions,
        "repetitions": repetitions,
        "versions_per_second": round(versions / found[len(found) // 2][0]),
        "versions_per_second_slowest": round(versions / found[-1][0]),
        "seconds": {"bytes": round(found[len(found) // 2][1], 3), "rows": round(found[len(found) // 2][2], 3)},
    }


def _once(models: list[RegisteredModel], round: int) -> tuple[float, float, float]:
    """Return the seconds of all, of storing the bytes, and of registering the rows."""
    # Fitting and packing is the trainer's work, on whichever side it is done.
    contents = [stock.small_bundle(10_000_000 * (round + 1) + number) for number in range(len(models))]
    start = time.perf_counter()
    stored = lifecycle.store_artifacts(contents, format=stock.FORMAT)
    between = time.perf_counter()
    items = [stock.registration(model.pk, place) for model, place in zip(models, stored, strict=True)]
    lifecycle.register(items, actor=stock.ACTOR, cause="manual", at=timestamps.utc_now())
    end = time.perf_counter()
    return end - start, between - start, end - between
