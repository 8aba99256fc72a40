"""The catalogue knows which way each metric gets better, and can be extended without being turned round."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from config import checks
from registry import configure, errors, metrics, sections
from registry.metrics import Direction, Metric
from registry.models import MetricSettings

GAIN = Metric(name="margin_gain", direction=Direction.HIGHER, meaning="margin above that of the old plan, in euros")
TURNED = Metric(name="mae", direction=Direction.HIGHER, meaning="turned round")


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
        (Direction.LOWER, "rmse mae max_drawdown volatility"),
        (Direction.LOWER, "mape smape wape mase rmsse pinball wql winkler stability relative_mae"),
        (Direction.ZERO, "bias"),
        (Direction.NEITHER, "coverage"),
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
        ("coverage", 0.9, 0.8, False),
        ("coverage", 0.8, 0.9, False),
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


def test_what_is_installed_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metrics.catalogue()
    monkeypatch.setattr(metrics, "entry_points", lambda **_: pytest.fail("looked up again"))
    assert metrics.catalogue() is known


@pytest.mark.requirement("R12")
@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (object(), "is no registry.metrics.Metric"),
        (Metric(name="Margin Gain", direction=Direction.HIGHER, meaning="x"), "no name of a metric"),
        (Metric(name="mae", direction=Direction.LOWER, meaning="x"), "built in"),
        (Metric(name="gain", direction="up", meaning="x"), "not one of higher, lower, zero, neither"),  # type: ignore[arg-type]
        (Metric(name="gain", direction=Direction.HIGHER), "has no meaning"),
    ],
)
def test_the_contract_of_a_plug_in_says_what_is_wrong(metric: object, told: str) -> None:
    with pytest.raises(metrics.MetricInvalid, match=told):
        metrics.check(metric)


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation with a plug-in that turns `mae` round."""
    metrics._installed.cache_clear()
    monkeypatch.setattr(metrics, "entry_points", lambda **_: [entry_point("TURNED")])
    yield
    metrics._installed.cache_clear()


@pytest.mark.usefixtures("turned")
def test_nothing_starts_beside_a_plug_in_that_breaks_the_contract() -> None:
    [found] = checks.every_added_metric_keeps_its_contract()
    assert "mae is built in" in found.msg
    assert "docs/fleet-files.md" in str(found.hint)


def test_an_installation_without_such_a_plug_in_starts() -> None:
    assert checks.every_added_metric_keeps_its_contract() == []


def test_every_metric_says_what_it_means() -> None:
    assert [each.name for each in metrics.catalogue().values() if not each.meaning] == []


@pytest.mark.requirement("R12")
def test_a_fleet_adds_metrics_and_turns_none_round() -> None:
    settings = MetricSettings(directions={"margin": Direction.HIGHER, "mae": Direction.HIGHER})
    known = metrics.catalogue_of(settings)
    assert metrics.is_better("margin", 2.0, 1.0, among=known)
    assert metrics.is_better("mae", 1.0, 2.0, among=known)
    assert known.keys() - metrics.catalogue().keys() == {"margin"}


def problems_of(**settings: object) -> dict[str, str]:
    section = {"name": "bakery", "kind": "forecast", "frequency": "D", "metric_settings": settings}
    try:
        configure.read(section)
    except sections.SectionInvalid as error:
        return {each.key.removeprefix("fleet.metric_settings."): each.allowed for each in error.problems}
    return {}


@pytest.mark.requirement("R12")
def test_a_fleet_file_declares_metrics_of_its_own() -> None:
    assert problems_of(primary="margin", directions={"margin": "higher", "waste": "lower", "drift": "zero"}) == {}
    assert problems_of(directions={"mae": "lower"}) == {}


def test_a_fleet_file_that_turns_a_metric_round_or_misspells_is_told_each_problem() -> None:
    found = problems_of(directions={"mae": "higher", "Bad Name": "lower", "margin": "up"}, primary="marge")
    assert found["directions.mae"].startswith("lower, as it is everywhere")
    assert "small letters" in found["directions.Bad Name"]
    assert found["directions.margin"] == "one of higher, lower, zero, neither"
    assert "declared under metric_settings.directions" in found["primary"]
    assert problems_of(primary="margin").keys() == {"primary"}
    assert problems_of(primary="coverage").keys() == {"primary"}
    assert problems_of(directions=["margin"]) == {"directions": "a table"}
