"""The metrics of one set of points, each by its stated formula; one without a value is None with a reason. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from training.trainers import seasonal_naive
from training.trainers.base import Floats, Grid, Series

Measured = tuple[dict[str, float | None], dict[str, str]]
NO_POINTS = "No point has both an actual and a finite forecast."


class Points(Protocol):
    """Actuals beside forecasts, (n,) each; bounds may be NaN, the others are finite."""

    @property
    def actual(self) -> Floats: ...
    @property
    def yhat(self) -> Floats: ...
    @property
    def lower(self) -> Floats: ...
    @property
    def upper(self) -> Floats: ...


Formula = Callable[[Points], "float | str"]


def mean(values: Floats) -> float | None:
    """Return the mean; None of nothing."""
    return float(values.mean()) if len(values) else None


def mae(points: Points) -> float | None:
    """Return the mean absolute error, in the fleet's unit."""
    return mean(np.abs(points.yhat - points.actual))


def measure(
    points: Points, *, train: Series, grid: Grid, zero_below: float = 0.0, naive: Points | None = None
) -> Measured:
    """Return every metric, and the reason of each that is None; `mape` always says what it left out."""
    # Values near the largest or smallest float overflow or vanish; the metric is then null, with that reason.
    with np.errstate(all="ignore"):
        formulas = _formulas(seasonal_naive.differences(train, grid), naive, zero_below)
        found = {name: formula(points) if len(points.actual) else NO_POINTS for name, formula in formulas.items()}
    return _settled(found, _left_out(points, zero_below))


def _formulas(steps: Floats, naive: Points | None, zero_below: float) -> dict[str, Formula]:
    return {
        "mae": lambda p: float(np.abs(p.yhat - p.actual).mean()),
        "rmse": lambda p: float(np.sqrt(np.square(p.yhat - p.actual).mean())),
        "bias": lambda p: float((p.yhat - p.actual).mean()),
        "mape": lambda p: _mape(p, zero_below),
        "smape": _smape,
        "wape": _wape,
        "mase": lambda p: _scaled(np.abs(p.yhat - p.actual).mean(), np.abs(steps)),
        "rmsse": lambda p: _root(_scaled(np.square(p.yhat - p.actual).mean(), np.square(steps))),
        "r_squared": _r_squared,
        "coverage": _coverage,
        "relative_mae": lambda p: _relative(p, naive),
    }


def _settled(found: dict[str, float | str], left_out: int) -> Measured:
    metrics: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, value in found.items():
        if isinstance(value, float) and np.isfinite(value):
            metrics[name] = value
            continue
        metrics[name] = None
        reasons[name] = value if isinstance(value, str) else "The value is not finite."
    if left_out and metrics["mape"] is not None:
        reasons["mape"] = f"{left_out} points with an actual of zero were left out."
    return metrics, reasons


def _left_out(points: Points, zero_below: float) -> int:
    return int((np.abs(points.actual) <= zero_below).sum())


def _mape(points: Points, zero_below: float) -> float | str:
    """Mean of |error| / |actual| over actuals above `zero_below` in size; a ratio, not percent."""
    counted = np.abs(points.actual) > zero_below
    if not counted.any():
        return "All actuals are zero."
    return float(np.abs((points.yhat - points.actual)[counted] / points.actual[counted]).mean())


def _smape(points: Points) -> float:
    """Mean of 2 |error| / (|actual| + |forecast|), 0 to 2; a point where both are zero counts as 0."""
    size = np.abs(points.actual) + np.abs(points.yhat)
    error = 2 * np.abs(points.yhat - points.actual)
    return float(np.divide(error, size, out=np.zeros_like(error), where=size > 0).mean())


def _wape(points: Points) -> float | str:
    """Sum of |error| over sum of |actual|; a ratio."""
    size = np.abs(points.actual).sum()
    return float(np.abs(points.yhat - points.actual).sum() / size) if size else "All actuals are zero."


def _r_squared(points: Points) -> float | str:
    """1 - sum of squared errors / sum of squared deviations of the actuals from their mean."""
    if np.ptp(points.actual) == 0:
        return "The actuals are constant."
    spread = np.square(points.actual - points.actual.mean()).sum()
    return float(1 - np.square(points.yhat - points.actual).sum() / spread)


def _coverage(points: Points) -> float | str:
    """Share of actuals inside the interval, bounds counted."""
    known = np.isfinite(points.lower) & np.isfinite(points.upper)
    if not known.any():
        return "The forecaster gives no interval."
    inside = (points.lower <= points.actual) & (points.actual <= points.upper)
    return float(inside[known].mean())


def _relative(points: Points, naive: Points | None) -> float | str:
    """MAE over that of seasonal naive on the same points."""
    if naive is None:
        return "Seasonal naive was not scored."
    floor = mae(naive)
    if not floor:
        return "Seasonal naive makes no error on these points." if floor == 0 else NO_POINTS
    return float(np.abs(points.yhat - points.actual).mean() / floor)


def _scaled(error: float, steps: Floats) -> float | str:
    """Error over its mean for seasonal naive inside the train part (Hyndman and Koehler 2006)."""
    if not len(steps):
        return "The train part has no two observations one season apart."
    scale = float(steps.mean())
    return float(error / scale) if scale else "Seasonal naive makes no error in the train part."


def _root(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(np.sqrt(value))
