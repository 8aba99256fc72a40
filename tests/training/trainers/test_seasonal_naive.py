"""Seasonal naive repeats the last season by the calendar, and always has an answer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.series import DAILY, a_series, linear_rows, weekly_pattern
from training import windows
from training.trainers import seasonal_naive
from training.trainers.base import Fitted, Grid, Points, Series


def predicted(series: Series, grid: Grid, *, at: Points | None = None, observed: Series | None = None) -> list[float]:
    """The forecast of a fit on a series."""
    (fit,) = seasonal_naive.TRAINER.fit_many([series], params=[{}], seeds=[0], grid=grid)
    assert isinstance(fit, Fitted)
    known = series if observed is None else observed
    return [float(value) for value in fit.forecaster.predict(known, at or windows.future(series, grid)).yhat]


def test_the_last_season_is_repeated() -> None:
    assert predicted(a_series(np.arange(21.0)), DAILY) == [14, 15, 16, 17, 18, 19, 20]


def test_a_horizon_longer_than_a_season_repeats_it_again() -> None:
    grid = Grid(frequency="D", horizon=9, season_length=7)
    assert predicted(a_series(np.arange(21.0)), grid) == [14, 15, 16, 17, 18, 19, 20, 14, 15]


def test_what_is_absent_is_taken_one_season_further_back_else_from_the_last_observation() -> None:
    series = a_series(np.arange(21.0))
    without = series.select(~np.isin(np.arange(21), [14, 15, 8, 1]))
    assert predicted(without, DAILY)[:3] == [7.0, 20.0, 16.0]


def test_later_observations_are_used_without_refitting() -> None:
    series = a_series(np.arange(28.0))
    at = windows.future(series, DAILY)
    assert predicted(series.head(21), DAILY, at=at, observed=series) == [21, 22, 23, 24, 25, 26, 27]


@pytest.mark.parametrize(
    ("frequency", "season", "start"), [("MS", 12, "2023-01-01"), ("ME", 12, "2023-01-31"), ("W-MON", 4, "2023-01-02")]
)
def test_seasons_follow_the_calendar_and_not_a_number_of_days(frequency: str, season: int, start: str) -> None:
    grid = Grid(frequency=frequency, horizon=season, season_length=season)
    series = a_series(np.arange(3.0 * season), grid=grid, start=start)
    assert predicted(series, grid) == [2.0 * season + step for step in range(season)]


def test_the_same_hour_of_yesterday_is_meant_when_the_clock_changes() -> None:
    grid = Grid(frequency="h", horizon=24, season_length=24, time_zone="Europe/Berlin")
    series = a_series(np.zeros(48), grid=grid, start="2026-03-26 23:00")
    by_hour = Series(
        entity=series.entity,
        instants=series.instants,
        times=series.times,
        target=(series.times - series.times.astype("datetime64[D]")) / np.timedelta64(1, "h"),
        features=series.features,
    )
    ahead = windows.future(by_hour, grid)
    # The night of 29 March has no 02:00; every hour after it is forecast by the same hour of the day before.
    assert predicted(by_hour, grid, at=ahead) == [0.0, 1.0, *range(3, 24), 0.0]


def test_the_interval_widens_with_the_seasons_gone_back() -> None:
    grid = Grid(frequency="D", horizon=14, season_length=7)
    series = a_series(weekly_pattern(20))
    (fit,) = seasonal_naive.TRAINER.fit_many([series], params=[{}], seeds=[0], grid=grid)
    assert isinstance(fit, Fitted)
    answer = fit.forecaster.predict(series, windows.future(series, grid))
    width = answer.upper - answer.lower
    assert width[7:] == pytest.approx(width[:7] * 2**0.5)
    assert (answer.lower < answer.yhat).all()


def test_the_interval_holds_about_the_share_of_differences_that_it_names() -> None:
    grid = Grid(frequency="D", horizon=7, season_length=7)
    series = a_series(weekly_pattern(200))
    steps = seasonal_naive.differences(series, grid)
    (fit,) = seasonal_naive.TRAINER.fit_many([series], params=[{"interval_width": 0.5}], seeds=[0], grid=grid)
    assert isinstance(fit, Fitted)
    answer = fit.forecaster.predict(series, windows.future(series, grid))
    inside = ((answer.lower - answer.yhat)[0] <= steps) & (steps <= (answer.upper - answer.yhat)[0])
    assert inside.mean() == pytest.approx(0.5, abs=0.02)


def test_seasonal_differences_skip_what_has_no_partner() -> None:
    series = a_series(np.arange(21.0) ** 2).select(np.arange(21) != 3)
    expected = [i**2 - (i - 7) ** 2 for i in range(7, 21) if i != 10]
    assert seasonal_naive.differences(series, DAILY).tolist() == expected


def test_a_regression_is_the_mean_at_the_same_place_of_the_season() -> None:
    grid = Grid(frequency="h", season_length=24, kind="regression", time_zone="Asia/Kathmandu")
    rows = linear_rows(240, grid=grid)
    at = linear_rows(300, grid=grid).slice(240, None).points()
    by_place = [rows.target[place % 24 :: 24].mean() for place in range(240, 300)]
    assert predicted(rows, grid, at=at) == pytest.approx(by_place)


def test_a_place_that_a_regression_never_saw_gets_the_mean_of_all() -> None:
    grid = Grid(frequency="h", season_length=24, kind="regression")
    daylight = linear_rows(240, grid=grid)
    kept = daylight.select(np.arange(240) % 24 < 12)
    at = daylight.slice(20, 21).points()
    assert predicted(kept, grid, at=at) == pytest.approx([kept.target.mean()])


def test_points_before_the_train_part_have_their_place_too() -> None:
    grid = Grid(frequency="D", season_length=7, kind="regression")
    rows = a_series(weekly_pattern(10, noise=0.0), grid=grid)
    assert predicted(rows.slice(14, None), grid, at=rows.head(7).points()) == pytest.approx(rows.target[:7])
