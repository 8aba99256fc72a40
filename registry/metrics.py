"""Owns which metrics there are and which direction of each is better. Pure; stored values are never negated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Protocol

from registry import errors

ENTRY_POINTS = "perennial.metrics"
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What a metric may be called: it becomes a parameter of the API and a key of JSON."""


class Direction(StrEnum):
    """Which way a metric gets better."""

    HIGHER = "higher"
    LOWER = "lower"
    ZERO = "zero"
    """The closer to zero the better, from either side."""
    NEITHER = "neither"
    """Neither way by itself: it is read against something that the metric does not hold."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of the catalogue."""

    name: str
    direction: Direction
    meaning: str = ""


class DirectionsOfFleet(Protocol):
    """What a fleet says about metrics of its own; `registry.models.MetricSettings` has it."""

    @property
    def directions(self) -> Mapping[str, Direction]: ...


class MetricUnknown(errors.Invalid):
    """No metric of that name is in the catalogue."""

    code = "metric_unknown"
    next_step = (
        f"Use a metric of the catalogue, add one by an entry point of the group {ENTRY_POINTS}, or declare it in the "
        "fleet file under metric_settings.directions."
    )


class MetricInvalid(errors.Invalid):
    """A metric that is to be added breaks the contract of the catalogue."""

    code = "metric_invalid"
    next_step = "See `Your own metrics` in docs/fleet-files.md."


_MEANINGS: Mapping[Direction, Mapping[str, str]] = {
    Direction.LOWER: {
        "mae": "mean absolute error, in the unit of the fleet",
        "rmse": "root of the mean squared error, in the unit of the fleet",
        "mape": "mean of |error| / |actual| over actuals that are not zero; a ratio",
        "smape": "mean of 2 |error| / (|actual| + |forecast|), 0 to 2",
        "wape": "sum of |error| over sum of |actual|; a ratio, fit for fleets",
        "mase": "mean absolute error over that of seasonal naive in the train part",
        "rmsse": "root of the mean squared error over that of seasonal naive in the train part",
        "relative_mae": "mean absolute error over that of seasonal naive on the same points",
        "pinball": "mean quantile loss over the stored quantiles",
        "wql": "weighted quantile loss: twice the sum of quantile losses over sum of |actual|",
        "winkler": "width of the interval, plus a penalty for each actual outside",
        "stability": "sum of |difference| over sum of |forecast| between two forecasts of the same stamps",
        "max_drawdown": "largest fall from a peak, as a share of it",
        "volatility": "standard deviation of the returns, for a year",
    },
    Direction.HIGHER: {
        "r_squared": "share of the variance of the actuals that is explained",
        "direction_accuracy": "share of steps whose direction was forecast",
        "profit_factor": "sum of gains over sum of losses",
        "sharpe_ratio": "mean return above the risk-free one over its standard deviation",
        "annual_return": "return for a year; a ratio",
        "total_return": "return over the whole test part; a ratio",
        "win_rate": "share of trades that gained",
        "precision": "share of what was predicted positive that is",
        "recall": "share of what is positive that was predicted so",
        "f1_score": "harmonic mean of precision and recall",
        "data_completeness": "share of the expected observations that are there",
    },
    Direction.ZERO: {"bias": "mean of forecast minus actual, in the unit of the fleet"},
    Direction.NEITHER: {
        "coverage": "share of actuals inside the interval; good where it is near the nominal level of the interval",
    },
}
BUILT_IN: Mapping[str, Metric] = MappingProxyType(
    {
        name: Metric(name=name, direction=sense, meaning=meaning)
        for sense, meanings in _MEANINGS.items()
        for name, meaning in meanings.items()
    }
)


def catalogue(added: Iterable[EntryPoint] | None = None) -> Mapping[str, Metric]:
    """Return the built-in metrics and those of entry points, each of which leads to one `Metric`.

    What is installed is looked up once for each process. Raises MetricInvalid for an entry point that leads to
    something else or to a built-in name: a deployment must not turn the meaning of `mae` round.
    """
    return _installed() if added is None else _extended(added)


@cache
def _installed() -> Mapping[str, Metric]:
    return _extended(entry_points(group=ENTRY_POINTS))


def _extended(added: Iterable[EntryPoint]) -> Mapping[str, Metric]:
    found = dict(BUILT_IN)
    for entry_point in added:
        metric = entry_point.load()
        try:
            check(metric)
        except MetricInvalid as error:
            told = f"The entry point {entry_point.name!r} of {ENTRY_POINTS} is not a new Metric. {error.sentence}"
            raise MetricInvalid(told) from None
        found[metric.name] = metric
    return MappingProxyType(found)


def check(metric: object) -> None:
    """Refuse what cannot be added to the catalogue: the contract of a plug-in, for its own tests.

    Raises MetricInvalid saying what is wrong: no Metric, a name that no API can carry, a built-in name, no direction,
    no meaning.
    """
    if not isinstance(metric, Metric):
        raise MetricInvalid(f"{metric!r} is no registry.metrics.Metric.")
    if not isinstance(metric.name, str) or not NAME.fullmatch(metric.name):
        raise MetricInvalid(f"{metric.name!r} is no name of a metric: small letters, digits and _, at most 64.")
    if metric.name in BUILT_IN:
        raise MetricInvalid(f"{metric.name} is built in, and its meaning is fixed.")
    if not isinstance(metric.direction, Direction):
        raise MetricInvalid(
            f"The direction of {metric.name} is {metric.direction!r}, not one of {', '.join(Direction)}."
        )
    if not metric.meaning.strip():
        raise MetricInvalid(f"{metric.name} has no meaning: say in a sentence what it measures, and in which unit.")


def catalogue_of(settings: DirectionsOfFleet) -> Mapping[str, Metric]:
    """Return the catalogue as one fleet reads it: what is installed, and the metrics that it declares itself.

    What is installed wins, so that a name means one thing wherever it is known.
    """
    own = {
        name: Metric(name=name, direction=sense, meaning="declared by the fleet")
        for name, sense in settings.directions.items()
    }
    return {**own, **catalogue()}


def direction(name: str, *, among: Mapping[str, Metric] = BUILT_IN) -> Direction:
    """Return which way the metric gets better. Raises MetricUnknown."""
    try:
        return among[name].direction
    except KeyError:
        raise MetricUnknown(f"There is no metric {name!r}.") from None


def is_better(name: str, first: float | None, second: float | None, *, among: Mapping[str, Metric] = BUILT_IN) -> bool:
    """Whether `first` is strictly better than `second`; a value is better than none. Raises MetricUnknown.

    Of a metric without a direction of its own no value is better than another.
    """
    sense = direction(name, among=among)
    if first is None or second is None:
        return first is not None and second is None
    if sense is Direction.NEITHER:
        return False
    if sense is Direction.ZERO:
        return abs(first) < abs(second)
    return first > second if sense is Direction.HIGHER else first < second
