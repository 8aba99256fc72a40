"""Owns what the stamps alone decide of a fit, as Prophet does it: scale of time, changepoints, columns of the seasons.

Series on the same stamps with the same settings share one layout, and its columns are computed once. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.trainers.prophet_map.problem import Floats, Growth, hinges

Stamps = NDArray[np.datetime64]
MICROSECONDS_A_DAY = 86_400_000_000
DAY, WEEK = MICROSECONDS_A_DAY, 7 * MICROSECONDS_A_DAY


@dataclass(frozen=True, kw_only=True)
class Season:
    """One seasonality: sines and cosines of a period."""

    name: str
    period: float
    """Days."""
    order: int
    """Number of sine and cosine pairs."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What of a recipe, beside the stamps, decides the columns. Orders are `auto`, true, false or a number of pairs."""

    growth: str
    n_changepoints: int
    changepoint_range: float
    yearly: object = "auto"
    weekly: object = "auto"
    daily: object = "auto"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The scales and columns of a fit; stamps are whole microseconds since 1970, of wall time."""

    growth: Growth
    start: int
    span: int
    """From the first to the last observation."""
    count: int
    """Observations."""
    changepoints: tuple[int, ...]
    """Empty where the trend has none to change at."""
    seasons: tuple[Season, ...]

    def scaled(self, times: Stamps) -> Floats:
        """Return stamps on the scale where the history runs from 0 to 1."""
        return np.asarray((_whole(times) - self.start) / self.span)

    @property
    def mean_step(self) -> float:
        """Return the mean distance of two observations on that scale."""
        return 1.0 / (self.count - 1)

    @property
    def bends_at(self) -> Floats:
        """Return the changepoints on that scale; without any Prophet has one at the start, which stands in for it."""
        if not self.changepoints:
            return np.zeros(1)
        return np.sort((np.array(self.changepoints, dtype=np.int64) - self.start) / self.span)

    def bends(self, times: Stamps) -> Floats:
        """Return what a change of slope at each changepoint adds to the trend; nothing for a flat one. (n, S)"""
        if self.growth is Growth.FLAT:
            return np.empty((len(times), 0))
        return hinges(self.scaled(times), self.bends_at)

    def columns(self, times: Stamps) -> Floats:
        """Return the columns of the seasons. (n, K)"""
        days = _whole(times) / 1e6 / 86_400.0
        parts = [_waves(days, season) for season in self.seasons]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(times), 0))


def lay_out(times: Stamps, settings: Settings) -> Layout:
    """Return the layout of sorted, unique stamps, at least two."""
    whole = _whole(times)
    return Layout(
        growth=Growth(settings.growth),
        start=int(whole[0]),
        span=int(whole[-1] - whole[0]),
        count=len(whole),
        changepoints=tuple(int(whole[place]) for place in _changepoint_places(len(whole), settings)),
        seasons=tuple(_seasons(whole, settings)),
    )


def _whole(times: Stamps) -> NDArray[np.int64]:
    return times.astype("datetime64[us]").astype(np.int64)


def _changepoint_places(count: int, settings: Settings) -> NDArray[np.int64]:
    """Spread the changepoints evenly over the front of the history, without its first stamp."""
    front = int(np.floor(count * settings.changepoint_range))
    wanted = min(settings.n_changepoints, front - 1)
    if wanted <= 0:
        return np.empty(0, dtype=np.int64)
    return np.linspace(0, front - 1, wanted + 1).round().astype(np.int64)[1:]


def _seasons(whole: NDArray[np.int64], settings: Settings) -> list[Season]:
    """Return those that are asked for, or that the history is long and fine enough for."""
    span, steps = int(whole[-1] - whole[0]), np.diff(whole)
    finest = int(steps[steps > 0].min())
    known = (
        ("yearly", 365.25, settings.yearly, 10, span >= 730 * DAY),
        ("weekly", 7.0, settings.weekly, 3, span >= 2 * WEEK and finest < WEEK),
        ("daily", 1.0, settings.daily, 4, span >= 2 * DAY and finest < DAY),
    )
    found = [(name, period, _order(asked, usual, fits)) for name, period, asked, usual, fits in known]
    return [Season(name=name, period=period, order=order) for name, period, order in found if order]


def _order(asked: object, usual: int, fits: bool) -> int:
    if asked == "auto":
        return usual if fits else 0
    if isinstance(asked, bool):
        return usual if asked else 0
    return int(str(asked))


def _waves(days: Floats, season: Season) -> Floats:
    # In the library's own order of operations, so that the columns are its columns to the last bit.
    angle = np.pi * 2 * days
    out = np.empty((len(days), 2 * season.order))
    for pair in range(season.order):
        phase = (pair + 1) / season.period * angle
        out[:, 2 * pair], out[:, 2 * pair + 1] = np.sin(phase), np.cos(phase)
    return out
