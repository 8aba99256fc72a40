"""Each metric equals what a hand computes, and is null with a reason where it has no value."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.series import DAILY, a_series
from training import scores
from training.trainers.base import Floats, Grid, Series

STEP = Grid(frequency="D", season_length=2)
# Seasonal differences over two steps: 3-1, 5-2, 4-3 = 2, 3, 1.
TRAIN = a_series([1.0, 2.0, 3.0, 5.0, 4.0], grid=STEP)


@dataclass(frozen=True)
class Points:
    """Actuals beside forecasts."""

    actual: Floats
    yhat: Floats
    lower: Floats
    upper: Floats


def points(actual: list[float], yhat: list[float], reach: float = np.nan) -> Points:
    """Points with an interval of the forecast plus and minus `reach`."""
    middle = np.array(yhat, dtype=float)
    return Points(np.array(actual, dtype=float), middle, middle - reach, middle + reach)


def measured(found: Points, *, train: Series = TRAIN, naive: Points | None = None) -> scores.Measured:
    """Metrics and reasons on a season of two days."""
    return scores.measure(found, train=train, grid=STEP, naive=naive)


# actual 2, 4, 0, 10; forecast 3, 2, 1, 10; errors +1, -2, +1, 0
CASE = points([2, 4, 0, 10], [3, 2, 1, 10], reach=1.5)


@pytest.mark.requirement("E06")
@pytest.mark.parametrize(
    ("metric", "by_hand"),
    [
        ("mae", (1 + 2 + 1 + 0) / 4),
        ("rmse", ((1 + 4 + 1 + 0) / 4) ** 0.5),
        ("bias", (1 - 2 + 1 + 0) / 4),
        ("mape", (1 / 2 + 2 / 4 + 0 / 10) / 3),
        ("smape", (2 * 1 / 5 + 2 * 2 / 6 + 2 * 1 / 1 + 0) / 4),
        ("wape", (1 + 2 + 1 + 0) / (2 + 4 + 0 + 10)),
        ("mase", 1.0 / ((2 + 3 + 1) / 3)),
        ("rmsse", (1.5 / ((4 + 9 + 1) / 3)) ** 0.5),
        ("r_squared", 1 - 6 / (4 + 0 + 16 + 36)),
        ("coverage", 3 / 4),
        ("relative_mae", 1.0 / ((2 + 0 + 2 + 4) / 4)),
    ],
)
def test_a_metric_is_what_a_hand_computes(metric: str, by_hand: float) -> None:
    naive = points([2, 4, 0, 10], [4, 4, 2, 6])
    assert measured(CASE, naive=naive)[0][metric] == pytest.approx(by_hand)


@pytest.mark.requirement("E07")
def test_mape_says_how_many_zero_actuals_it_left_out() -> None:
    assert measured(CASE)[1]["mape"] == "1 points with an actual of zero were left out."


@pytest.mark.requirement("E07")
def test_mape_leaves_out_small_actuals_as_the_fleet_declares() -> None:
    metrics, _ = scores.measure(CASE, train=TRAIN, grid=STEP, zero_below=2.0)
    assert metrics["mape"] == pytest.approx((2 / 4 + 0) / 2)


def test_smape_is_two_at_most_and_zero_where_both_are_zero() -> None:
    assert measured(points([0, 0], [0, 5]))[0]["smape"] == pytest.approx(1.0)


@pytest.mark.requirement("E04")
@pytest.mark.parametrize(
    ("metric", "found", "train", "reason"),
    [
        ("mape", points([0, 0], [1, 2]), TRAIN, "All actuals are zero"),
        ("wape", points([0, 0], [1, 2]), TRAIN, "All actuals are zero"),
        ("r_squared", points([3, 3], [1, 2]), TRAIN, "constant"),
        ("coverage", points([3, 4], [1, 2]), TRAIN, "no interval"),
        ("mase", CASE, a_series([5.0, 5.0, 5.0, 5.0]), "no error in the train part"),
        ("rmsse", CASE, a_series([5.0, 5.0, 5.0, 5.0]), "no error in the train part"),
        ("mase", CASE, a_series([5.0, 6.0]), "no two observations one season apart"),
        ("relative_mae", CASE, TRAIN, "was not scored"),
        ("mae", points([], []), TRAIN, "No point"),
        ("r_squared", points([0, 1e-200], [0, 1]), TRAIN, "not finite"),
        ("rmse", points([1e200, 0], [-1e200, 1]), TRAIN, "not finite"),
    ],
)
def test_a_metric_without_a_value_is_null_and_says_why(metric: str, found: Points, train: Series, reason: str) -> None:
    metrics, reasons = measured(found, train=train)
    assert metrics[metric] is None
    assert reason in reasons[metric]


def test_relative_mae_against_a_naive_without_error_is_null() -> None:
    metrics, reasons = measured(CASE, naive=points([2, 4, 0, 10], [2, 4, 0, 10]))
    assert metrics["relative_mae"] is None
    assert "makes no error" in reasons["relative_mae"]


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(pairs=st.lists(st.tuples(finite, finite), max_size=12), history=st.lists(finite, max_size=12))
def test_no_metric_is_ever_nan_or_infinite(pairs: list[tuple[float, float]], history: list[float]) -> None:
    found = points([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    metrics, reasons = scores.measure(found, train=a_series(history), grid=DAILY, naive=found)
    json.dumps(metrics, allow_nan=False)
    assert {name for name, value in metrics.items() if value is None} <= set(reasons)
    assert asdict(found)
