"""Seasonal naive: the value one season ago. The floor under every other trainer, so it must fit whatever has two rows.

Forecast: the observation at the same place one season earlier by the calendar of wall time; where that stamp is absent,
one season further back; where none is found, the last observation. Regression: the mean of the train part at the same
place of the season, because a regression's windows lie far behind its last observation; where the place was never
seen, the mean of all. The interval comes from the differences between seasons (or from the means) in the train part,
wider by the square root of the seasons gone back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from registry.errors import PerennialError
from training.trainers import rules
from training.trainers.base import (
    Asked,
    Fitted,
    Floats,
    ForecasterUnreadable,
    Grid,
    Params,
    Points,
    Prediction,
    Refused,
    Series,
    Stamps,
    read_json,
)
from training.trainers.each import fit_each, predict_each

FORMAT = "seasonal-naive-json-1"
CACHED = 128
"""Pairs of stamps, observed and asked, that are remembered: a fleet has a few."""
RULES = {"interval_width": rules.number(0.8, least=0.01, most=0.99)}


def look_up(series: Series, times: Stamps, grid: Grid) -> tuple[Floats, NDArray[np.int64]]:
    """Return for each wall time the newest value of the same place in an earlier season, and how many seasons back.

    A place that was never observed is NaN and 0 seasons back. Only observations of `series` are used, so it must end at
    the cutoff.
    """
    places, back = _earlier(series.times.tobytes(), times.tobytes(), grid)
    return np.where(back > 0, series.target[places], np.nan) if len(series) else np.full(len(times), np.nan), back


@lru_cache(maxsize=CACHED)
def _earlier(observed: bytes, asked: bytes, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where among the observed stamps each place was seen last, and how many seasons back; 0 where never."""
    known, times = (np.frombuffer(stamps, dtype="datetime64[us]") for stamps in (observed, asked))
    index = pd.DatetimeIndex(known)
    # In the hour that the clock repeats, the first of two equal wall times stands for both.
    first_seen = np.flatnonzero(~index.duplicated())
    index = index[first_seen]
    found, back = np.zeros(len(times), dtype=np.int64), np.zeros(len(times), dtype=np.int64)
    open_places, seasons = np.arange(len(times)), 0
    while len(open_places) and len(known):
        seasons += 1
        earlier = grid.shift(times[open_places], -seasons * grid.season_length)
        places = index.get_indexer(pd.DatetimeIndex(earlier))
        hit = places >= 0
        found[open_places[hit]], back[open_places[hit]] = first_seen[places[hit]], seasons
        open_places = open_places[~hit & (earlier >= known[0])]
    return found, back


def differences(series: Series, grid: Grid) -> Floats:
    """Return each observation minus the one exactly one season earlier, where both exist; the scale of MASE."""
    found, back = look_up(series, series.times, grid)
    one_season = back == 1
    return np.asarray(series.target[one_season] - found[one_season])


