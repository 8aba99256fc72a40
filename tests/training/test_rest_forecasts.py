"""Published forecasts over HTTP: dates for daily fleets, instants for finer ones, and honest about their age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry import lifecycle
from registry.models import ModelVersion, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.rest_client import caller, problem
from training.models import Forecast
from training.rest_api import forecasts
from training.trainers.base import Grid

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


def publish(
    version: ModelVersion,
    *,
    cutoff: datetime,
    step: timedelta = timedelta(days=1),
    values: tuple[float, ...] = (1.0, 2.0),
    age: timedelta = timedelta(hours=3),
) -> Forecast:
    times = [cutoff + step * (number + 1) for number in range(len(values))]
    return Forecast.objects.create(
        version=version,
        cutoff=cutoff,
        published_at=datetime.now(UTC) - age,
        time=times,
        yhat=list(values),
        lower=[value - 1 for value in values],
        upper=[value + 1 for value in values],
    )


@pytest.fixture
def model() -> RegisteredModel:
    fleet = factories.fleet(name="bakery", frequency="D", unit="loaves", time_zone="Pacific/Auckland")
    return factories.registered_model(fleet=fleet, entity_key="bread")


ADDRESS = "models/bakery/bread/forecast"


def test_a_daily_forecast_has_dates(model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=model)
    publish(champion, cutoff=datetime(2026, 2, 28, tzinfo=UTC))
    body = caller(role="viewer").get(ADDRESS).json()
    assert body["cutoff"] == "2026-02-28"
    assert body["points"] == [
        {"time": "2026-03-01", "yhat": 1.0, "lower": 0.0, "upper": 2.0},
        {"time": "2026-03-02", "yhat": 2.0, "lower": 1.0, "upper": 3.0},
    ]
    assert (body["version"], body["number"]) == (str(champion.pk), 1)
    assert body["digest"] == champion.artifact_digest
    assert 3 * 3600 <= body["age_seconds"] < 3 * 3600 + 60


def test_a_finer_forecast_has_instants() -> None:
    fleet = factories.fleet(name="solar", frequency="15min", time_zone="Asia/Kolkata")
    model = factories.registered_model(fleet=fleet, entity_key="roof")
    champion = factories.champion(registered_model=model)
    publish(champion, cutoff=NOW, step=timedelta(minutes=15))
    body = caller(role="viewer").get("models/solar/roof/forecast").json()
    assert body["cutoff"] == "2026-03-01T12:00:00Z"
    assert [point["time"] for point in body["points"]] == ["2026-03-01T12:15:00Z", "2026-03-01T12:30:00Z"]


def test_the_newest_forecast_of_the_champion_is_shown_and_that_of_nobody_else(model: RegisteredModel) -> None:
    before = factories.champion(registered_model=model)
    publish(before, cutoff=datetime(2026, 5, 1, tzinfo=UTC))
    champion = factories.champion(registered_model=model, at=NOW + timedelta(days=1))
    publish(champion, cutoff=datetime(2026, 2, 1, tzinfo=UTC))
    publish(champion, cutoff=datetime(2026, 2, 8, tzinfo=UTC))
    assert caller(role="viewer").get(ADDRESS).json()["cutoff"] == "2026-02-08"


@pytest.mark.requirement("R14")
def test_after_a_roll_back_the_earlier_champion_s_forecast_is_served_at_once(model: RegisteredModel) -> None:
    before = factories.champion(registered_model=model)
    publish(before, cutoff=datetime(2026, 2, 1, tzinfo=UTC))
    after = factories.champion(registered_model=model, at=NOW + timedelta(days=1))
    publish(after, cutoff=datetime(2026, 2, 8, tzinfo=UTC))
    viewer = caller(role="viewer")
    assert viewer.get(ADDRESS).json()["number"] == 2
    lifecycle.roll_back(registered_model=model, to=None, actor="test", reason="Bad.", at=NOW + timedelta(days=2))
    assert viewer.get(ADDRESS).json()["number"] == 1


def test_a_model_without_champion_or_forecast_says_which(model: RegisteredModel) -> None:
    viewer = caller(role="viewer")
    problem(viewer.get(ADDRESS), status=404, code="no_champion")
    factories.champion(registered_model=model)
    problem(viewer.get(ADDRESS), status=404, code="no_forecast")


def test_the_etag_does_not_change_with_age_alone(model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=model)
    forecast = publish(champion, cutoff=datetime(2026, 2, 1, tzinfo=UTC))
    viewer = caller(role="viewer")
    tag = viewer.get(ADDRESS).headers["ETag"]
    assert viewer.get(ADDRESS, headers={"If-None-Match": tag}).status_code == 304
    publish(champion, cutoff=forecast.cutoff + timedelta(days=7))
    assert viewer.get(ADDRESS, headers={"If-None-Match": tag}).status_code == 200


def test_a_value_that_is_no_number_is_null(model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=model)
    publish(champion, cutoff=datetime(2026, 2, 1, tzinfo=UTC), values=(float("nan"), 2.0))
    points = caller(role="viewer").get(ADDRESS).json()["points"]
    assert points[0] == {"time": "2026-02-02", "yhat": None, "lower": None, "upper": None}


@pytest.mark.parametrize(
    "frequency",
    [
        "D",
        "2D",
        "W-MON",
        "MS",
        "ME",
        "QS",
        "YE",
        "B",
        "h",
        "6h",
        "24h",
        "48h",
        "30min",
        "15min",
        "1440min",
        "s",
        "86400s",
        "1h30min",
    ],
)
def test_what_counts_as_dates_agrees_with_the_trainers(frequency: str) -> None:
    fleet = factories.fleet(frequency=frequency)
    assert forecasts.has_dates(fleet) == Grid(frequency=frequency).dated
