"""Every recipe is scored on the same points, and what leaves this module is plain and finite."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import pytest

from registry.bundle import Columns, columns, tables
from registry.bundle.tables import Cell
from registry.reports import Scorecard
from tests.training.series import BAKERY, DAILY, SOLAR, a_series, bakery, linear_rows, weekly_pattern
from training import comparing, evaluation, windows
from training.comparing import Beside
from training.evaluation import Scored
from training.trainers import table
from training.trainers.base import Fitted, ForecasterFailed, Grid, Points, Prediction, Refused, Series, point_only
from training.windows import Split


@dataclass(frozen=True)
class Constant:
    """Forecasts one value everywhere, and NaN on some of the points."""

    value: float
    holes: tuple[int, ...] = ()
    answers: int = 0

    def predict(self, observed: Series, at: Points) -> Prediction:
        yhat = np.full(len(at) + self.answers, self.value)
        yhat[list(self.holes)] = np.nan
        return point_only(yhat)

    def dump(self) -> bytes:
        return b""


@dataclass(frozen=True)
class LastSeen:
    """Forecasts the last observation that it is shown."""

    def predict(self, observed: Series, at: Points) -> Prediction:
        return point_only(np.full(len(at), observed.target[-1]))

    def dump(self) -> bytes:
        return b""


def a_split(values: np.ndarray | None = None) -> Split:
    """Three windows of a week."""
    found = windows.split(a_series(np.arange(70.0) if values is None else values), DAILY)
    assert isinstance(found, Split)
    return found


def scored(value: float, *, holes: tuple[int, ...] = (), parts: Split | None = None) -> Scored:
    """A constant forecast on the windows of 0, 1, 2, ..., 69: actuals 49 to 69."""
    return evaluation.predict_windows(Constant(value, holes), (parts or a_split()).windows)


def naive(parts: Split, grid: Grid) -> Scored:
    """Seasonal naive on the windows."""
    (fit,) = table.find("seasonal_naive").fit_many([parts.train], params=[{}], seeds=[0], grid=grid)
    assert isinstance(fit, Fitted)
    return evaluation.predict_windows(fit.forecaster, parts.windows)


def card_of(found: Scored, parts: Split, *, floor: Scored | None = None, grid: Grid = DAILY) -> Scorecard:
    """The scorecard of one forecast."""
    wanted = evaluation.ToScore(scored=found, naive=floor, train=parts.train)
    return evaluation.scorecards([wanted], grid=grid)[0]


def rows_of(found: Columns) -> tuple[tuple[Cell, ...], ...]:
    """The rows that come back out of a bundle."""
    written = columns.write(found)
    return tables.load(written.data, kinds=written.kinds).rows


def test_each_window_is_forecast_from_its_own_cutoff_without_refitting() -> None:
    found = evaluation.predict_windows(LastSeen(), a_split().windows)
    assert found.yhat.tolist() == [48.0] * 7 + [55.0] * 7 + [62.0] * 7
    assert found.actual.tolist() == list(range(49, 70))
    assert found.course.number.tolist() == [1] * 7 + [2] * 7 + [3] * 7


def test_a_forecaster_that_answers_with_another_number_of_points_is_an_error() -> None:
    with pytest.raises(ForecasterFailed, match="8 values were predicted for 7 points"):
        evaluation.predict_windows(Constant(1.0, answers=1), a_split().windows)


@pytest.mark.requirement("R24")
def test_predictions_are_stored_in_full_and_without_nan() -> None:
    parts = windows.split(linear_rows(1000), SOLAR)
    assert isinstance(parts, Split)
    found = evaluation.columns(scored(1.0, holes=(0,), parts=parts), grid=SOLAR)
    assert found.names == ("window", "cutoff", "time", "actual", "yhat", "lower", "upper")
    assert {len(cells) for cells in found.cells} == {200}
    stored = rows_of(found)
    assert stored[0][4] is None
    assert stored[1][:3] == (1, "2025-02-08T07:00:00Z", "2025-02-08T09:00:00Z")
    json.dumps(stored, allow_nan=False)


def test_predictions_of_a_daily_fleet_carry_dates() -> None:
    assert rows_of(evaluation.columns(scored(1.0), grid=DAILY))[0][1:3] == ("2025-02-23", "2025-02-24")


@pytest.mark.requirement("E08")
def test_a_scorecard_counts_points_and_completeness_and_has_the_floor_beside_it() -> None:
    whole = a_series(np.arange(70.0))
    parts = windows.split(whole.select(~np.isin(np.arange(70), [50, 60])), DAILY)
    assert isinstance(parts, Split)
    card = card_of(scored(59.0, holes=(2,), parts=parts), parts, floor=naive(parts, DAILY))
    assert (card.points, card.windows, card.test_start, card.test_end) == (16, 3, "2025-02-24", "2025-03-16")
    assert card.completeness == pytest.approx(19 / 21)
    # Days 57 and 67 have no value a week earlier, so naive goes back two weeks and errs by 14 instead of 7.
    floor = (14 * 7 + 2 * 14) / 16
    assert card.baseline["mae"] == pytest.approx(floor)
    assert card.metrics["relative_mae"] == pytest.approx((card.metrics["mae"] or 0) / floor)
    json.dumps(asdict(card), allow_nan=False)


@pytest.mark.requirement("E04")
def test_a_forecaster_that_gives_no_value_has_a_scorecard_of_nulls() -> None:
    card = card_of(scored(float("nan")), a_split())
    assert card.points == 0
    assert set(card.metrics.values()) == {None}


def test_validation_windows_lie_inside_the_train_part() -> None:
    parts = a_split()
    inner = evaluation.validation_split(parts.train, DAILY)
    assert isinstance(inner, Split)
    assert len(inner.windows) == 2
    assert inner.windows[-1].at.instants[-1] == parts.train.instants[-1]
    assert isinstance(evaluation.validation_split(parts.train.head(20), DAILY), Refused)


@pytest.mark.parametrize(
    ("validations", "chosen"),
    [
        ({"a": scored(50.0), "b": scored(59.0)}, "b"),
        ({"a": scored(59.0), "b": scored(59.0)}, "a"),
        ({"a": None, "b": scored(0.0)}, "b"),
        ({"a": None, "b": None}, "a"),
        ({"a": scored(59.0, holes=(1,)), "b": scored(0.0)}, "b"),
    ],
)
def test_the_choice_is_the_smallest_validation_error_and_the_first_of_equals(
    validations: dict[str, Scored | None], chosen: str
) -> None:
    errors = evaluation.mean_errors(list(validations.values()))
    assert evaluation.choose(dict(zip(validations, errors, strict=True))) == chosen


def test_stability_is_the_change_over_the_champions_forecast_in_percent() -> None:
    def stability(champion: float, candidate: float) -> float | None:
        beside = Beside(candidate=scored(candidate), naive=scored(58.0), champion=scored(champion))
        return comparing.compare(beside).stability_percent

    assert stability(50.0, 60.0) == pytest.approx(20.0)
    assert stability(0.0, 0.0) == 0.0
    assert stability(0.0, 1.0) is None


def test_a_comparison_is_made_on_the_points_that_both_forecast() -> None:
    found = comparing.compare(
        Beside(candidate=scored(60.0), naive=scored(58.0), incumbent=scored(49.0, holes=(0, 1)), how="stored")
    )
    # Each window has a hole in its first two days: 49, 50, 56, 57, 63, 64 are not compared with the incumbent.
    left = [value for value in range(49, 70) if value not in (49, 50, 56, 57, 63, 64)]
    assert found.incumbent_mae == pytest.approx(np.mean([abs(value - 49) for value in left]))
    assert found.mae_beside_incumbent == pytest.approx(np.mean([abs(value - 60) for value in left]))
    assert (found.points, found.unscored, found.incumbent) == (21, 0, "stored")
    assert found.mae == pytest.approx(np.mean([abs(value - 60) for value in range(49, 70)]))
    assert found.bias == pytest.approx(1.0)
    assert found.mean_absolute_actual == pytest.approx(59.0)


def test_the_anchor_is_compared_on_the_points_that_it_forecast() -> None:
    found = comparing.compare(
        Beside(candidate=scored(59.0), naive=scored(58.0), anchor=scored(49.0, holes=(0, 1, 2, 3, 4, 5)))
    )
    assert found.anchor_mae == pytest.approx(np.mean([6, 13, 20]))
    assert found.mae_beside_anchor == pytest.approx(np.mean([4, 3, 10]))


def test_points_without_a_forecast_of_the_candidate_are_counted() -> None:
    found = comparing.compare(Beside(candidate=scored(60.0, holes=(3,)), naive=scored(58.0)))
    assert (found.points, found.unscored) == (18, 3)
    assert (found.incumbent_mae, found.mae_beside_incumbent, found.stability_percent) == (None, None, None)


def test_the_champions_realised_error_is_compared_on_the_same_stamps() -> None:
    series = a_series(np.arange(70.0))
    window = windows.since(series, DAILY, series.instants[59])
    assert window is not None
    realised = evaluation.predict_windows(Constant(64.0), [window])
    found = comparing.compare(Beside(candidate=scored(60.0), naive=scored(58.0), how="same_recipe", realised=realised))
    assert found.realised_points == 10
    assert found.realised_champion_mae == pytest.approx(np.mean([abs(value - 64) for value in range(60, 70)]))
    assert found.realised_mae == pytest.approx(np.mean([abs(value - 60) for value in range(60, 70)]))


def test_seasonal_naive_against_itself_is_exactly_the_floor_on_real_demand() -> None:
    parts = windows.split(bakery()["store00_roll"], BAKERY)
    assert isinstance(parts, Split)
    floor = naive(parts, BAKERY)
    card = card_of(floor, parts, floor=floor, grid=BAKERY)
    assert card.metrics["relative_mae"] == 1.0
    assert card.metrics["coverage"] is not None
    assert 0.5 < card.metrics["coverage"] <= 1.0


def test_a_perfect_season_gives_a_floor_of_zero_and_no_relative_error() -> None:
    parts = a_split(weekly_pattern(10, noise=0.0))
    card = card_of(scored(14.0, parts=parts), parts, floor=naive(parts, DAILY))
    assert card.metrics["relative_mae"] is None
    assert card.metrics["mase"] is None
    assert "no error" in card.reasons["mase"]


def test_reckoned_together_each_comparison_and_scorecard_is_what_it_is_alone() -> None:
    parts = [a_split(np.random.default_rng(seed).normal(10, 3, 70 + seed % 2)) for seed in range(6)]
    floors = [naive(each, DAILY) for each in parts]
    found = [scored(9.0 + place, holes=(place,), parts=each) for place, each in enumerate(parts)]
    beside = [
        Beside(candidate=one, naive=floor, incumbent=floor if place % 2 else None, champion=floor, how="twin")
        for place, (one, floor) in enumerate(zip(found, floors, strict=True))
    ]
    assert comparing.compare_all(beside) == [comparing.compare(each) for each in beside]
    wanted = [
        evaluation.ToScore(scored=one, naive=floor if place % 3 else None, train=each.train)
        for place, (one, floor, each) in enumerate(zip(found, floors, parts, strict=True))
    ]
    alone = [evaluation.scorecards([each], grid=DAILY)[0] for each in wanted]
    assert evaluation.scorecards(wanted, grid=DAILY) == alone
