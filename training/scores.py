"""The metrics of points, each by its stated formula, for many series at once; one without a value is None. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.trainers import seasonal_naive
from training.trainers.base import Floats, Grid, Series

Measured = tuple[dict[str, float | None], dict[str, str]]
Mask = NDArray[np.bool_]
NO_POINTS = "No point has both an actual and a finite forecast."
NOT_FINITE = "The value is not finite."


class Points(Protocol):
    """Actuals beside forecasts, (n,) each; bounds may be NaN, actuals are finite."""

    @property
    def actual(self) -> Floats: ...
    @property
    def yhat(self) -> Floats: ...
    @property
    def lower(self) -> Floats: ...
    @property
    def upper(self) -> Floats: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The points of m series on n places each; what is not `on` does not count."""

    actual: Floats
    """(m, n)"""
    yhat: Floats
    lower: Floats
    upper: Floats
    on: Mask

    @property
    def count(self) -> Floats:
        """Return how many points count. (m,)"""
        return np.asarray(self.on.sum(axis=1), dtype=np.float64)

    @cached_property
    def errors(self) -> Floats:
        """Return forecast minus actual, 0 where it does not count. (m, n)"""
        return np.asarray(np.where(self.on, self.yhat - self.actual, 0.0))


def stacked(points: Sequence[Points], *, among: Mask | None = None) -> Rows:
    """Return points of series on the same places, counting those with a finite forecast, and `among` those given."""
    actual, yhat, lower, upper = (
        np.array([getattr(each, name) for each in points], dtype=np.float64).reshape(len(points), -1)
        for name in ("actual", "yhat", "lower", "upper")
    )
    on = np.isfinite(yhat) if among is None else np.isfinite(yhat) & among
    return Rows(actual=actual, yhat=yhat, lower=lower, upper=upper, on=on)


