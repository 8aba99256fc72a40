"""Rows are read by stated rules or refused with column, row and value."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from registry.errors import Invalid
from tests.training import pieces
from tests.training.series import DATA
from training.trainers.base import Grid

DAILY = Grid(frequency="D")
HOURLY = Grid(frequency="h", time_zone="Europe/Berlin")


def normal(rows: dict[str, Any], *, grid: Grid = DAILY, **given: Any) -> pd.DataFrame:
    """The normal form of rows with columns ds and y, and key where there is one."""
    settings = {"time": "ds", "target": "y", "source": "shop", "entity": "key" if "key" in rows else ""} | given
    return pieces.normalise(pd.DataFrame(rows), grid=grid, **settings)


def test_rows_come_sorted_by_entity_and_time_with_features_as_numbers() -> None:
    rows = {
        "key": ["b", "a", "a"],
        "ds": ["2026-01-02", "2026-01-03", "2026-01-01"],
        "y": [1, 2, 3],
        "rain": ["4", 5, None],
    }
    found = normal(rows, features=["rain"])
    assert list(found.columns) == ["entity", "time", "y", "rain"]
    assert found["entity"].tolist() == ["a", "a", "b"]
    assert found["y"].tolist() == [3.0, 2.0, 1.0]
    assert found["time"].dtype == "datetime64[us]"
    assert found["rain"].dtype == "float64"
    assert np.isnan(found["rain"][0])


def test_the_frame_given_is_not_changed() -> None:
    frame = pd.DataFrame({"ds": ["2026-01-02", "2026-01-01"], "y": ["1", "2"]})
    before = frame.copy(deep=True)
    pieces.normalise(frame, time="ds", target="y", source="shop", grid=DAILY)
    pd.testing.assert_frame_equal(frame, before)


def test_a_source_without_entity_column_is_one_entity_named_as_the_source() -> None:
    assert normal({"ds": ["2026-01-01"], "y": [1]})["entity"].tolist() == ["shop"]


@pytest.mark.parametrize(
    "column",
    [
        ["2026-01-01", "2026-01-02"],
        [date(2026, 1, 1), date(2026, 1, 2)],
        pd.to_datetime(["2026-01-01", "2026-01-02"]),
        np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[s]"),
    ],
)
@pytest.mark.requirement("E05")
def test_dates_of_any_column_type_stay_dates(column: Any) -> None:
    found = normal({"ds": column, "y": [1, 2]}, declared_zone="Asia/Kathmandu")
    assert found["time"].astype(str).tolist() == ["2026-01-01", "2026-01-02"]


@pytest.mark.requirement("E05")
@pytest.mark.parametrize(
    ("zone", "stamp", "instant"),
    [
        ("Europe/Berlin", "2026-01-05 18:30", "2026-01-05 17:30:00"),
        ("Asia/Kathmandu", "2026-01-05 18:30", "2026-01-05 12:45:00"),
        ("America/New_York", "2026-07-05 18:30", "2026-07-05 22:30:00"),
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:00:00"),
        ("Europe/Berlin", "2025-10-26 02:30", "2025-10-26 00:30:00"),
        ("Europe/Berlin", "2026-01-05T18:30:00+05:45", "2026-01-05 12:45:00"),
        ("", "2026-01-05T18:30:00Z", "2026-01-05 18:30:00"),
        ("", "2026-01-05 18:30-0800", "2026-01-06 02:30:00"),
    ],
)
def test_a_stamp_becomes_the_instant_that_its_zone_or_offset_says(zone: str, stamp: str, instant: str) -> None:
    found = normal({"ds": [stamp], "y": [1]}, grid=HOURLY, declared_zone=zone)
    assert found["time"].iloc[0] == pd.Timestamp(instant)


@pytest.mark.requirement("E05")
def test_stamps_with_and_without_offset_may_stand_in_one_column() -> None:
    rows = {"ds": ["2026-01-05 18:00", "2026-01-05T18:00:00Z"], "y": [1, 2]}
    found = normal(rows, grid=HOURLY, declared_zone="Europe/Berlin")
    assert found["time"].astype(str).tolist() == ["2026-01-05 17:00:00", "2026-01-05 18:00:00"]


@pytest.mark.requirement("E05")
def test_an_hour_that_the_clock_repeats_is_two_hours_for_each_entity() -> None:
    stamps = ["2025-10-26 01:00", "2025-10-26 02:00", "2025-10-26 02:00", "2025-10-26 03:00"]
    rows = {"key": ["a"] * 4 + ["b"] * 4, "ds": stamps * 2, "y": range(8)}
    found = normal(rows, grid=HOURLY, declared_zone="Europe/Berlin")
    expected = ["2025-10-25 23:00:00", "2025-10-26 00:00:00", "2025-10-26 01:00:00", "2025-10-26 02:00:00"]
    assert found["time"].astype(str).tolist() == expected * 2
    assert found["y"].tolist() == list(range(8))


@pytest.mark.requirement("E05")
def test_real_traffic_counts_keep_the_repeated_hour_and_show_a_true_duplicate() -> None:
    frame = pd.read_csv(DATA / "traffic_dirty_two_weeks.csv")
    grid = Grid(frequency="h", time_zone="America/Chicago")
    found = pieces.normalise(
        frame, time="ds", target="traffic_volume", source="I-94", declared_zone="America/Chicago", grid=grid
    )
    first_hours = found["time"][found["time"].between("2016-11-06 05:00", "2016-11-06 08:00")]
    assert first_hours.dt.hour.tolist() == [5, 6, 7, 8]
    assert pd.Timestamp("2016-11-05 12:00") in set(found["time"][found["time"].duplicated()])


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("column_missing", {"day": ["2026-01-01"], "y": [1]}, {}, "no column ds; it has day, y"),
    ("column_missing", {"ds": ["2026-01-01"], "y": [1]}, {"features": ["rain"]}, "no column rain"),
    ("column_reserved", {"ds": ["2026-01-01"], "v": [1], "y": [1]}, {"target": "v", "features": ["y"]}, "Feature y"),
    ("empty", {"ds": [], "y": []}, {}, "shop has no rows"),
    ("not_numeric", {"ds": ["2026-01-01", "2026-01-02"], "y": [1, "ten"]}, {}, "'ten' in row 2"),
    ("not_a_time", {"ds": ["2026-01-01", "soon"], "y": [1, 2]}, {}, "'soon' in row 2"),
    ("not_a_time", {"ds": ["2026-01-01", None], "y": [1, 2]}, {}, "row 2"),
    ("not_a_time", {"ds": [20260101], "y": [1]}, {}, "20260101"),
    ("not_a_time", {"ds": ["01/02/2026"], "y": [1]}, {}, "01/02/2026"),
    ("not_a_date", {"ds": ["2026-01-01 08:00"], "y": [1]}, {}, "08:00"),
    ("not_a_date", {"ds": ["2026-01-01T00:00:00Z"], "y": [1]}, {}, "frequency D has dates"),
    ("zone_missing", {"ds": ["2026-01-01 08:00"], "y": [1]}, {"grid": HOURLY}, "declares no time zone"),
    ("zone_missing", {"ds": ["2026-01-01 08:00"], "y": [1]}, {"grid": HOURLY, "declared_zone": "Mars/Base"}, "unknown"),
    ("entity_invalid", {"key": ["a b"], "ds": ["2026-01-01"], "y": [1]}, {}, "'a b' in row 1"),
    ("entity_invalid", {"key": ["a", None], "ds": ["2026-01-01"] * 2, "y": [1, 2]}, {}, "'' in row 2"),
    ("entity_invalid", {"key": ["../x"], "ds": ["2026-01-01"], "y": [1]}, {}, "../x"),
    (
        "gaps_invalid",
        {"ds": ["2026-01-01"], "y": [1]},
        {"grid": Grid(frequency="D", kind="regression"), "gaps": "zero"},
        "for a regression",
    ),
]


@pytest.mark.requirement("D02")
@pytest.mark.requirement("D04")
@pytest.mark.parametrize(("code", "rows", "given", "told"), REFUSED)
def test_rows_that_cannot_be_used_are_refused_by_name(
    code: str, rows: dict[str, Any], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(Invalid) as caught:
        normal(rows, **given)
    assert caught.value.code == code
    assert told in caught.value.sentence
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("rule", "target", "feature"),
    [("first", 1.0, 10.0), ("last", 5.0, 30.0), ("mean", 3.0, 20.0), ("sum", 6.0, 20.0)],
)
def test_rows_of_one_stamp_are_merged_by_the_rule_of_the_source(rule: str, target: float, feature: float) -> None:
    rows = {"ds": ["2026-01-01"] * 2, "y": [1, 5], "rain": [10, 30]}
    found = normal(rows, features=["rain"], duplicates=rule)
    assert found[["y", "rain"]].to_numpy().tolist() == [[target, feature]]


def test_rows_of_one_stamp_stay_where_the_rule_is_to_refuse() -> None:
    assert len(normal({"ds": ["2026-01-01"] * 2, "y": [1, 5]})) == 2


def test_a_sum_of_missing_values_is_missing() -> None:
    found = normal({"ds": ["2026-01-01"] * 2, "y": [None, None]}, duplicates="sum")
    assert found["y"].isna().all()


@pytest.mark.parametrize(("rule", "filled"), [("zero", [2.0, 0.0, 0.0, 8.0]), ("interpolate", [2.0, 4.0, 6.0, 8.0])])
def test_absent_stamps_are_filled_by_the_rule_of_the_source(rule: str, filled: list[float]) -> None:
    rows = {"key": ["a", "a", "b"], "ds": ["2026-01-01", "2026-01-04", "2026-01-09"], "y": [2, 8, 1]}
    found = normal(rows, gaps=rule)
    assert found["y"].tolist() == [*filled, 1.0]
    assert found["entity"].tolist() == ["a"] * 4 + ["b"]


def test_one_stamp_in_another_century_is_not_filled_up_to() -> None:
    found = normal({"ds": ["1226-01-01", "2026-01-01"], "y": [1, 2]}, gaps="zero")
    assert len(found) == 2
