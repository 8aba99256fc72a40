"""The split is chronological: what a window is scored on was never seen, whatever the calendar and its gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.series import DAILY, a_series, bakery, linear_rows
from training import windows
from training.trainers.base import Grid, Refused, Series
from training.windows import Split

FREQUENCIES = ["D", "h", "15min", "W-MON", "MS", "ME", "B"]


@pytest.mark.parametrize(
    ("count", "train", "behind"), [(20, 0, 0), (21, 14, 1), (27, 20, 1), (28, 14, 2), (35, 14, 3), (90, 69, 3)]
)
def test_a_forecast_takes_as_many_windows_as_leave_two_seasons_and_two_horizons(
    count: int, train: int, behind: int
) -> None:
    found = windows.split(a_series(np.arange(float(count))), DAILY)
    if not behind:
        assert isinstance(found, Refused)
        assert found.code == "series_too_short"
        assert "21" in found.sentence
        return
    assert isinstance(found, Split)
    assert (len(found.train), len(found.windows)) == (train, behind)
    assert [len(window.at) for window in found.windows] == [7] * behind


def test_a_forecast_sees_no_features_because_their_future_is_not_known() -> None:
    found = windows.split(a_series(np.arange(70.0), features=np.ones((70, 2))), DAILY)
    assert isinstance(found, Split)
    parts = [found.train.points(), *(window.observed.points() for window in found.windows)]
    parts += [window.at for window in found.windows]
    assert {(part.features.shape[1], part.feature_names) for part in parts} == {(0, ())}


@pytest.mark.parametrize("season", [7, 28])
def test_the_longer_of_seasons_and_horizons_is_left_to_train_on(season: int) -> None:
    grid = Grid(frequency="D", horizon=7, season_length=season)
    found = windows.split(a_series(np.arange(70.0)), grid)
    assert isinstance(found, Split)
    assert len(found.windows) == {7: 3, 28: 2}[season]


def test_absent_stamps_are_not_scored_and_lower_what_was_expected() -> None:
    whole = a_series(np.arange(60.0))
    holes = np.ones(60, bool)
    holes[[40, 41, 55]] = False
    found = windows.split(whole.select(holes), DAILY)
    assert isinstance(found, Split)
    assert [(len(window.at), window.expected) for window in found.windows] == [(5, 7), (7, 7), (6, 7)]


def test_a_window_without_any_observation_is_left_out() -> None:
    whole = a_series(np.arange(60.0))
    found = windows.split(whole.select((np.arange(60) < 46) | (np.arange(60) > 52)), DAILY)
    assert isinstance(found, Split)
    assert [len(window.at) for window in found.windows] == [7, 7]


@pytest.mark.requirement("T02")
@pytest.mark.parametrize(("count", "train"), [(100, 80), (101, 81), (5, 4), (721, 577)])
def test_a_regression_is_scored_on_the_last_fifth_of_its_rows(count: int, train: int) -> None:
    rows = linear_rows(count)
    found = windows.split(rows, Grid(frequency="h", kind="regression"))
    assert isinstance(found, Split)
    (window,) = found.windows
    assert (len(found.train), len(window.at)) == (train, count - train)
    assert window.at.features.shape == (count - train, 2)
    assert isinstance(windows.split(rows.head(4), Grid(frequency="h", kind="regression")), Refused)


@pytest.mark.requirement("T02")
@settings(max_examples=150, deadline=None)
@given(
    frequency=st.sampled_from(FREQUENCIES),
    count=st.integers(0, 160),
    horizon=st.integers(1, 20),
    season=st.integers(1, 30),
    absent=st.lists(st.integers(0, 159), max_size=60),
)
def test_no_window_overlaps_the_train_part_or_leaks_what_comes_later(
    frequency: str, count: int, horizon: int, season: int, absent: list[int]
) -> None:
    grid = Grid(frequency=frequency, horizon=horizon, season_length=season, time_zone="America/New_York")
    whole = a_series(np.arange(float(count)), grid=grid, start="2025-02-20")
    series = whole.select(~np.isin(np.arange(count), absent))
    found = windows.split(series, grid)
    if isinstance(found, Refused):
        assert len(series.head(len(series) - horizon)) < max(2 * season, 2 * horizon) or len(series) < horizon + 1
        return
    _holds(found, series, grid)


def _holds(found: Split, series: Series, grid: Grid) -> None:
    assert len(found.train) >= max(2 * grid.season_length, 2 * grid.horizon)
    assert 1 <= len(found.windows) <= 3
    end = found.train.instants[-1]
    for window in found.windows:
        assert window.at.instants[0] > window.cutoff >= end
        assert window.observed.instants[-1] <= window.cutoff
        assert 1 <= len(window.at) <= grid.horizon == window.expected
        end = window.at.instants[-1]
    assert end == series.instants[-1]
    scored = np.concatenate([window.actual for window in found.windows])
    assert np.array_equal(np.concatenate([found.train.target, scored]), series.target)


def test_real_demand_is_cut_into_three_windows_of_two_weeks() -> None:
    found = windows.split(bakery()["store00_roll"], Grid(frequency="D", horizon=14, season_length=7))
    assert isinstance(found, Split)
    assert [str(window.cutoff.astype("datetime64[D]")) for window in found.windows] == [
        "2019-03-19",
        "2019-04-02",
        "2019-04-16",
    ]