@dataclass(frozen=True, kw_only=True)
class SeasonalNaive:
    """The fitted floor; a forecast is made from the observations that it is given, a regression from its means."""

    grid: Grid
    low: float
    """What is added to the value for the lower bound, one season ahead; in the fleet's unit."""
    high: float
    mean: float
    anchor: str
    """First wall time of the train part: place 0 of the season."""
    means: tuple[float | None, ...]
    """Mean of each place of the season, regression only."""

    def predict(self, observed: Series, at: Points) -> Prediction:
        """Return one value for each point, always finite."""
        if self.grid.kind == "regression":
            yhat, wider = self._place_means(at), np.ones(len(at))
        else:
            yhat, back = look_up(observed, at.times, self.grid)
            last = observed.target[-1] if len(observed) else self.mean
            yhat, wider = np.where(back > 0, yhat, last), np.sqrt(np.maximum(back, 1))
        return Prediction(yhat=yhat, lower=yhat + self.low * wider, upper=yhat + self.high * wider)

    def _place_means(self, at: Points) -> Floats:
        means = np.array([self.mean if value is None else value for value in self.means])
        return np.asarray(means[_places(at.times, self.anchor, self.grid)])

    def dump(self) -> bytes:
        """Return the JSON of all fields; equal forecasters give equal bytes."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, allow_nan=False).encode()


def _places(times: Stamps, anchor: str, grid: Grid) -> NDArray[np.int64]:
    if not len(times):
        return np.empty(0, dtype=np.int64)
    return grid.steps(np.datetime64(anchor, "us"), times) % grid.season_length


class SeasonalNaiveTrainer:
    """Repeats the last season."""

    name = "seasonal_naive"
    kinds = frozenset({"forecast", "regression"})
    format = FORMAT
    defaults = rules.defaults(RULES)

    def check_params(self, params: Params) -> Params:
        """Return the parameters completed by defaults. Raises ParamsInvalid."""
        return rules.complete(RULES, params, trainer=self.name)

    def fit_many(
        self, train: Sequence[Series], *, params: Sequence[Params], seeds: Sequence[int], grid: Grid
    ) -> list[Fitted | Refused]:
        """Fit each series; deterministic, so the seeds do not matter."""
        return fit_each(train, params, seeds, lambda series, wanted, _: self._fit(series, wanted, grid))

    def _fit(self, series: Series, wanted: Params, grid: Grid) -> Fitted:
        params = self.check_params(wanted)
        anchor = str(series.times[0])
        means = _means(series, anchor, grid) if grid.kind == "regression" else ()
        mean = float(series.target.mean())
        residuals = _residuals(series, means, mean, grid)
        tail = (1 - float(str(params["interval_width"]))) / 2
        low, high = _quantiles(residuals, tail)
        forecaster = SeasonalNaive(grid=grid, low=low, high=high, mean=mean, anchor=anchor, means=means)
        return Fitted(forecaster=forecaster, params=params)

    def predict_many(self, asked: Sequence[Asked]) -> list[Prediction | PerennialError]:
        """Answer one after the other."""
        return predict_each(asked)

    def load(self, data: bytes) -> SeasonalNaive:
        """Return the forecaster. Raises ForecasterUnreadable."""
        fields: dict[str, Any] = read_json(data, expected=FORMAT)
        try:
            fields.pop("format")
            grid, means = Grid(**fields.pop("grid")), tuple(fields.pop("means"))
            return SeasonalNaive(grid=grid, means=means, **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ForecasterUnreadable(f"The fields of this {FORMAT} artifact are not its own.") from error


def _quantiles(values: Floats, tail: float) -> tuple[float, float]:
    """Return the quantiles at both tails, linear between the values, as `numpy.quantile` does, and quicker."""
    ordered = np.sort(values)
    at = np.array([tail, 1 - tail]) * (len(ordered) - 1)
    left = np.minimum(at.astype(np.int64), len(ordered) - 1)
    right = np.minimum(left + 1, len(ordered) - 1)
    low, high = (ordered[left] + (at - left) * (ordered[right] - ordered[left])).tolist()
    return low, high


def _means(series: Series, anchor: str, grid: Grid) -> tuple[float | None, ...]:
    places = _places(series.times, anchor, grid)
    sums = np.bincount(places, weights=series.target, minlength=grid.season_length)
    counts = np.bincount(places, minlength=grid.season_length)
    return tuple(float(total / count) if count else None for total, count in zip(sums, counts, strict=True))


def _residuals(series: Series, means: tuple[float | None, ...], mean: float, grid: Grid) -> Floats:
    if grid.kind == "regression":
        fitted = SeasonalNaive(grid=grid, low=0.0, high=0.0, mean=mean, anchor=str(series.times[0]), means=means)
        return np.asarray(series.target - fitted._place_means(series.points()))
    residuals = differences(series, grid)
    return residuals if len(residuals) else np.asarray(series.target - mean)


TRAINER = SeasonalNaiveTrainer()
