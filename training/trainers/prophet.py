"""The `prophet` trainer: the library as it is, fitted by CmdStan, stored as JSON without its history. Forecasts only.

Prophet learns level, trend and seasons from the train part and cannot use later observations, so `observed` does not
matter to its forecasts.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from training.trainers import rules
from training.trainers.base import (
    Fitted,
    Floats,
    ForecasterUnreadable,
    Grid,
    Params,
    Points,
    Prediction,
    Refused,
    Series,
    fit_each,
    read_json,
)

# Before the import: the library reports the absence of plotting, which is not wanted here, as an error, and CmdStan's
# wrapper prints two lines for each fit unless its logger has a handler.
logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
logging.getLogger("cmdstanpy").addHandler(logging.NullHandler())

from prophet import Prophet  # noqa: E402 - see above
from prophet.serialize import model_from_dict, model_to_dict  # noqa: E402

FORMAT = "prophet-json-1"
MOST_SEED = 2**31 - 1
PREDICTED_FROM = ("k", "m", "delta", "sigma_obs", "beta")
# After the import, which sets it to INFO: a line for each season that a short series does without.
logging.getLogger("prophet").setLevel(logging.ERROR)
RULES = {
    "growth": rules.choice("linear", "flat"),
    "seasonality_mode": rules.choice("additive", "multiplicative"),
    "changepoint_prior_scale": rules.number(0.05, least=1e-4, most=10),
    "seasonality_prior_scale": rules.number(10.0, least=1e-3, most=100),
    "n_changepoints": rules.integer(25, least=0, most=200),
    "changepoint_range": rules.number(0.8, least=0.1, most=1.0),
    "yearly_seasonality": rules.order(),
    "weekly_seasonality": rules.order(),
    "daily_seasonality": rules.order(),
    "interval_width": rules.number(0.8, least=0.01, most=0.99),
    "uncertainty_samples": rules.integer(200, least=0, most=2000),
    "nonnegative": rules.flag(False),
}
# Prophet draws from NumPy's one global generator; two threads must not interleave, nor may others notice.
_global_generator = threading.Lock()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with _global_generator:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


@dataclass(frozen=True, kw_only=True)
class ProphetForecaster:
    """A fitted Prophet whose history is a stub: two rows with the first and last date and the mean step."""

    prophet: Any
    seed: int
    nonnegative: bool
    first: str
    last: str
    mean_step: float
    """Mean distance of two observations on Prophet's scale of time, which its uncertainty code reads."""

    def predict(self, observed: Series, at: Points) -> Prediction:
        """Return forecast and interval; equal calls give equal answers, whatever was drawn before."""
        if not len(at):
            return Prediction(yhat=np.empty(0), lower=np.empty(0), upper=np.empty(0))
        # Prophet sorts by wall time, which an hour in autumn has twice: ask for each time once, answer for each point.
        times, places = np.unique(at.times, return_inverse=True)
        with _seeded(self.seed):
            answer = self.prophet.predict(pd.DataFrame({"ds": times})).iloc[places]
        yhat = answer["yhat"].to_numpy(dtype=np.float64)
        lower, upper = self._bounds(answer, yhat)
        if self.nonnegative:
            yhat, lower, upper = (np.maximum(values, 0.0) for values in (yhat, lower, upper))
        return Prediction(yhat=yhat, lower=lower, upper=upper)

    def _bounds(self, answer: pd.DataFrame, yhat: Floats) -> tuple[Floats, Floats]:
        """Return the sampled bounds, or without samples those of the fitted noise alone, without the trend's."""
        if self.prophet.uncertainty_samples:
            return np.asarray(answer["yhat_lower"], np.float64), np.asarray(answer["yhat_upper"], np.float64)
        sigma = float(np.mean(self.prophet.params["sigma_obs"])) * self.prophet.y_scale
        reach = sigma * NormalDist().inv_cdf((1 + self.prophet.interval_width) / 2)
        return yhat - reach, yhat + reach

    def dump(self) -> bytes:
        """Return JSON without the training rows; equal forecasters give equal bytes."""
        stub = {"first": self.first, "last": self.last, "mean_step": self.mean_step}
        content = {"format": FORMAT, "seed": self.seed, "nonnegative": self.nonnegative, "history": stub}
        return json.dumps({**content, "prophet": model_to_dict(self.prophet)}, sort_keys=True).encode()


