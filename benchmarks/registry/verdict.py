"""Owns what is asked of the figures, and whether they meet it. Judges medians of one run alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

WRITES = ("register", "promote")
READS = ("champion", "versions")
WRITE_FACTOR = 5.0
READ_FACTOR = 3.0
BARE_FACTOR = 1.5
BULK_FACTOR = 50.0
GROWTH_FACTOR = 1.5
PREVIEW_MIB = 512.0
SWEEP_SHARE = 0.8


def accept(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each condition that was measured, with its value, its bound and whether it holds."""
    return [*_beside(figures["calls"]), *_bulk(figures), *_grown(figures["growth"]), *_retained(figures)]


def _at_least(what: str, value: float, bound: float) -> dict[str, Any]:
    return {"what": what, "value": round(value, 2), "bound": f">= {bound:g}", "ok": value >= bound}


def _at_most(what: str, value: float, bound: float) -> dict[str, Any]:
    return {"what": what, "value": round(value, 2), "bound": f"<= {bound:g}", "ok": value <= bound}


def _beside(calls: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in (*WRITES, *READS):
        ours = calls[kind]["perennial"]["median"]
        if "mlflow" in calls[kind]:
            factor = WRITE_FACTOR if kind in WRITES else READ_FACTOR
            yield _at_least(f"{kind}: times faster than MLflow", calls[kind]["mlflow"]["median"] / ours, factor)
    for kind in READS:
        bare = calls[kind]["bare"]["median"]
        yield _at_most(f"{kind}: times a bare view", calls[kind]["perennial"]["median"] / bare, BARE_FACTOR)


def _bulk(figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "mlflow" in figures["calls"]["register"]:
        theirs = 1000 / figures["calls"]["register"]["mlflow"]["median"]
        rate = figures["bulk"]["versions_per_second"] / theirs
        yield _at_least("bulk register: times the versions per second of MLflow's single one", rate, BULK_FACTOR)


def _grown(growth: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in READS:
        cost = growth[kind]["large"]["median"] / growth[kind]["small"]["median"]
        yield _at_most(f"{kind}: times the cost with a hundredth of the versions", cost, GROWTH_FACTOR)


def _retained(figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield _at_most("retention preview: peak MiB of the process", figures["preview"]["peak_mib"], PREVIEW_MIB)
    first, *_, last = figures["sweep"]["quarters_per_second"]
    yield _at_least("sweep: rate of the last quarter over the first", last / first if first else 0.0, SWEEP_SHARE)
