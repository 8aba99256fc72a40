"""Owns how much is measured, as the command line says it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

DESCRIPTION = "Measures exact fits of Prophet's model beside CmdStan's; prints one JSON object last."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...]
    """Rows of the daily series that are timed."""
    rounds: int
    batch: int
    real: int | None
    """Cases of real series, all where None."""
    simulated: int
    cutoffs: int


def read(argv: Sequence[str]) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prophet_fit", description=DESCRIPTION)
    parser.add_argument("--simulated", type=int, default=220, help="simulated series; default: 220")
    parser.add_argument("--quick", action="store_true", help="everything once and small: shows that it runs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON (it does always)")
    given = parser.parse_args(argv)
    if given.quick:
        return Plan(sizes=(200,), rounds=2, batch=20, real=3, simulated=min(given.simulated, 4), cutoffs=1)
    return Plan(sizes=(200, 730, 2000), rounds=15, batch=1000, real=None, simulated=given.simulated, cutoffs=3)
