"""Two versions side by side: value, difference and winner of each metric, and what they were made of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from registry import comparison
from registry.comparison import Comparison, Pair, Score
from registry.metrics import Direction
from registry.models import MetricSettings, ModelVersion, RegisteredModel
from registry.reports import Scorecard
from tests import factories
from tests.factories import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R11")]
WINDOWS = {"test_start": "2026-01-01", "test_end": "2026-01-28", "points": 28, "windows": 4}


@pytest.fixture
def model() -> RegisteredModel:
    own = MetricSettings(directions={"margin": Direction.HIGHER})
    return factories.registered_model(fleet=factories.fleet(metric_settings=own))


def version(model: RegisteredModel, *, card: dict[str, Any] | None = None, **values: Any) -> ModelVersion:
    """A version with those metrics, on the usual windows."""
    scorecard = Scorecard(**{**WINDOWS, "metrics": values.pop("metrics", {}), **(card or {})})
    return factories.version(registered_model=model, scorecard=scorecard, **values)


def scores(model: RegisteredModel, first: dict[str, Any], second: dict[str, Any]) -> dict[str, Score]:
    found = comparison.compare(version(model, metrics=first), version(model, metrics=second))
    return {each.name: each for each in found.metrics}


@pytest.mark.parametrize(
    ("name", "first", "second", "winner"),
    [
        ("mae", 2.0, 1.0, "second"),
        ("mae", 1.0, 2.0, "first"),
        ("mae", 1.0, 1.0, "neither"),
        ("r_squared", 0.9, 0.8, "first"),
        ("r_squared", -0.5, 0.1, "second"),
        ("bias", -0.1, 0.2, "first"),
        ("bias", 0.2, -0.2, "neither"),
        ("margin", 1.0, 2.0, "second"),
        ("coverage", 0.7, 0.9, "neither"),
        ("unheard_of", 1.0, 2.0, "unknown"),
        ("mae", None, 1.0, "unknown"),
    ],
)
def test_the_winner_follows_the_catalogue_of_the_fleet(
    model: RegisteredModel, name: str, first: float | None, second: float | None, winner: str
) -> None:
    assert scores(model, {name: first}, {name: second})[name].winner == winner


def test_the_difference_is_second_minus_first_and_its_share_is_of_the_first(model: RegisteredModel) -> None:
    found = scores(model, {"mae": 2.0, "r_squared": -0.5, "bias": 0.5, "wape": 0.0}, {
        "mae": 1.5, "r_squared": 0.5, "bias": -0.5, "wape": 0.1,
    })  # fmt: skip
    assert (found["mae"].difference, found["mae"].relative) == (-0.5, -0.25)
    assert (found["r_squared"].difference, found["r_squared"].relative) == (1.0, 2.0)
    assert (found["bias"].difference, found["bias"].relative) == (-1.0, None)
    assert (found["wape"].difference, found["wape"].relative) == (0.1, None)


def test_a_missing_value_says_why_and_has_no_difference(model: RegisteredModel) -> None:
    card = {"metrics": {"mape": None, "rmse": 1.0}, "reasons": {"mape": "All actuals are zero."}}
    found = comparison.compare(version(model, card=card), version(model, metrics={"mape": 0.2, "mase": 1.0}))
    by_name = {each.name: each for each in found.metrics}
    assert by_name["mape"].reason == "No value in the first: All actuals are zero."
    assert by_name["rmse"].reason == "No value in the second: it was not measured."
    assert by_name["mase"].reason == "No value in the first: it was not measured."
    assert {each.difference for each in found.metrics} == {None}
    both = comparison.compare(version(model, card=card), version(model, card=card))
    assert (
        next(each for each in both.metrics if each.name == "mape").reason == "No value in either: All actuals are zero."
    )


def test_a_metric_without_a_direction_says_where_to_declare_it(model: RegisteredModel) -> None:
    score = scores(model, {"unheard_of": 1.0}, {"unheard_of": 2.0})["unheard_of"]
    assert score.direction is None
    assert "declare it in the fleet file" in score.reason
    assert score.difference == 1.0


def test_the_primary_metric_comes_first_then_what_differs_then_what_has_no_value(model: RegisteredModel) -> None:
    first = {"mae": 1.0, "rmse": 1.0, "wape": 0.5, "mape": None}
    found = scores(model, first, {**first, "wape": 0.6, "mape": 0.1})
    assert list(found) == ["mae", "wape", "rmse", "mape"]


def pairs(found: Comparison, dimension: str) -> tuple[Pair, ...]:
    return next(each.pairs for each in found.dimensions if each.name == dimension)


def test_parameters_data_and_libraries_stand_side_by_side_differences_first(model: RegisteredModel) -> None:
    common: dict[str, Any] = {
        "trainer": "prophet",
        "data_start": NOW,
        "library_versions": {"numpy": "2.4", "prophet": "1.5"},
    }
    first = version(model, **common, params={"a": 1, "growth": "linear"}, rows=100, fit_end=NOW)
    second = version(
        model, **{**common, "library_versions": {"numpy": "2.5", "prophet": "1.5"}},
        params={"a": 1, "growth": "flat", "cap": 9}, rows=120, fit_end=NOW + timedelta(days=1),
    )  # fmt: skip
    found = comparison.compare(first, second)
    parameters = pairs(found, "parameters")
    assert [(each.name, each.first, each.second, each.differs) for each in parameters] == [
        ("cap", None, 9, True),
        ("growth", "linear", "flat", True),
        ("a", 1, 1, False),
    ]
    assert [each.name for each in pairs(found, "data") if each.differs] == ["fit_end", "rows"]
    assert [(each.name, each.differs) for each in pairs(found, "libraries")] == [("numpy", True), ("prophet", False)]
    assert not any(each.differs for each in pairs(found, "recipe"))
    assert found.warnings == ()


def test_features_that_came_and_went_are_named(model: RegisteredModel) -> None:
    found = comparison.compare(
        version(model, features=("price", "promo")), version(model, features=("promo", "weather"))
    )
    assert (found.features_added, found.features_removed) == (("weather",), ("price",))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {"test_end": "2026-02-04"}, "on other windows: the first from 2026-01-01 to 2026-01-28"),
        ({}, {"test_start": "", "test_end": ""}, "does not say on which windows"),
    ],
)
def test_other_windows_are_warned_of(
    model: RegisteredModel, first: dict[str, Any], second: dict[str, Any], told: str
) -> None:
    [warning] = comparison.compare(version(model, card=first), version(model, card=second)).warnings
    assert told in warning


def test_another_reading_of_the_same_windows_is_warned_of(model: RegisteredModel) -> None:
    one, other = version(model, snapshot_digest="a" * 64), version(model, snapshot_digest="b" * 64)
    [warning] = comparison.compare(one, other).warnings
    assert "two readings of the data" in warning


def test_versions_of_two_models_of_a_fleet_are_compared_with_a_warning(model: RegisteredModel) -> None:
    other = factories.registered_model(fleet=model.fleet)
    [warning] = comparison.compare(version(model), version(other)).warnings
    assert model.entity_key in warning
    assert other.entity_key in warning


def test_versions_of_two_fleets_are_refused_with_the_way_out(model: RegisteredModel) -> None:
    with pytest.raises(comparison.FleetsDiffer, match=f"fleet {model.fleet}") as refused:
        comparison.compare(version(model), version(factories.registered_model()))
    assert "one fleet" in refused.value.next_step


def test_the_version_that_cannot_be_placed_is_warned_of(model: RegisteredModel) -> None:
    one, other = version(model), version(model)
    assert not comparison.compare(one, other).warnings
    other.state = ModelVersion.State.QUARANTINED
    told = f"The second, v{other.number}, is quarantined: it cannot be placed as it is."
    assert comparison.compare(one, other).warnings == (told,)
    one.state = ModelVersion.State.ARCHIVED
    assert [each.split(":")[0] for each in comparison.compare(one, other).warnings] == [
        f"The first, v{one.number}, is archived", f"The second, v{other.number}, is quarantined",
    ]  # fmt: skip
