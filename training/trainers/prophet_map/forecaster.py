"""A fitted model as numbers: what predicts, for one or many at once, and how it is written. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.trainers.base import Floats, ForecasterUnreadable, Points, Prediction, Series, read_json
from training.trainers.prophet_map import blocks, intervals
from training.trainers.prophet_map.layout import Layout, Season, Stamps
from training.trainers.prophet_map.problem import Growth

FORMAT = "prophet-2"
LEAST_CHANGE = 1e-8
"""Prophet adds it to the mean change of slope."""
MOST_SEASONS, MOST_ORDER, MOST_BENDS = 16, 50, 1000
LATEST = 2**62
"""Microseconds that a stamp may be away from 1970."""
CACHED = 16


@dataclass(frozen=True, kw_only=True)
class Manner:
    """What forecasters have in common that are asked together."""

    layout: Layout
    multiplicative: bool
    """Whether the seasons multiply the trend."""
    interval_width: float
    """Share of the observations that the interval is to hold, such as 0.8."""
    trend_uncertain: bool
    """Whether the interval knows that the trend may change, or the noise alone."""
    nonnegative: bool
    """Whether forecasts below zero are raised to it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProphetForecaster:
    """The fitted numbers of one series, on Prophet's scales."""

    manner: Manner
    k: float
    m: float
    delta: Floats
    """(S,)"""
    beta: Floats
    """(K,)"""
    sigma: float
    y_scale: float
    """The largest absolute target, in the fleet's unit."""

    def predict(self, observed: Series, at: Points) -> Prediction:
        """Return forecast and interval. What was observed after the fit does not matter to Prophet."""
        return predict_together([self], at.times)[0]

    def dump(self) -> bytes:
        """Return JSON; equal forecasters give equal bytes."""
        values = {name: getattr(self, name) for name in ("k", "m", "sigma", "y_scale")}
        content = {**values, "delta": self.delta.tolist(), "beta": self.beta.tolist()}
        return f'{_manner_text(self.manner)[:-1]},"fit":{json.dumps(content, allow_nan=False)}}}'.encode()


@lru_cache(maxsize=CACHED)
def _manner_text(manner: Manner) -> str:
    return json.dumps({"format": FORMAT, "manner": asdict(manner)})


