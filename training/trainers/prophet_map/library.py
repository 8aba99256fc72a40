"""`Prophet` as in the library, fitted exactly and with less work around it: every column the same but two.

Feature tables are kept for equal dates (`features`). Bounds of the history, where the trend is certain, are the
quantiles of the fitted noise instead of draws from it; only the future is sampled.
"""

from __future__ import annotations

from collections.abc import Hashable
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import prophet

from training.trainers.prophet_map import backend, features
from training.trainers.prophet_map.problem import Floats

CACHE = features.Cache()


class Prophet(prophet.Prophet):
    """The library's class; takes its arguments, of which `stan_backend` is the exact optimiser by default.

    `yhat_lower` and `yhat_upper` differ from the library's by what draws differ among themselves. A table of
    holidays must not be changed in place once a model has it.
    """

    _marked: tuple[pd.DataFrame | None, Hashable] | None = None

    def _load_stan_backend(self, stan_backend: str | None) -> None:
        super()._load_stan_backend(stan_backend or backend.NAME)

    def make_all_seasonality_features(self, df: pd.DataFrame) -> features.Features:
        """Return what the library returns, from memory where the same was asked before. Frames are copies."""
        key = features.key_of(self, df["ds"], self._mark())
        if key is None:
            made: features.Features = super().make_all_seasonality_features(df)
            return made
        found = CACHE.find(key)
        if found is None:
            made = super().make_all_seasonality_features(df)
            CACHE.keep(key, (made, self.train_holiday_names))
            return made
        if self.train_holiday_names is None:
            self.train_holiday_names = found[1]
        return found[0]

    def _mark(self) -> Hashable:
        """Return what tells the holidays from others, worked out once for a table."""
        if self._marked is None or self._marked[0] is not self.holidays:
            self._marked = (self.holidays, features.mark(self.holidays))
        return self._marked[1]

    def predict_uncertainty(
        self, df: pd.DataFrame, vectorized: bool, regressor_samples: dict[str, Floats] | None = None
    ) -> pd.DataFrame:
        """Return the bounds of yhat and trend; draws only for rows after the history."""
        past = df["t"].to_numpy() <= 1
        if regressor_samples or len(self.params["k"]) > 1 or not past.any() or not 0 < self.interval_width < 1:
            return super().predict_uncertainty(df, vectorized, regressor_samples)
        bounds = self._certain(df)
        if not past.all():
            ahead = super().predict_uncertainty(df.loc[~past].reset_index(drop=True), vectorized, regressor_samples)
            for name in bounds.columns:
                values = bounds[name].to_numpy().copy()
                values[~past] = ahead[name].to_numpy()
                bounds[name] = values
        return bounds

    def _certain(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the bounds where the trend is certain."""
        table, _, components, _ = self.make_all_seasonality_features(df)
        beta, trend = self.params["beta"][0], df["trend"].to_numpy()
        added, factor = (
            np.matmul(table.values, beta * components[name].values)
            for name in ("additive_terms", "multiplicative_terms")
        )
        yhat = trend * (1 + factor) + added * self.y_scale
        reach = NormalDist().inv_cdf((1 + self.interval_width) / 2) * self._noise()
        return pd.DataFrame(
            {"yhat_lower": yhat - reach, "yhat_upper": yhat + reach, "trend_lower": trend, "trend_upper": trend}
        )

    def _noise(self) -> float:
        """Return the standard deviation of the noise, in units of the target."""
        sigma: Any = self.params["sigma_obs"]
        return float(np.ravel(sigma)[0]) * float(self.y_scale or 1.0)
