"""The catalogue knows which way each metric gets better, and can be extended without being turned round."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from registry import errors, metrics
from registry.metrics import Direction, Metric

GAIN = Metric(name="margin_gain", direction=Direction.HIGHER)
TURNED = Metric(name="mae", direction=Direction.HIGHER)


def entry_point(attribute: str) -> EntryPoint:
    return EntryPoint(name=attribute.lower(), value=f"{__name__}:{attribute}", group=metrics.ENTRY_POINTS)


@pytest.mark.requirement("R12")
@pytest.mark.parametrize(
    ("direction", "names"),
    [
        (
            Direction.HIGHER,
            "direction_accuracy profit_factor sharpe_ratio r_squared annual_return total_return win_rate",
        ),
        (Direction.LOWER, "rmse mae max_drawdown volatility wape mase smape"),
        (Direction.ZERO, "bias"),
    ],
)
def test_the_direction_of_each_metric_is_known(direction: Direction, names: str) -> None:
    assert {metrics.direction(name) for name in names.split()} == {direction}


@pytest.mark.requirement("R12")
@pytest.mark.parametrize(
    ("name", "first", "second", "better"),
    [
        ("mae", 1.0, 2.0, True),
        ("mae", 2.0, 1.0, False),
        ("mae", 1.0, 1.0, False),
        ("r_squared", 0.9, 0.8, True),
        ("r_squared", -1.0, 0.0, False),
        ("bias", -0.1, 0.2, True),
        ("bias", 0.1, -0.1, False),
        ("mae", 1.0, None, True),
        ("mae", None, 1.0, False),
        ("mae", None, None, False),
    ],
)
def test_the_better_of_two_values_is_found(name: str, first: float | None, second: float | None, better: bool) -> None:
    assert metrics.is_better(name, first, second) is better


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(metrics.MetricUnknown, match="accuracyy"):
        metrics.direction("accuracyy")


@pytest.mark.requirement("R12")
def test_an_entry_point_adds_a_metric() -> None:
    known = metrics.catalogue([entry_point("GAIN")])
    assert metrics.is_better("margin_gain", 2.0, 1.0, among=known)
    assert known.keys() - metrics.catalogue().keys() == {"margin_gain"}


@pytest.mark.parametrize("attribute", ["TURNED", "entry_point"])
def test_an_entry_point_can_neither_turn_a_metric_round_nor_add_something_else(attribute: str) -> None:
    with pytest.raises(errors.Invalid, match="not a new Metric"):
        metrics.catalogue([entry_point(attribute)])
