"""Prophet is stored without its history, leaves no file and no message behind, and disturbs nobody's random numbers."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import cmdstanpy
import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from tests.training.series import BAKERY, DAILY, a_series, bakery, weekly_pattern
from training import dataset
from training.trainers import prophet
from training.trainers.base import Fitted, ForecasterUnreadable, Grid, ParamsInvalid, Points, Prediction, Series

FIT = prophet.TRAINER.fit_many


def fitted(series: Series, *, grid: Grid = DAILY, seed: int = 7, **params: Any) -> Fitted:
    """A fit that succeeds."""
    (fit,) = FIT([series], params=[params], seeds=[seed], grid=grid)
    assert isinstance(fit, Fitted), fit
    return fit


def same(one: Prediction, other: Prediction) -> bool:
    """Whether forecast and interval are equal to the last bit."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("yhat", "lower", "upper"))


@pytest.mark.parametrize("params", [{}, {"growth": "flat"}, {"seasonality_mode": "multiplicative"}])
@pytest.mark.parametrize("steps", [1, 14])
def test_without_its_history_it_forecasts_what_the_library_forecasts(steps: int, params: dict[str, Any]) -> None:
    series = bakery()["store00_roll"]
    ahead = dataset.future(series, Grid(frequency="D", horizon=steps))
    library = Prophet(uncertainty_samples=200, **params)
    rows = pd.DataFrame({"ds": series.times, "y": series.target})
    library.fit(rows, seed=8)
    np.random.seed(7)
    whole = library.predict(pd.DataFrame({"ds": ahead.times}))
    stored = prophet.TRAINER.load(fitted(series, grid=BAKERY, **params).forecaster.dump())
    answer = stored.predict(series, ahead)
    for ours, theirs in (("yhat", "yhat"), ("lower", "yhat_lower"), ("upper", "yhat_upper")):
        assert np.array_equal(getattr(answer, ours), whole[theirs].to_numpy())


def test_one_step_ahead_the_interval_of_a_restless_trend_still_knows_the_mean_step_of_the_history() -> None:
    # With one point ahead the library takes the length of a step from its history, which is a stub here.
    restless = a_series(np.cumsum(np.random.default_rng(5).normal(size=120)).cumsum())
    ahead = dataset.future(restless, Grid(frequency="D"))
    params: dict[str, Any] = {"changepoint_prior_scale": 10.0, "weekly_seasonality": False, "n_changepoints": 100}
    library = Prophet(uncertainty_samples=200, yearly_seasonality=False, daily_seasonality=False, **params)
    library.fit(pd.DataFrame({"ds": restless.times, "y": restless.target}), seed=8)
    np.random.seed(7)
    whole = library.predict(pd.DataFrame({"ds": ahead.times}))
    answer = fitted(restless, **params).forecaster.predict(restless, ahead)
    assert np.array_equal(answer.upper, whole["yhat_upper"].to_numpy())


def test_the_artifact_holds_no_training_value_and_does_not_grow_with_the_history() -> None:
    short, long = (fitted(a_series(weekly_pattern(weeks))).forecaster.dump() for weeks in (20, 100))
    assert len(long) < len(short) * 1.05 < 10_000
    history = json.loads(json.loads(long)["prophet"]["history"])["data"]
    assert len(history) == 2
    assert all("y" not in row for row in history)


def test_equal_fits_give_equal_bytes() -> None:
    series = a_series(weekly_pattern(20))
    assert fitted(series).forecaster.dump() == fitted(series).forecaster.dump()


def test_no_file_is_left_behind_and_nothing_is_said(
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fitted(a_series(weekly_pattern(20)))  # Loads the library, which makes a folder for the life of the process.
    of_the_process = Path(cmdstanpy._TMPDIR)
    before = set(of_the_process.rglob("*"))
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with caplog.at_level(logging.INFO):
        fitted(a_series(weekly_pattern(20)))
    assert list(folder.iterdir()) == []
    assert set(of_the_process.rglob("*")) <= before
    assert (caplog.records, *capfd.readouterr()) == ([], "", "")


def test_the_random_numbers_of_others_are_not_disturbed() -> None:
    series = a_series(weekly_pattern(20))
    forecaster = fitted(series).forecaster
    ahead = dataset.future(series, DAILY)
    np.random.seed(1)
    expected = np.random.random(3)
    np.random.seed(1)
    first = forecaster.predict(series, ahead)
    assert np.array_equal(np.random.random(3), expected)
    assert same(first, forecaster.predict(series, ahead))


def test_without_samples_the_interval_is_that_of_the_noise() -> None:
    series = a_series(weekly_pattern(40))
    forecaster = fitted(series, uncertainty_samples=0).forecaster
    answer = forecaster.predict(series, dataset.future(series, DAILY))
    width = answer.upper - answer.lower
    assert width == pytest.approx(width[0])
    # Noise of 1 and an interval of 80 %: plus and minus 1.28.
    assert width[0] == pytest.approx(2 * 1.28, rel=0.2)


def test_demand_can_be_kept_from_falling_below_zero() -> None:
    falling = a_series(np.linspace(40, 0.5, 120))
    grid = Grid(frequency="D", horizon=30)
    ahead = dataset.future(falling, grid)
    free = fitted(falling, grid=grid).forecaster.predict(falling, ahead)
    kept = fitted(falling, grid=grid, nonnegative=True)
    clipped = prophet.TRAINER.load(kept.forecaster.dump()).predict(falling, ahead)
    assert free.yhat.min() < 0 == clipped.yhat.min()
    assert (clipped.lower >= 0).all()
    assert kept.params["nonnegative"] is True


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_a_constant_target_is_forecast_as_it_is(level: float) -> None:
    series = a_series(np.full(60, level))
    answer = fitted(series).forecaster.predict(series, dataset.future(series, DAILY))
    assert answer.yhat == pytest.approx(np.full(7, level), abs=1e-6)
    assert np.isfinite(answer.lower).all()


def test_a_nearly_dead_real_series_gets_finite_forecasts() -> None:
    series = bakery()["store02_seeded_roll"]
    fit = fitted(series, grid=BAKERY)
    assert np.isfinite(fit.forecaster.predict(series, dataset.future(series, BAKERY)).yhat).all()
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


def test_json_of_the_right_format_with_other_fields_is_refused() -> None:
    with pytest.raises(ForecasterUnreadable):
        prophet.TRAINER.load(json.dumps({"format": prophet.FORMAT, "prophet": {}}).encode())


def test_the_hour_that_autumn_has_twice_gets_each_points_own_answer() -> None:
    grid = Grid(frequency="15min", horizon=12, season_length=96, time_zone="Europe/Berlin")
    instants = np.arange("2025-10-20", "2025-10-26", np.timedelta64(15, "m"), dtype="datetime64[us]")
    hours = (grid.local(instants) - grid.local(instants).astype("datetime64[D]")) / np.timedelta64(1, "h")
    series = Series(
        entity="a", instants=instants, times=grid.local(instants), target=hours**2, features=np.empty((len(hours), 0))
    )
    [fitted] = prophet.TRAINER.fit_many([series], params=[prophet.TRAINER.check_params({})], seeds=[1], grid=grid)
    assert isinstance(fitted, Fitted)
    at = dataset.future(series, grid)
    together = fitted.forecaster.predict(series, at).yhat
    for place in range(len(at)):
        one = slice(place, place + 1)
        alone = Points(instants=at.instants[one], times=at.times[one], features=at.features[one])
        assert fitted.forecaster.predict(series, alone).yhat[0] == pytest.approx(together[place])
