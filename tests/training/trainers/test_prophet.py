"""What the trainer fits is Prophet's model: by either optimiser, alone or among others, as its own object or ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from tests.training.series import BAKERY, DAILY, a_series, bakery, weekly_pattern
from training import windows
from training.trainers import prophet
from training.trainers.base import Asked, Fitted, ForecasterUnreadable, Grid, ParamsInvalid, Points, Prediction, Series
from training.trainers.prophet_map import additive, conversion, forecaster, gauss_newton

FIT = prophet.TRAINER.fit_many


def fitted(series: Series, *, grid: Grid = DAILY, seed: int = 7, **params: Any) -> Fitted:
    """A fit that succeeds."""
    (fit,) = FIT([series], params=[params], seeds=[seed], grid=grid)
    assert isinstance(fit, Fitted), fit
    return fit


def same(one: Prediction, other: Prediction) -> bool:
    """Whether forecast and interval are equal to the last bit."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("yhat", "lower", "upper"))


RECIPES: list[dict[str, Any]] = [
    {},
    {"growth": "flat"},
    {"seasonality_mode": "multiplicative"},
    {"n_changepoints": 0},
    {"weekly_seasonality": False, "yearly_seasonality": False},
]


@pytest.mark.parametrize("params", RECIPES)
@pytest.mark.parametrize("optimizer", ["exact", "cmdstan"])
def test_turned_into_the_librarys_own_object_it_forecasts_the_same(optimizer: str, params: dict[str, Any]) -> None:
    series = bakery()["store00_roll"]
    stored = forecaster.load(fitted(series, grid=BAKERY, optimizer=optimizer, **params).forecaster.dump())
    ahead = windows.future(series, Grid(frequency="D", horizon=60))
    for at in (ahead.times, series.times[-400:]):
        theirs = conversion.to_prophet(stored).predict(pd.DataFrame({"ds": at}))["yhat"].to_numpy()
        ours = forecaster.predict_together([stored], at)[0].yhat
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8 * stored.y_scale)


@pytest.mark.parametrize("params", [*RECIPES, {"nonnegative": True}])
@pytest.mark.requirement("R08")
def test_the_code_of_the_guide_reads_an_exported_forecaster_without_this_product(params: dict[str, Any]) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "exports.md").read_text()
    known: dict[str, Any] = {}
    [block] = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    exec(compile(block, "exports.md", "exec"), known)
    series = bakery()["store00_roll"]
    stored = fitted(series, grid=BAKERY, **params).forecaster
    ahead = windows.future(series, BAKERY)
    theirs = known["forecast"](stored.dump(), ahead.times)
    np.testing.assert_allclose(theirs, stored.predict(series, ahead).yhat, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("params", RECIPES)
def test_cmdstan_on_request_gives_the_librarys_forecast(params: dict[str, Any]) -> None:
    series = bakery()["store00_roll"]
    ahead = windows.future(series, BAKERY)
    library = Prophet(uncertainty_samples=0, **params)
    library.fit(pd.DataFrame({"ds": series.times, "y": series.target}), seed=8)
    theirs = library.predict(pd.DataFrame({"ds": ahead.times}))["yhat"].to_numpy()
    fit = fitted(series, grid=BAKERY, optimizer="cmdstan", **params)
    ours = fit.forecaster.predict(series, ahead).yhat
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8 * np.abs(series.target).max())
    assert fit.notes == {"optimizer": "cmdstan", "iterations": 0, "fallback_reason": ""}


def test_the_exact_optimiser_is_the_default_and_is_noted_with_its_rounds() -> None:
    fit = fitted(bakery()["store00_roll"], grid=BAKERY)
    assert fit.notes["optimizer"] == "exact"
    assert 0 < int(str(fit.notes["iterations"])) < 20


