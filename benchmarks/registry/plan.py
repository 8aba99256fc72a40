"""Owns how much is measured, as the command line says it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

DESCRIPTION = "Measures the registry beside MLflow's, and its growth; prints one JSON object last."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    models: int
    """Of the large registry, with ten versions each; the small one has a hundredth."""
    rounds: int
    warm_up: int
    stock: int
    bulk: int
    repetitions: int
    swept: int
    alone: bool


def read(argv: Sequence[str]) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry", description=DESCRIPTION)
    parser.add_argument("--models", type=int, default=100_000, help="models of the large registry; default: 100000")
    parser.add_argument("--quick", action="store_true", help="everything once and small: shows that it runs")
    parser.add_argument("--alone", action="store_true", help="without MLflow")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON (it does always)")
    given = parser.parse_args(argv)
    if given.quick:
        return Plan(
            models=min(given.models, 200),
            rounds=3,
            warm_up=1,
            stock=6,
            bulk=20,
            repetitions=1,
            swept=500,
            alone=given.alone,
        )
    return Plan(
        models=given.models,
        rounds=200,
        warm_up=20,
        stock=60,
        bulk=5_000,
        repetitions=3,
        swept=20_000,
        alone=given.alone,
    )
