"""Validation comes before any fit, and its refusals name the entity, the value and the limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from tests.training.series import ANYTHING, DAILY, NOW, SOLAR, a_series, bakery, linear_rows, solar, weekly_pattern
from training import dataset, windows
from training.policy_terms import Expectations
from training.trainers.base import Grid, Series

HOURLY = Grid(frequency="h", horizon=24, season_length=24)


def judged(
    series: Series, *, grid: Grid = DAILY, expectations: Expectations | None = None, now: datetime = NOW
) -> dataset.Validation:
    """The validation with the limits of a forecast."""
    terms = expectations or Expectations()
    return dataset.validate(series, expectations=terms, grid=grid, minimum=30, recommended=90, now=now)


def code(found: dataset.Validation) -> str:
    """The code of the refusal, empty where there is none."""
    return found.refused.code if found.refused else ""


def test_a_long_clean_series_is_accepted_without_warnings() -> None:
    found = judged(a_series(weekly_pattern(20)))
    assert (found.refused, found.warnings, found.completeness, found.dropped) == (None, (), 1.0, 0)


@pytest.mark.requirement("D01")
@pytest.mark.requirement("D03")
@pytest.mark.parametrize(("count", "expected"), [(29, "too_few_points"), (30, "")])
def test_a_forecast_needs_thirty_points(count: int, expected: str) -> None:
    found = judged(a_series(np.arange(float(count))))
    assert code(found) == expected
    if expected and found.refused:
        assert "29 usable observations, at least 30" in found.refused.sentence


@pytest.mark.requirement("D01")
def test_fewer_than_the_recommended_points_warn_and_go_on() -> None:
    found = judged(a_series(weekly_pattern(12)))
    assert found.refused is None
    assert found.warnings == ("84 usable observations, 90 are recommended.",)


@pytest.mark.requirement("D01")
def test_a_policy_may_ask_for_more_points_than_the_installation() -> None:
    found = judged(a_series(weekly_pattern(12)), expectations=Expectations(minimum=100, recommended=200))
    assert code(found) == "too_few_points"


def test_points_without_a_finite_target_do_not_count_towards_the_minimum() -> None:
    values = np.arange(33.0)
    values[[3, 9, 20, 21]] = [np.nan, np.inf, -np.inf, np.nan]
    assert code(judged(a_series(values))) == "too_few_points"


@pytest.mark.requirement("D03")
def test_every_refusal_of_the_stamps_comes_with_its_first_case() -> None:
    good = a_series(weekly_pattern(10))
    again = replace(good, instants=np.sort(np.r_[good.instants[:-1], good.instants[3]]))
    found = judged(again)
    assert code(found) == "duplicate_stamps"
    assert found.refused
    assert "2025-01-09" in found.refused.sentence


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2025, 3, 16, 0, 0, tzinfo=UTC), ""),
        (datetime(2025, 3, 15, 0, 0, tzinfo=UTC), ""),
        (datetime(2025, 3, 14, 23, 0, tzinfo=UTC), "future_stamps"),
    ],
)
def test_a_stamp_in_the_future_is_refused_but_a_date_may_have_begun_elsewhere(now: datetime, expected: str) -> None:
    assert code(judged(a_series(weekly_pattern(10)), now=now)) == expected


def test_stamps_off_the_calendar_are_refused_and_the_calendar_is_named() -> None:
    mondays = a_series(np.arange(60.0), grid=Grid(frequency="W-MON"))
    found = judged(mondays, grid=Grid(frequency="W"))
    assert code(found) == "off_grid"
    assert found.refused
    assert "calendar W" in found.refused.sentence


def test_hourly_stamps_that_slip_are_refused_for_a_forecast_and_taken_for_a_regression() -> None:
    rows = linear_rows(150)
    late = np.where(np.arange(150) < 40, np.timedelta64(0, "m"), np.timedelta64(7, "m"))
    slipped = replace(rows, instants=rows.instants + late)
    regression = replace(HOURLY, kind="regression")
    assert code(judged(slipped, grid=HOURLY)) == "off_grid"
    assert code(judged(slipped, grid=regression)) == ""


@pytest.mark.requirement("E04")
def test_a_target_without_any_finite_value_is_refused() -> None:
    found = judged(a_series(np.full(60, np.nan)))
    assert code(found) == "no_finite_target"


def test_a_share_of_missing_targets_above_the_limit_is_refused() -> None:
    values = weekly_pattern(20)
    values[:29] = np.nan
    assert code(judged(a_series(values))) == "too_many_missing"
    values[:2] = 1.0
    accepted = judged(a_series(values))
    assert (code(accepted), accepted.dropped) == ("", 27)
    assert "27 rows without a finite value were left out." in accepted.warnings


def test_a_regression_leaves_out_rows_without_finite_features_and_names_the_worst_column() -> None:
    rows = linear_rows(200)
    rows.features[:30, 1] = np.nan
    found = judged(rows, grid=SOLAR)
    assert (code(found), found.dropped, len(found.series)) == ("", 30, 170)
    rows.features[:60, 1] = np.nan
    refused = judged(rows, grid=SOLAR).refused
    assert refused
    assert refused.code == "too_many_missing"
    assert "mostly f1" in refused.sentence


def test_gaps_above_the_limit_are_refused_for_a_forecast_only() -> None:
    sparse = a_series(np.arange(300.0) + 1).select(np.arange(300) % 3 == 0)
    found = judged(sparse)
    assert code(found) == "too_many_gaps"
    assert found.completeness == pytest.approx(100 / 298)
    assert code(judged(sparse, expectations=ANYTHING)) == ""


def test_a_constant_target_warns_or_is_refused_as_the_policy_says() -> None:
    flat = a_series(np.full(100, 3.0))
    assert judged(flat).warnings == ("The target is always 3.",)
    assert code(judged(flat, expectations=Expectations(allow_constant=False))) == "constant_target"


@pytest.mark.requirement("D04")
def test_no_rows_at_all_are_refused_by_the_name_of_the_entity() -> None:
    found = judged(a_series([], entity="store-9"))
    assert found.refused
    assert (found.refused.code, "store-9" in found.refused.sentence) == ("empty", True)


def test_features_of_a_forecast_are_said_to_be_unused() -> None:
    found = judged(a_series(weekly_pattern(20), features=np.ones((140, 1))))
    assert found.warnings == ("Forecasts do not use features yet: f0.",)


@pytest.mark.requirement("E08")
def test_real_series_are_read_and_judged() -> None:
    found = {key: judged(series, expectations=ANYTHING) for key, series in bakery().items()}
    assert {key: (len(each.series), each.completeness) for key, each in found.items()} == {
        "store00_roll": (426, 1.0),
        "store01_seeded_roll": (426, 1.0),
        "store02_seeded_roll": (426, 1.0),
    }
    sites = {key: judged(series, grid=SOLAR) for key, series in solar().items()}
    assert all(each.refused is None and each.completeness == 1.0 for each in sites.values())


def test_the_look_back_of_a_series_counts_from_the_newest_stamp_of_all() -> None:
    series = a_series(np.arange(15.0), start="2026-01-01")
    newest = datetime(2026, 1, 16, tzinfo=UTC)
    kept = dataset.look_back(series, 7, newest=newest)
    assert [int(str(day)[8:10]) for day in kept.instants] == [10, 11, 12, 13, 14, 15]
    assert kept.target.base is not None, "a view"
    assert len(dataset.look_back(series, 1, newest=newest)) == 0
    assert len(dataset.look_back(series, 100, newest=newest)) == 15


def test_a_panel_gives_trainers_local_wall_time_and_keeps_the_instants() -> None:
    stamps = np.array(["2026-01-05T18:00", "2026-07-05T18:00", "2026-07-05T19:00"], dtype="datetime64[us]")
    panel = dataset.Panel(
        entities=("a", "b", "c"),
        starts=np.array([0, 2, 2, 3]),
        instants=stamps,
        target=np.array([1.0, 2.0, 3.0]),
        features=np.array([[0.5], [0.6], [0.7]]),
        feature_names=("rain",),
    )
    every = dataset.series_of(panel, Grid(frequency="h", time_zone="Europe/Berlin"))
    assert list(every) == ["a", "c"], "of b nothing is left"
    series = every["a"]
    assert [str(time) for time in series.times] == ["2026-01-05T19:00:00.000000", "2026-07-05T20:00:00.000000"]
    assert np.array_equal(series.instants, stamps[:2])
    assert (series.feature_names, series.features.tolist()) == (("rain",), [[0.5], [0.6]])
    assert np.shares_memory(every["c"].target, panel.target)


def test_what_came_after_a_fit_is_one_window_of_at_least_a_horizon() -> None:
    series = a_series(weekly_pattern(10))
    window = windows.since(series, DAILY, series.instants[-8])
    assert window is not None
    assert (len(window.observed), len(window.at), window.expected) == (63, 7, 7)
    assert windows.since(series, DAILY, series.instants[-7]) is None
    assert windows.since(series, DAILY, series.instants[0] - np.timedelta64(1, "D")) is None
