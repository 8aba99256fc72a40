"""Owns which metrics there are and which direction of each is better. Pure; stored values are never negated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points

from registry import errors

ENTRY_POINTS = "perennial.metrics"


class Direction(StrEnum):
    """Which way a metric gets better."""

    HIGHER = "higher"
    LOWER = "lower"
    ZERO = "zero"
    """The closer to zero the better, from either side."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of the catalogue."""

    name: str
    direction: Direction
    meaning: str = ""


class MetricUnknown(errors.Invalid):
    """No metric of that name is in the catalogue."""

    code = "metric_unknown"
    next_step = f"Use a metric of the catalogue, or add one by an entry point of the group {ENTRY_POINTS}."


_HIGHER = (
    "direction_accuracy profit_factor sharpe_ratio r_squared annual_return total_return win_rate "
    "precision recall f1_score data_completeness"
)
_LOWER = "rmse mae max_drawdown volatility mape smape wape mase rmsse relative_mae pinball winkler stability"
BUILT_IN: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *(Metric(name=name, direction=Direction.HIGHER) for name in _HIGHER.split()),
        *(Metric(name=name, direction=Direction.LOWER) for name in _LOWER.split()),
        Metric(name="bias", direction=Direction.ZERO, meaning="mean of forecast minus actual"),
    )
}


def catalogue(added: Iterable[EntryPoint] | None = None) -> Mapping[str, Metric]:
    """Return the built-in metrics and those of entry points, each of which leads to one `Metric`.

    Raises Invalid for an entry point that leads to something else or to a built-in name: a deployment must not turn
    the meaning of `mae` round.
    """
    found = dict(BUILT_IN)
    for entry_point in entry_points(group=ENTRY_POINTS) if added is None else added:
        metric = entry_point.load()
        if not isinstance(metric, Metric) or metric.name in BUILT_IN:
            raise errors.Invalid(f"The entry point {entry_point.name!r} of {ENTRY_POINTS} is not a new Metric.")
        found[metric.name] = metric
    return found


def direction(name: str, *, among: Mapping[str, Metric] = BUILT_IN) -> Direction:
    """Return which way the metric gets better. Raises MetricUnknown."""
    try:
        return among[name].direction
    except KeyError:
        raise MetricUnknown(f"There is no metric {name!r}.") from None


def is_better(name: str, first: float | None, second: float | None, *, among: Mapping[str, Metric] = BUILT_IN) -> bool:
    """Whether `first` is strictly better than `second`; a value is better than none. Raises MetricUnknown."""
    sense = direction(name, among=among)
    if first is None or second is None:
        return first is not None and second is None
    if sense is Direction.ZERO:
        return abs(first) < abs(second)
    return first > second if sense is Direction.HIGHER else first < second
