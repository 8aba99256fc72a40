"""The `prophet` trainer: Prophet's model, fitted exactly and many series at once, or by CmdStan. Forecasts only.

Prophet learns level, trend and seasons from the train part and cannot use later observations, so `observed` does not
matter to its forecasts. A series for which the exact optimiser has no answer goes to CmdStan, and that is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from billiard.exceptions import SoftTimeLimitExceeded

from registry.errors import PerennialError
from training.trainers import rules
from training.trainers.base import (
    Asked,
    Fitted,
    Forecaster,
    Grid,
    Params,
    Prediction,
    Refused,
    Series,
)
from training.trainers.each import broken, predict_each, unfit
from training.trainers.prophet_map import forecaster, together
from training.trainers.prophet_map.forecaster import ProphetForecaster, predict_together
from training.trainers.prophet_map.layout import Settings
from training.trainers.prophet_map.together import Recipe

FORMAT = forecaster.FORMAT
EXACT, CMDSTAN = "exact", "cmdstan"
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
    "optimizer": rules.choice(EXACT, CMDSTAN),
}
_NOT_THE_LIBRARYS = ("nonnegative", "optimizer", "uncertainty_samples")


class ProphetTrainer:
    """Fits level, trend and seasons of each series; those on the same stamps together."""

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
        """Fit each series; alone it comes out the same to the last bit. Seeds matter to CmdStan alone."""
        outcomes: dict[int, Fitted | Refused] = {}
        for places in _alike(train, params):
            some = [train[place] for place in places]
            made = self._fit_alike(some, params[places[0]], [seeds[place] for place in places])
            outcomes.update(zip(places, made, strict=True))
        return [outcomes[place] for place in range(len(train))]

    def _fit_alike(self, some: Sequence[Series], wanted: Params, seeds: Sequence[int]) -> list[Fitted | Refused]:
        """Fit series that have stamps and parameters in common."""
        if refused := unfit(some[0]) if len(some) == 1 else None:
            return [refused]
        try:
            params = self.check_params(wanted)
            return _by_cmdstan(some, params, seeds) if params["optimizer"] == CMDSTAN else _exactly(some, params, seeds)
        except (MemoryError, SoftTimeLimitExceeded):
            raise
        except Exception as error:  # A library raises anything; it is reported for the series that it is about.
            if len(some) == 1:
                return [broken(some[0], error)]
            return [self._fit_alike([one], wanted, [seed])[0] for one, seed in zip(some, seeds, strict=True)]

    def predict_many(self, asked: Sequence[Asked]) -> list[Prediction | PerennialError]:
        """Answer each; those of one manner and the same stamps together."""
        answers: dict[int, Prediction | PerennialError] = {}
        groups: dict[tuple[Any, bytes], list[int]] = {}
        for place, each in enumerate(asked):
            if isinstance(each.forecaster, ProphetForecaster):
                groups.setdefault((each.forecaster.manner, each.at.times.tobytes()), []).append(place)
            else:
                [answers[place]] = predict_each([each])
        for places in groups.values():
            fitted = [asked[place].forecaster for place in places]
            made = predict_together(
                [each for each in fitted if isinstance(each, ProphetForecaster)], asked[places[0]].at.times
            )
            answers.update(zip(places, made, strict=True))
        return [answers[place] for place in range(len(asked))]

    def load(self, data: bytes) -> Forecaster:
        """Return the forecaster, also one written as the library's JSON. Raises ForecasterUnreadable."""
        if data[:64].lstrip()[:1] == b"{" and f'"{FORMAT}"'.encode() in data[:64]:
            return forecaster.load(data)
        # Here and not above: what this product fits needs no Prophet to be read.
        from training.trainers import prophet_cmdstan

        return prophet_cmdstan.load(data)


def _alike(train: Sequence[Series], params: Sequence[Params]) -> list[list[int]]:
    """Return the places of series with the same stamps and parameters; one that cannot be fitted stands alone."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, (series, wanted) in enumerate(zip(train, params, strict=True)):
        is_fit = len(series) > 1 and bool(np.isfinite(series.target).all())
        key = (tuple(sorted(wanted.items())), series.times.tobytes()) if is_fit else (place,)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _exactly(some: Sequence[Series], params: Params, seeds: Sequence[int]) -> list[Fitted | Refused]:
    targets = np.array([series.target for series in some], dtype=np.float64)
    found = together.fit(some[0].times, targets, _recipe(params))
    return [_fitted(one, fit, params, seed) for one, fit, seed in zip(some, found, seeds, strict=True)]


def _fitted(series: Series, fit: together.Fit, params: Params, seed: int) -> Fitted | Refused:
    if fit.forecaster is None:
        reason = f"no finite optimum after {fit.iterations} rounds"
        [outcome] = _by_cmdstan([series], params, [seed], iterations=fit.iterations, reason=reason)
        return outcome
    notes = {"optimizer": EXACT, "iterations": fit.iterations}
    return Fitted(forecaster=fit.forecaster, params=params, feature_importance=fit.importance, notes=notes)


def _by_cmdstan(
    some: Sequence[Series], params: Params, seeds: Sequence[int], *, iterations: int = 0, reason: str = ""
) -> list[Fitted | Refused]:
    """Fit each by the library. `iterations` and `reason` tell of the exact optimiser, where that gave up before."""
    # Here and not above: the library takes a second to import, and most workers never need it.
    from training.trainers import prophet_cmdstan
    from training.trainers.prophet_map import conversion

    settings = {name: value for name, value in params.items() if name not in _NOT_THE_LIBRARYS}
    notes = {"optimizer": CMDSTAN, "iterations": iterations, "fallback_reason": reason}
    recipe = _recipe(params)
    outcomes: list[Fitted | Refused] = []
    for series, seed in zip(some, seeds, strict=True):
        library = prophet_cmdstan.fit(series.times, series.target, settings, seed=seed)
        made = conversion.numbers_of(library, together.manner(series.times, recipe))
        shares = together.importance(series.times, recipe, made)
        outcomes.append(Fitted(forecaster=made, params=params, feature_importance=shares, notes=notes))
    return outcomes


def _recipe(params: Params) -> Recipe:
    values: Any = params
    return Recipe(
        settings=Settings(
            growth=values["growth"],
            n_changepoints=values["n_changepoints"],
            changepoint_range=float(values["changepoint_range"]),
            yearly=values["yearly_seasonality"],
            weekly=values["weekly_seasonality"],
            daily=values["daily_seasonality"],
        ),
        multiplicative=values["seasonality_mode"] == "multiplicative",
        changepoint_scale=float(values["changepoint_prior_scale"]),
        season_scale=float(values["seasonality_prior_scale"]),
        interval_width=float(values["interval_width"]),
        trend_uncertain=values["uncertainty_samples"] > 0,
        nonnegative=values["nonnegative"],
    )


TRAINER = ProphetTrainer()
