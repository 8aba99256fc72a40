"""Pages: every row once, while rows are added; a bounded number of queries, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.models import Fleet
from tests import factories
from tests.factories import NOW
from tests.rest_client import Caller, caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


def walk(
    viewer: Caller, address: str, *, between: Callable[[], object] = lambda: None, **parameters: Any
) -> list[dict[str, Any]]:
    rows, page = [], viewer.get(address, **parameters).json()
    while True:
        rows += page["results"]
        if page["next"] is None:
            return rows
        between()
        page = viewer.get(page["next"]).json()


def test_versions_come_newest_first_and_each_once() -> None:
    model = factories.registered_model()
    for day in range(7):
        factories.version(registered_model=model, at=NOW + timedelta(days=day))
    rows = walk(caller(role="viewer"), f"models/{model.fleet.name}/{model.entity_key}/versions", limit=3)
    assert [row["number"] for row in rows] == [7, 6, 5, 4, 3, 2, 1]


def test_rows_that_are_added_meanwhile_shift_nothing() -> None:
    model = factories.registered_model()
    for _ in range(5):
        factories.run(registered_model=model, state="failed")
    before = walk(caller(role="viewer"), "runs")
    during = walk(
        caller(role="viewer"), "runs", limit=2, between=lambda: factories.run(registered_model=model, state="failed")
    )
    assert [row["id"] for row in during] == [row["id"] for row in before]


def test_a_list_in_order_of_several_names_is_complete() -> None:
    for tenant in ("acme", "globex"):
        for name in ("b", "a", "c"):
            factories.fleet(tenant=tenant, name=name)
    rows = walk(caller(role="viewer", tenants=("acme", "globex")), "fleets", limit=2)
    expected = [(tenant, name) for tenant in ("acme", "globex") for name in "abc"]
    assert [(row["tenant"], row["name"]) for row in rows] == expected


def test_a_page_keeps_its_filters() -> None:
    fleet = factories.fleet()
    for number in range(6):
        factories.registered_model(fleet=fleet, tags=["odd"] if number % 2 else [])
    rows = walk(caller(role="viewer"), f"models/{fleet.name}", limit=1, tag="odd")
    assert [row["tags"] for row in rows] == [["odd"]] * 3


def test_the_page_is_50_rows_unless_more_is_asked_for_and_never_more_than_200() -> None:
    fleet = factories.fleet()
    for _ in range(60):
        factories.registered_model(fleet=fleet)
    viewer = caller(role="viewer")
    assert len(viewer.get(f"models/{fleet.name}").json()["results"]) == 50
    assert len(viewer.get(f"models/{fleet.name}", limit=200).json()["results"]) == 60
    problem(viewer.get(f"models/{fleet.name}", limit=201), status=400, code="invalid")


def fill(number: int) -> str:
    """Rows of every kind that a list shows."""
    fleet = factories.fleet(name="crowded")
    policies = [factories.policy(fleet=fleet) for _ in range(number)]
    for policy in policies:
        model = factories.registered_model(fleet=fleet, entity_key=f"e-{policy.name}")
        factories.champion(registered_model=model)
        batch = factories.batch(fleet=fleet, policy=policy)
        factories.run(registered_model=model, batch=batch, policy=policy, version=model.champion)
    first = fleet.registered_models.earliest("id")
    for _ in range(number):
        factories.champion(registered_model=first)
    return f"models/crowded/{first.entity_key}"


def queries(viewer: Caller, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert viewer.get(address, limit=200).status_code == 200
    return len(seen)


LISTS = [
    "fleets",
    "fleets/crowded/latest",
    "models/crowded",
    "versions",
    "{model}/versions",
    "{model}/history",
    "events",
    "runs",
    "batches",
    "policies",
    "sources",
]


@pytest.mark.parametrize("address", LISTS)
def test_a_list_asks_as_often_for_thirty_rows_as_for_one(address: str) -> None:
    viewer = caller(role="viewer")
    viewer.get("fleets")  # notes the first use of the token
    path = address.format(model=fill(1))
    alone = queries(viewer, path)
    if address == "fleets":
        for _ in range(29):
            factories.fleet()
    else:
        Fleet.objects.filter(name="crowded").update(name="other")
        path = address.format(model=fill(30))
    assert queries(viewer, path) == alone
    assert alone <= 8
