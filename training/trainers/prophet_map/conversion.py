"""Turns a forecaster into the library's own fitted object, and the other way round. Imports Prophet when asked."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from training.trainers.base import Floats
from training.trainers.prophet_map.forecaster import Manner, ProphetForecaster
from training.trainers.prophet_map.layout import Layout

if TYPE_CHECKING:
    from prophet import Prophet

SAMPLES = 1000


def to_prophet(forecaster: ProphetForecaster) -> Prophet:
    """Return a fitted Prophet that forecasts the same; its history are two rows, the first and the last stamp.

    Its interval is sampled as the library does, so it differs from ours by that noise.
    """
    from training.trainers import prophet_cmdstan

    manner, layout = forecaster.manner, forecaster.manner.layout
    model: Any = prophet_cmdstan.Prophet(
        growth=layout.growth.value,
        seasonality_mode="multiplicative" if manner.multiplicative else "additive",
        interval_width=manner.interval_width,
        uncertainty_samples=SAMPLES if manner.trend_uncertain else 0,
        n_changepoints=len(layout.changepoints),
        yearly_seasonality=False,
        weekly_seasonality=False,
        daily_seasonality=False,
    )
    _put_history(model, layout)
    _put_seasons(model, manner)
    model.y_scale, model.y_min, model.logistic_floor = forecaster.y_scale, 0.0, False
    model.params = {name: value.reshape((1, -1)) for name, value in _values(forecaster).items()}
    model.fit_kwargs, model.stan_backend = {}, None
    fitted: Prophet = model
    return fitted


def _values(forecaster: ProphetForecaster) -> dict[str, Floats]:
    single = {"k": forecaster.k, "m": forecaster.m, "sigma_obs": forecaster.sigma}
    # Without a season the library has one column of zeros.
    beta = forecaster.beta if len(forecaster.beta) else np.zeros(1)
    return {**{name: np.array([value]) for name, value in single.items()}, "delta": forecaster.delta, "beta": beta}


def _put_history(model: Any, layout: Layout) -> None:
    first, last = (pd.Timestamp(stamp, unit="us") for stamp in (layout.start, layout.start + layout.span))
    model.start, model.t_scale = first, last - first
    model.history = pd.DataFrame({"ds": pd.to_datetime([first, last]), "t": [0.0, layout.mean_step]})
    model.history_dates = pd.Series(model.history["ds"], name="ds")
    model.changepoints = pd.Series(pd.to_datetime(list(layout.changepoints), unit="us"), name="ds")
    model.changepoints_t = layout.bends_at


def _put_seasons(model: Any, manner: Manner) -> None:
    for season in manner.layout.seasons:
        model.seasonalities[season.name] = {
            "period": season.period,
            "fourier_order": season.order,
            "prior_scale": model.seasonality_prior_scale,
            "mode": model.seasonality_mode,
            "condition_name": None,
        }
    model.seasonalities = OrderedDict(model.seasonalities)
    _, _, model.train_component_cols, model.component_modes = model.make_all_seasonality_features(model.history)


def numbers_of(model: Prophet, manner: Manner) -> ProphetForecaster:
    """Return the forecaster of a Prophet that the library fitted on the stamps of this manner's layout."""
    fitted: Any = model
    single = {name: float(np.mean(fitted.params[name])) for name in ("k", "m", "sigma_obs")}
    width = sum(2 * season.order for season in manner.layout.seasons)
    return ProphetForecaster(
        manner=manner,
        k=single["k"],
        m=single["m"],
        delta=np.array(fitted.params["delta"], dtype=np.float64).reshape(-1),
        beta=np.array(fitted.params["beta"], dtype=np.float64).reshape(-1)[:width],
        sigma=single["sigma_obs"],
        y_scale=float(fitted.y_scale),
    )