@pytest.mark.parametrize("params", [{}, {"seasonality_mode": "multiplicative"}])
def test_where_it_finds_no_optimum_cmdstan_takes_over_and_that_is_told(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    series = bakery()["store00_roll"]
    usual = fitted(series, grid=BAKERY, optimizer="cmdstan", **params)
    # The rounds run out before the first.
    monkeypatch.setattr(additive, "MOST_CENTRES", 0)
    monkeypatch.setattr(gauss_newton, "MOST_STEPS", 0)
    fit = fitted(series, grid=BAKERY, **params)
    assert fit.notes["optimizer"] == "cmdstan"
    assert "no finite optimum" in str(fit.notes["fallback_reason"])
    ahead = windows.future(series, BAKERY)
    assert same(fit.forecaster.predict(series, ahead), usual.forecaster.predict(series, ahead))


def test_a_series_alone_and_among_others_on_other_dates_gives_equal_bytes() -> None:
    many = [series.slice(place, None) for place, series in enumerate(bakery().values())] + list(bakery().values())
    together = FIT(many, params=[{}] * len(many), seeds=[1] * len(many), grid=BAKERY)
    for series, fit in zip(many, together, strict=True):
        assert isinstance(fit, Fitted)
        assert fit.forecaster.dump() == fitted(series, grid=BAKERY).forecaster.dump()


def test_asked_together_each_answers_as_it_does_alone() -> None:
    many = list(bakery().values())
    recipes: list[dict[str, Any]] = [{}, {"interval_width": 0.95}, {"growth": "flat"}]
    fits = FIT(many * 3, params=[each for each in recipes for _ in many], seeds=[1] * 9, grid=BAKERY)
    asked = [
        Asked(forecaster=fit.forecaster, observed=series, at=windows.future(series, Grid(frequency="D", horizon=days)))
        for fit, series, days in zip(fits, many * 3, [7, 14, 7] * 3, strict=True)
        if isinstance(fit, Fitted)
    ]
    for question, answer in zip(asked, prophet.TRAINER.predict_many(asked), strict=True):
        assert isinstance(answer, Prediction)
        assert same(answer, question.forecaster.predict(question.observed, question.at))


@pytest.mark.parametrize("params", [{}, {"seasonality_mode": "multiplicative"}, {"changepoint_prior_scale": 5.0}])
def test_the_interval_is_the_one_that_the_library_samples(params: dict[str, Any]) -> None:
    series = bakery()["store00_roll"]
    stored = fitted(series, grid=BAKERY, **params).forecaster
    assert isinstance(stored, forecaster.ProphetForecaster)
    ahead = windows.future(series, Grid(frequency="D", horizon=60))
    library = conversion.to_prophet(stored)
    library.uncertainty_samples = 20_000
    theirs = library.predict(pd.DataFrame({"ds": ahead.times}))
    ours = stored.predict(series, ahead)
    width = (theirs["yhat_upper"] - theirs["yhat_lower"]).to_numpy()
    np.testing.assert_allclose(ours.upper - ours.lower, width, rtol=0.06)
    assert np.median(np.abs((ours.upper - ours.lower) / width - 1)) < 0.02


def test_a_trend_grows_more_uncertain_and_the_history_does_not() -> None:
    restless = a_series(np.cumsum(np.random.default_rng(5).normal(size=120)).cumsum())
    stored = fitted(restless, changepoint_prior_scale=10.0).forecaster
    assert isinstance(stored, forecaster.ProphetForecaster)
    times = np.concatenate([restless.times, windows.future(restless, Grid(frequency="D", horizon=90)).times])
    answer = forecaster.predict_together([stored], times)[0]
    width = answer.upper - answer.lower
    assert width[:120] == pytest.approx(width[0])
    assert (np.diff(width[120:]) > 0).all()
    assert width[-1] > 20 * width[0]


def test_the_artifact_holds_no_training_value_and_does_not_grow_with_the_history() -> None:
    short, long = (fitted(a_series(weekly_pattern(weeks))).forecaster.dump() for weeks in (20, 100))
    assert len(long) < len(short) * 1.1 < 3_000
    assert set(json.loads(long)) == {"format", "manner", "fit"}


def test_equal_fits_give_equal_bytes() -> None:
    series = a_series(weekly_pattern(20))
    assert fitted(series).forecaster.dump() == fitted(series).forecaster.dump()


def test_without_samples_the_interval_is_that_of_the_noise() -> None:
    series = a_series(weekly_pattern(40))
    forecaster = fitted(series, uncertainty_samples=0).forecaster
    answer = forecaster.predict(series, windows.future(series, DAILY))
    width = answer.upper - answer.lower
    assert width == pytest.approx(width[0])
    # Noise of 1 and an interval of 80 %: plus and minus 1.28.
    assert width[0] == pytest.approx(2 * 1.28, rel=0.2)


def test_demand_can_be_kept_from_falling_below_zero() -> None:
    falling = a_series(np.linspace(40, 0.5, 120))
    grid = Grid(frequency="D", horizon=30)
    ahead = windows.future(falling, grid)
    free = fitted(falling, grid=grid).forecaster.predict(falling, ahead)
    kept = fitted(falling, grid=grid, nonnegative=True)
    clipped = prophet.TRAINER.load(kept.forecaster.dump()).predict(falling, ahead)
    assert free.yhat.min() < 0 == clipped.yhat.min()
    assert (clipped.lower >= 0).all()
    assert kept.params["nonnegative"] is True


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_a_constant_target_is_forecast_as_it_is(level: float) -> None:
    series = a_series(np.full(60, level))
    answer = fitted(series).forecaster.predict(series, windows.future(series, DAILY))
    assert answer.yhat == pytest.approx(np.full(7, level), abs=1e-6)
    assert np.isfinite(answer.lower).all()


def test_a_nearly_dead_real_series_gets_finite_forecasts() -> None:
    series = bakery()["store02_seeded_roll"]
    fit = fitted(series, grid=BAKERY)
    assert np.isfinite(fit.forecaster.predict(series, windows.future(series, BAKERY)).yhat).all()
    assert sum(fit.feature_importance.values()) == pytest.approx(1.0)
    assert {"trend", "weekly"} <= set(fit.feature_importance)


def test_all_parameters_in_force_are_recorded() -> None:
    fit = fitted(a_series(weekly_pattern(20)), n_changepoints=5, weekly_seasonality=4)
    assert dict(fit.params) == {**prophet.TRAINER.defaults, "n_changepoints": 5, "weekly_seasonality": 4}


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"growth": "logistic"}, "growth"),
        ({"changepoint_prior_scale": 0}, "changepoint_prior_scale"),
        ({"weekly_seasonality": "often"}, "weekly_seasonality"),
        ({"uncertainty_samples": 2.5}, "uncertainty_samples"),
        ({"n_changepoints": True}, "n_changepoints"),
        ({"interval_width": float("nan")}, "interval_width"),
    ],
)
def test_a_parameter_that_is_not_allowed_is_refused_by_key_and_says_what_is(params: dict[str, Any], key: str) -> None:
    with pytest.raises(ParamsInvalid) as caught:
        prophet.TRAINER.check_params(params)
    assert caught.value.field == key
    assert "allowed is" in caught.value.sentence


