"""The calendar follows pandas and the zone: hours are instants, dates are dates, and wall time is what trainers see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import Invalid
from tests.training.series import a_series
from training import windows
from training.trainers.base import Grid


def texts(stamps: np.ndarray) -> list[str]:
    """Stamps to the minute."""
    return [str(stamp) for stamp in stamps.astype("datetime64[m]")]


@pytest.mark.requirement("E05")
def test_the_hour_that_berlin_skips_is_skipped_in_wall_time_alone() -> None:
    grid = Grid(frequency="h", horizon=3, time_zone="Europe/Berlin")
    ahead = windows.future(a_series([1.0, 2.0], grid=grid, start="2026-03-28 23:00"), grid)
    assert texts(ahead.instants) == ["2026-03-29T01:00", "2026-03-29T02:00", "2026-03-29T03:00"]
    assert texts(ahead.times) == ["2026-03-29T03:00", "2026-03-29T04:00", "2026-03-29T05:00"]


@pytest.mark.requirement("E05")
def test_the_hour_that_new_york_repeats_is_two_instants_of_one_wall_time() -> None:
    grid = Grid(frequency="h", horizon=3, time_zone="America/New_York")
    ahead = windows.future(a_series([1.0], grid=grid, start="2026-11-01 04:00"), grid)
    assert texts(ahead.instants) == ["2026-11-01T05:00", "2026-11-01T06:00", "2026-11-01T07:00"]
    assert texts(ahead.times) == ["2026-11-01T01:00", "2026-11-01T01:00", "2026-11-01T02:00"]


@pytest.mark.requirement("E05")
def test_kathmandu_is_three_quarters_of_an_hour_off() -> None:
    grid = Grid(frequency="h", horizon=1, time_zone="Asia/Kathmandu")
    ahead = windows.future(a_series([1.0], grid=grid, start="2026-01-01 18:15"), grid)
    assert texts(ahead.times) == ["2026-01-02T01:00"]


@pytest.mark.parametrize(
    ("frequency", "start", "expected"),
    [
        ("D", "2024-02-28", ["2024-02-29", "2024-03-01"]),
        ("ME", "2025-12-31", ["2026-01-31", "2026-02-28"]),
        ("MS", "2025-12-01", ["2026-01-01", "2026-02-01"]),
        ("W-MON", "2026-01-05", ["2026-01-12", "2026-01-19"]),
        ("B", "2026-01-02", ["2026-01-05", "2026-01-06"]),
        ("QE", "2025-12-31", ["2026-03-31", "2026-06-30"]),
    ],
)
def test_dates_ahead_follow_the_frequency_and_no_zone(frequency: str, start: str, expected: list[str]) -> None:
    grid = Grid(frequency=frequency, horizon=2, time_zone="America/New_York")
    ahead = windows.future(a_series([1.0], grid=grid, start=start), grid)
    assert [str(stamp.astype("datetime64[D]")) for stamp in ahead.instants] == expected
    assert np.array_equal(ahead.times, ahead.instants)
    assert ahead.features.shape == (2, 0)


@settings(max_examples=80, deadline=None)
@given(
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]),
    hours=st.integers(0, 24 * 366),
    frequency=st.sampled_from(["h", "15min", "5min", "3h"]),
)
def test_future_stamps_are_one_step_apart_as_instants_and_never_run_backwards_by_more_than_the_clock(
    zone: str, hours: int, frequency: str
) -> None:
    grid = Grid(frequency=frequency, horizon=30, time_zone=zone)
    start = str(np.datetime64("2026-01-01T00:00") + np.timedelta64(hours, "h"))
    series = a_series([1.0, 2.0, 3.0], grid=grid, start=start)
    ahead = windows.future(series, grid)
    assert len(ahead) == 30
    assert (np.diff(np.r_[series.instants[-1:], ahead.instants]) == grid.width).all()
    jumps = np.diff(ahead.times) - grid.width
    assert (np.abs(jumps) <= np.timedelta64(1, "h")).all()
    assert np.count_nonzero(jumps) <= 1


@pytest.mark.parametrize(("frequency", "dated"), [("D", True), ("24h", True), ("W-SUN", True), ("12h", False)])
def test_a_day_or_more_is_dated(frequency: str, dated: bool) -> None:
    assert Grid(frequency=frequency).dated is dated


@pytest.mark.parametrize("frequency", ["D", "h", "15min", "W-MON", "MS", "B"])
def test_steps_are_counted_from_the_anchor_in_both_directions(frequency: str) -> None:
    grid = Grid(frequency=frequency)
    stamps = a_series(np.arange(9.0), grid=grid).instants
    assert grid.steps(stamps[4], stamps).tolist() == list(range(-4, 5))
    assert grid.count(stamps[0], stamps[-1]) == 9
    assert grid.aligned(stamps).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"frequency": "fortnight"},
        {"frequency": "bh"},
        {"frequency": "-1D"},
        {"frequency": "D", "horizon": 0},
        {"frequency": "D", "season_length": 0},
        {"frequency": "D", "kind": "guess"},
        {"frequency": "h", "time_zone": "Mars/Base"},
    ],
)
def test_a_calendar_that_cannot_be_used_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid) as caught:
        Grid(**wrong)  # type: ignore[arg-type]
    assert caught.value.code == "grid_invalid"