def mean(values: Floats, on: Mask) -> Floats:
    """Return the mean of what counts in each row, NaN of nothing. (m,)"""
    count = on.sum(axis=1)
    total = np.where(on, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def mae(rows: Rows) -> Floats:
    """Return the mean absolute error of each row, in the fleet's unit; NaN of nothing. (m,)"""
    return mean(np.abs(rows.errors), rows.on)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale:
    """How far seasonal naive errs inside the train parts of m series: what MASE and RMSSE are relative to."""

    absolute: Floats
    """(m,) mean of |difference of a season|; NaN where there is none."""
    square: Floats


def scale(train: Sequence[Series], grid: Grid) -> Scale:
    """Return the scale of each train part (Hyndman and Koehler 2006)."""
    steps = [seasonal_naive.differences(series, grid) for series in train]
    with np.errstate(all="ignore"):
        return Scale(
            absolute=np.array([np.abs(each).mean() if len(each) else np.nan for each in steps]),
            square=np.array([np.square(each).mean() if len(each) else np.nan for each in steps]),
        )


Found = tuple[Floats, Sequence[tuple[Mask, str]]]
"""Values (m,), and which of them are none and why: the first reason that holds."""


def measure(
    points: Points, *, train: Series, grid: Grid, zero_below: float = 0.0, naive: Points | None = None
) -> Measured:
    """Return every metric of one series, and the reason of each that is None; `mape` always says what it left out."""
    floor = None if naive is None else stacked([naive])
    return measure_all(stacked([points]), scale=scale([train], grid), zero_below=zero_below, naive=floor)[0]


def measure_all(rows: Rows, *, scale: Scale, zero_below: float = 0.0, naive: Rows | None = None) -> list[Measured]:
    """Return what `measure` does for each row; `naive` counts the points of `rows` alone."""
    # Values near the largest or smallest float overflow or vanish; the metric is then null, with that reason.
    with np.errstate(all="ignore"):
        found = {name: formula() for name, formula in _formulas(rows, scale, naive, zero_below).items()}
        left_out = (rows.on & (np.abs(rows.actual) <= zero_below)).sum(axis=1)
    columns = {name: _settled(values, [(rows.count == 0, NO_POINTS), *why]) for name, (values, why) in found.items()}
    return [_row(columns, place, int(left_out[place])) for place in range(len(rows.on))]


def _formulas(rows: Rows, scale: Scale, naive: Rows | None, zero_below: float) -> dict[str, Callable[[], Found]]:
    errors, on = rows.errors, rows.on
    return {
        "mae": lambda: (mae(rows), ()),
        "rmse": lambda: (np.sqrt(mean(np.square(errors), on)), ()),
        "bias": lambda: (mean(errors, on), ()),
        "mape": lambda: _mape(rows, zero_below),
        "smape": lambda: _smape(rows),
        "wape": lambda: _wape(rows),
        "mase": lambda: _scaled(mae(rows), scale.absolute),
        "rmsse": lambda: _root(_scaled(mean(np.square(errors), on), scale.square)),
        "r_squared": lambda: _r_squared(rows),
        "coverage": lambda: _coverage(rows),
        "relative_mae": lambda: _relative(rows, naive),
    }


def _settled(values: Floats, why: Sequence[tuple[Mask, str]]) -> list[float | str]:
    """Return each value, or why it has none."""
    settled: list[float | str] = [value if np.isfinite(value) else NOT_FINITE for value in values.tolist()]
    for mask, reason in reversed(why):
        for place in np.flatnonzero(mask):
            settled[place] = reason
    return settled


def _row(columns: dict[str, list[float | str]], place: int, left_out: int) -> Measured:
    metrics: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, values in columns.items():
        value = values[place]
        if isinstance(value, str):
            metrics[name], reasons[name] = None, value
        else:
            metrics[name] = value
    if left_out and metrics["mape"] is not None:
        reasons["mape"] = f"{left_out} points with an actual of zero were left out."
    return metrics, reasons


def _mape(rows: Rows, zero_below: float) -> Found:
    """Mean of |error| / |actual| over actuals above `zero_below` in size; a ratio, not percent."""
    counted = rows.on & (np.abs(rows.actual) > zero_below)
    ratio = np.abs(np.divide(rows.errors, rows.actual, out=np.zeros_like(rows.actual), where=counted))
    return mean(ratio, counted), [(np.asarray(~counted.any(axis=1)), "All actuals are zero.")]


def _smape(rows: Rows) -> Found:
    """Mean of 2 |error| / (|actual| + |forecast|), 0 to 2; a point where both are zero counts as 0."""
    size = np.abs(rows.actual) + np.abs(rows.yhat)
    ratio = np.divide(2 * np.abs(rows.errors), size, out=np.zeros_like(size), where=rows.on & (size > 0))
    return mean(ratio, rows.on), ()


def _wape(rows: Rows) -> Found:
    """Sum of |error| over sum of |actual|; a ratio."""
    size = np.where(rows.on, np.abs(rows.actual), 0.0).sum(axis=1)
    return np.abs(rows.errors).sum(axis=1) / size, [(size == 0, "All actuals are zero.")]


def _r_squared(rows: Rows) -> Found:
    """1 - sum of squared errors / sum of squared deviations of the actuals from their mean."""
    middle = mean(rows.actual, rows.on)[:, None]
    spread = np.where(rows.on, np.square(rows.actual - middle), 0.0).sum(axis=1)
    low = np.where(rows.on, rows.actual, np.inf).min(axis=1, initial=np.inf)
    high = np.where(rows.on, rows.actual, -np.inf).max(axis=1, initial=-np.inf)
    return 1 - np.square(rows.errors).sum(axis=1) / spread, [(high <= low, "The actuals are constant.")]


def _coverage(rows: Rows) -> Found:
    """Share of actuals inside the interval, bounds counted."""
    known = rows.on & np.isfinite(rows.lower) & np.isfinite(rows.upper)
    inside = (rows.lower <= rows.actual) & (rows.actual <= rows.upper)
    return mean(inside.astype(np.float64), known), [
        (np.asarray(~known.any(axis=1)), "The forecaster gives no interval.")
    ]


def _relative(rows: Rows, naive: Rows | None) -> Found:
    """MAE over that of seasonal naive on the same points."""
    every = np.ones(len(rows.on), dtype=np.bool_)
    if naive is None:
        return np.full(len(rows.on), np.nan), [(every, "Seasonal naive was not scored.")]
    both = rows.on & naive.on
    floor = mean(np.abs(naive.errors), both)
    why = [(np.isnan(floor), NO_POINTS), (floor == 0, "Seasonal naive makes no error on these points.")]
    return mae(rows) / floor, why


def _scaled(error: Floats, scale: Floats) -> Found:
    """Error over its mean for seasonal naive inside the train part."""
    return error / scale, [
        (np.isnan(scale), "The train part has no two observations one season apart."),
        (scale == 0, "Seasonal naive makes no error in the train part."),
    ]


def _root(found: Found) -> Found:
    return np.sqrt(found[0]), found[1]