def _spoilt(path: str, value: object) -> bytes:
    content = json.loads(fitted(a_series(weekly_pattern(20))).forecaster.dump())
    *above, last = path.split(".")
    place = content
    for name in above:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("fit", {}),
        ("fit.k", "NaN"),
        ("fit.sigma", 0.0),
        ("fit.y_scale", -1.0),
        ("fit.delta", [0.0]),
        ("fit.beta", [1.0] * 600_000),
        ("manner.layout.span", 0),
        ("manner.layout.count", 1),
        ("manner.layout.start", 10**30),
        ("manner.layout.growth", "logistic"),
        ("manner.layout.changepoints", list(range(5000))),
        ("manner.layout.seasons.0.order", 10**9),
        ("manner.layout.seasons.0.order", 2.5),
        ("manner.layout.seasons.0.period", 0),
        ("manner.layout.seasons", [{"name": "weekly", "period": 7, "order": 3}] * 100),
        ("manner.interval_width", 1.0),
    ],
)
def test_numbers_that_no_fit_gives_are_refused(path: str, value: object) -> None:
    with pytest.raises(ForecasterUnreadable) as caught:
        prophet.TRAINER.load(_spoilt(path, value))
    assert prophet.FORMAT in caught.value.sentence


def test_the_hour_that_autumn_has_twice_gets_each_points_own_answer() -> None:
    grid = Grid(frequency="15min", horizon=12, season_length=96, time_zone="Europe/Berlin")
    instants = np.arange("2025-10-20", "2025-10-26", np.timedelta64(15, "m"), dtype="datetime64[us]")
    hours = (grid.local(instants) - grid.local(instants).astype("datetime64[D]")) / np.timedelta64(1, "h")
    series = Series(
        entity="a", instants=instants, times=grid.local(instants), target=hours**2, features=np.empty((len(hours), 0))
    )
    [fitted] = prophet.TRAINER.fit_many([series], params=[prophet.TRAINER.check_params({})], seeds=[1], grid=grid)
    assert isinstance(fitted, Fitted)
    at = windows.future(series, grid)
    together = fitted.forecaster.predict(series, at).yhat
    for place in range(len(at)):
        one = slice(place, place + 1)
        alone = Points(instants=at.instants[one], times=at.times[one], features=at.features[one])
        assert fitted.forecaster.predict(series, alone).yhat[0] == pytest.approx(together[place])
