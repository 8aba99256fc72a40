"""Owns measuring in turn: one call of each side, round after round, so that a machine that drifts drifts for all."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Timed = Callable[[int], float]
"""One call: takes the number of the round, returns its seconds."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long one kind of call took, in milliseconds."""

    median: float
    p95: float
    calls: int

    def plain(self) -> dict[str, Any]:
        """Return the figures for the report."""
        return asdict(self)


def measure(sides: Mapping[str, Timed], *, rounds: int, warm_up: int) -> dict[str, Times]:
    """Call every side once in each round, and return the times of each side; the first rounds are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warm_up + rounds):
        for name, call in sides.items():
            spent = call(number)
            if number >= warm_up:
                seconds[name].append(spent)
    gc.collect()
    return {name: summary(each) for name, each in seconds.items()}


def summary(seconds: Sequence[float]) -> Times:
    """Return median and 95th percentile."""
    ordered = sorted(seconds)
    place = min(len(ordered) - 1, round(0.95 * len(ordered)))
    return Times(
        median=round(1000 * statistics.median(ordered), 3), p95=round(1000 * ordered[place], 3), calls=len(ordered)
    )
