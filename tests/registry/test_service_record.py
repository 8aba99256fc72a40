"""Who served when: the periods of one model, and the champions of a fleet at any instant."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry import lifecycle
from registry.history import service_record
from registry.models import RegisteredModel
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def day(number: float) -> datetime:
    return NOW + timedelta(days=number)


@pytest.fixture
def model() -> RegisteredModel:
    """Version 1 on day 0, 2 on day 1, back to 1 on day 2."""
    model = factories.registered_model()
    factories.champion(registered_model=model, at=day(0))
    factories.champion(registered_model=model, at=day(1))
    lifecycle.roll_back(registered_model=model, actor="ada", reason="drifts", at=day(2))
    return model


def told(model: RegisteredModel, since: float | None = None, until: float | None = None) -> list[tuple[int, float]]:
    rows = service_record.periods(
        model, since=None if since is None else day(since), until=None if until is None else day(until)
    )
    found = [service_record.served(row) for row in rows.order_by("count")]
    return [(each.number, (each.since - NOW) / timedelta(days=1)) for each in found]


@pytest.mark.requirement("R13", "R14")
def test_the_periods_of_a_model_tell_who_served_when_and_why(model: RegisteredModel) -> None:
    found = [service_record.served(row) for row in service_record.periods(model).order_by("count")]
    assert [(each.number, each.since, each.until) for each in found] == [
        (1, day(0), day(1)), (2, day(1), day(2)), (1, day(2), None),
    ]  # fmt: skip
    assert [(each.actor, each.cause, each.reason) for each in found][2] == ("ada", "rollback", "drifts")


def test_periods_are_those_that_overlap_the_time_asked_for(model: RegisteredModel) -> None:
    assert told(model, until=1) == [(1, 0)]
    assert told(model, since=1) == [(2, 1), (1, 2)]
    assert told(model, since=0.5, until=1.5) == [(1, 0), (2, 1)]
    assert told(model, since=5) == [(1, 2)]
    assert told(model, until=0) == []


@pytest.mark.requirement("R14")
def test_the_champions_of_a_fleet_at_any_instant_come_in_one_statement_and_in_pages(model: RegisteredModel) -> None:
    fleet = model.fleet
    others = [factories.registered_model(fleet=fleet, entity_key=f"x{number}") for number in range(3)]
    for number, other in enumerate(others):
        factories.champion(registered_model=other, at=day(number))
    factories.champion(registered_model=factories.registered_model(), at=day(0))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        now = service_record.champions_at(fleet, day(1.5), limit=10)
    assert len(queries) == 1
    assert [(each.entity, each.number, each.since, each.until) for each in now] == [
        (model.entity_key, 2, day(1), day(2)), ("x0", 1, day(0), None), ("x1", 1, day(1), None),
    ]  # fmt: skip
    assert service_record.champions_at(fleet, day(-1), limit=10) == []
    first = service_record.champions_at(fleet, day(9), limit=3)
    rest = service_record.champions_at(fleet, day(9), limit=3, after=first[-1].entity)
    assert [each.entity for each in first + rest] == sorted([model.entity_key, "x0", "x1", "x2"])