def load(data: bytes) -> ProphetForecaster:
    """Return the forecaster. Raises ForecasterUnreadable for numbers that no fit gives."""
    content: Mapping[str, Any] = read_json(data, expected=FORMAT)
    try:
        manner, fit = _manner(content["manner"]), content["fit"]
        numbers = {name: float(fit[name]) for name in ("k", "m", "sigma", "y_scale")}
        delta, beta = (np.array(fit[name], dtype=np.float64).reshape(-1) for name in ("delta", "beta"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ForecasterUnreadable(f"The fields of this {FORMAT} artifact are not its own.") from error
    found = ProphetForecaster(manner=manner, delta=delta, beta=beta, **numbers)
    if problem := _problem(found):
        raise ForecasterUnreadable(f"This {FORMAT} artifact {problem}.")
    return found


def _manner(told: Mapping[str, Any]) -> Manner:
    layout = told["layout"]
    return _known(
        Manner(
            layout=Layout(
                growth=Growth(layout["growth"]),
                start=int(layout["start"]),
                span=int(layout["span"]),
                count=int(layout["count"]),
                changepoints=tuple(map(int, layout["changepoints"])),
                seasons=tuple(Season(**season) for season in layout["seasons"]),
            ),
            multiplicative=told["multiplicative"] is True,
            interval_width=float(told["interval_width"]),
            trend_uncertain=told["trend_uncertain"] is True,
            nonnegative=told["nonnegative"] is True,
        )
    )


@lru_cache(maxsize=CACHED)
def _known(manner: Manner) -> Manner:
    """Return the equal one that was met before, so that forecasters of one fleet share it."""
    return manner


def _problem(found: ProphetForecaster) -> str:
    layout = found.manner.layout
    stamps = (layout.start, layout.span, *layout.changepoints)
    sizes = [(season.period, season.order) for season in layout.seasons]
    if len(sizes) > MOST_SEASONS or not all(
        isinstance(period, int | float) and period > 0 and type(order) is int and 0 < order <= MOST_ORDER
        for period, order in sizes
    ):
        return "has seasons that no fit has"
    if (
        layout.growth is Growth.LOGISTIC
        or layout.span <= 0
        or layout.count < 2
        or not all(abs(stamp) < LATEST for stamp in stamps)
    ):
        return "has a trend or stamps that no fit has"
    if len(found.delta) != max(1, len(layout.changepoints)) or len(found.delta) > MOST_BENDS:
        return f"has {len(found.delta)} changes of slope for {len(layout.changepoints)} changepoints"
    if len(found.beta) != sum(2 * order for _, order in sizes):
        return f"has {len(found.beta)} coefficients for seasons of {sum(2 * order for _, order in sizes)}"
    numbers = np.concatenate([[found.k, found.m, found.sigma, found.y_scale], found.delta, found.beta])
    is_sound = np.isfinite(numbers).all() and (numbers[2:4] > 0).all() and 0 < found.manner.interval_width < 1
    return "" if is_sound else "has numbers that no fit has"


def predict_together(forecasters: Sequence[ProphetForecaster], times: Stamps) -> list[Prediction]:
    """Return what forecasters of one manner say of the same stamps, each as it would alone."""
    if not len(times):
        return [Prediction(yhat=np.empty(0), lower=np.empty(0), upper=np.empty(0)) for _ in forecasters]
    manner = forecasters[0].manner
    columns = _columns(manner.layout, times.astype("datetime64[us]").tobytes())
    fits = _stacked(forecasters)
    trend = _trend(fits, columns)
    seasonal = blocks.product(fits.beta, columns.seasons)
    factor = 1.0 + seasonal if manner.multiplicative else np.ones_like(trend)
    yhat = (trend * factor if manner.multiplicative else trend + seasonal) * fits.scale
    half = _reach(manner, fits, columns, factor) * fits.sigma * fits.scale
    lower, upper = yhat - half, yhat + half
    if manner.nonnegative:
        yhat, lower, upper = (np.maximum(values, 0.0) for values in (yhat, lower, upper))
    return [Prediction(yhat=yhat[n], lower=lower[n], upper=upper[n]) for n in range(len(forecasters))]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Columns:
    """What the stamps alone say, laid out with a column for each stamp."""

    t: Floats
    bends: Floats
    """(S, n)"""
    seasons: Floats
    """(K, n)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fits:
    """The numbers of several forecasters, a row for each."""

    k: Floats
    m: Floats
    delta: Floats
    beta: Floats
    sigma: Floats
    scale: Floats


@lru_cache(maxsize=CACHED)
def _columns(layout: Layout, stamps: bytes) -> _Columns:
    times = np.frombuffer(stamps, dtype="datetime64[us]")
    bends, seasons = layout.bends(times), layout.columns(times)
    return _Columns(
        t=layout.scaled(times), bends=np.ascontiguousarray(bends.T), seasons=np.ascontiguousarray(seasons.T)
    )


def _stacked(forecasters: Sequence[ProphetForecaster]) -> _Fits:
    single = np.array([(each.k, each.m, each.sigma, each.y_scale) for each in forecasters])
    k, m, sigma, scale = (single[:, [column]] for column in range(4))
    return _Fits(
        k=k,
        m=m,
        delta=np.array([each.delta for each in forecasters]),
        beta=np.array([each.beta for each in forecasters]),
        sigma=sigma,
        scale=scale,
    )


def _trend(fits: _Fits, columns: _Columns) -> Floats:
    if not len(columns.bends):
        return np.repeat(fits.m, len(columns.t), axis=1)
    return np.asarray(fits.k * columns.t + fits.m + blocks.product(fits.delta, columns.bends))


def _reach(manner: Manner, fits: _Fits, columns: _Columns, factor: Floats) -> Floats:
    """Return half the interval in standard deviations of the noise. (n, h)"""
    is_straying = manner.trend_uncertain and manner.layout.growth is not Growth.FLAT
    step = manner.layout.mean_step
    ahead = np.where(columns.t > 1.0, np.maximum(np.rint((columns.t - 1.0) / step), 1.0), 0.0)
    steps: NDArray[np.int64] = ahead.astype(np.int64) if is_straying else np.zeros(len(columns.t), dtype=np.int64)
    change = np.abs(fits.delta).mean(axis=1, keepdims=True) + LEAST_CHANGE
    ratio = change * step * np.abs(factor) / fits.sigma
    chance = fits.delta.shape[1] * step
    return intervals.reach(steps, ratio, chance=chance, width=manner.interval_width)