def _stub(first: str, last: str, mean_step: float) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.to_datetime([first, last]), "t": [0.0, mean_step]})


class ProphetTrainer:
    """Fits level, trend and seasons of one series."""

    name = "prophet"
    kinds = frozenset({"forecast"})
    format = FORMAT
    defaults = rules.defaults(RULES)

    def check_params(self, params: Params) -> Params:
        """Return the parameters completed by defaults. Raises ParamsInvalid."""
        return rules.complete(RULES, params, trainer=self.name)

    def fit_many(
        self, train: Sequence[Series], *, params: Sequence[Params], seeds: Sequence[int], grid: Grid
    ) -> list[Fitted | Refused]:
        """Fit each series by CmdStan, whose temporary files are gone afterwards."""
        folder = tempfile.mkdtemp(prefix="perennial-stan-")
        try:
            return fit_each(train, params, seeds, lambda series, wanted, seed: self._fit(series, wanted, seed, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fit(self, series: Series, wanted: Params, seed: int, folder: str) -> Fitted:
        params = self.check_params(wanted)
        settings: dict[str, Any] = {key: value for key, value in params.items() if key != "nonnegative"}
        library: Any = Prophet(**settings)
        rows = pd.DataFrame({"ds": series.times, "y": series.target.copy()})
        library.fit(rows, seed=seed % MOST_SEED + 1, output_dir=folder)
        importance = _importance(library)
        forecaster = _reduced(library, seed=seed % MOST_SEED, nonnegative=bool(params["nonnegative"]))
        return Fitted(forecaster=forecaster, params=params, feature_importance=importance)

    def load(self, data: bytes) -> ProphetForecaster:
        """Return the forecaster. Raises ForecasterUnreadable."""
        content: dict[str, Any] = read_json(data, expected=FORMAT)
        library = _library(content.get("prophet"))
        try:
            stub = content["history"]
            library.history = _stub(**stub)
            return ProphetForecaster(prophet=library, seed=content["seed"], nonnegative=content["nonnegative"], **stub)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ForecasterUnreadable(f"The fields of this {FORMAT} artifact are not its own.") from error


def _library(content: Any) -> Any:
    try:
        return model_from_dict(content)
    except Exception as error:  # A hostile file makes the library raise anything; whatever it is, it was not read.
        told = f"{type(error).__name__}: {str(error)[:200]}"
        raise ForecasterUnreadable(f"Prophet cannot read this {FORMAT} artifact: {told}.") from error


def _importance(library: Any) -> Mapping[str, float]:
    """Return the share of each component in the spread that trend and seasons have on the train part; sums to 1."""
    history = library.history
    seasons = library.predict_seasonal_components(history)
    spread = {name: float(seasons[name].std()) for name in library.seasonalities}
    whole = float(library.predict_trend(history).std())
    if library.seasonality_mode == "multiplicative":
        level = float(np.abs(library.predict_trend(history)).mean())
        spread = {name: value * level for name, value in spread.items()}
    total = whole + sum(spread.values())
    return {name: value / total for name, value in {"trend": whole, **spread}.items()} if total > 0 else {}


def _reduced(library: Any, *, seed: int, nonnegative: bool) -> ProphetForecaster:
    """Return the forecaster without history, Stan's results and the options of this one fit (a path among them)."""
    history = library.history
    first, last = (pd.Timestamp(history["ds"].iloc[place]).isoformat() for place in (0, -1))
    mean_step = float(np.diff(history["t"]).mean())
    library.history = _stub(first, last, mean_step)
    # Stan also returns the fitted trend of every row, which nothing reads afterwards.
    library.params = {name: library.params[name] for name in PREDICTED_FROM}
    library.history_dates = pd.Series(library.history["ds"], name="ds")
    library.stan_fit, library.stan_backend, library.fit_kwargs = None, None, {}
    return ProphetForecaster(
        prophet=library, seed=seed, nonnegative=nonnegative, first=first, last=last, mean_step=mean_step
    )


TRAINER = ProphetTrainer()
