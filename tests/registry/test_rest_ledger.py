"""The ledger over HTTP: who served when, and files that can be opened and verified."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry import lifecycle
from registry.models import Fleet, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry.test_ledger_export import outsider
from tests.rest_client import caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


@pytest.fixture
def fleet() -> Fleet:
    fleet = factories.fleet(name="bakery")
    for entity in ("bread", "cake", "roll"):
        model = factories.registered_model(fleet=fleet, entity_key=entity)
        factories.champion(registered_model=model, at=NOW)
        factories.champion(registered_model=model, at=NOW + timedelta(days=1))
    lifecycle.roll_back(registered_model=model, actor="=ada()", reason="drifts", at=NOW + timedelta(days=2))
    return fleet


@pytest.mark.requirement("R14")
def test_the_champions_of_a_model_are_listed_with_their_time_and_their_cause(fleet: Fleet) -> None:
    viewer = caller(role="viewer")
    first = viewer.get("models/bakery/roll/champions", limit=2).json()
    assert [(row["number"], row["since"], row["until"]) for row in first["results"]] == [
        (1, "2026-03-03T12:00:00Z", None), (2, "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z"),
    ]  # fmt: skip
    assert [first["results"][0][name] for name in ("actor", "cause", "reason")] == ["=ada()", "rollback", "drifts"]
    [last] = viewer.get(first["next"]).json()["results"]
    assert (last["number"], last["until"]) == (1, "2026-03-02T12:00:00Z")
    assert viewer.get(last["url"]).json()["label"] == last["label"]
    span: dict[str, Any] = {"since": "2026-03-02T12:00:00Z", "until": "2026-03-03T12:00:00Z"}
    assert [row["number"] for row in viewer.get("models/bakery/roll/champions", **span).json()["results"]] == [2]


@pytest.mark.requirement("R13", "R14")
def test_the_champions_of_a_fleet_at_an_instant_come_in_pages_of_one_statement(fleet: Fleet) -> None:
    viewer = caller(role="viewer")
    page = viewer.get("fleets/bakery/champions", limit=2, at="2026-03-02T18:00:00Z").json()
    assert [(row["entity"], row["number"]) for row in page["results"]] == [("bread", 2), ("cake", 2)]
    with CaptureQueriesContext(connection) as queries:
        [last] = viewer.get(page["next"]).json()["results"]
    assert (last["entity"], last["number"], last["until"]) == ("roll", 2, "2026-03-03T12:00:00Z")
    assert len([each for each in queries if "LATERAL" in each["sql"]]) == 1
    assert len(queries) < 8
    assert [row["number"] for row in viewer.get("fleets/bakery/champions").json()["results"]] == [2, 2, 1]
    assert viewer.get("fleets/bakery/champions", at="2026-02-01T00:00:00Z").json()["results"] == []


@pytest.mark.parametrize("address", ["models/bakery/roll/history", "fleets/bakery/history"])
def test_the_ledger_leaves_as_a_file_that_is_safe_to_open_and_to_verify(fleet: Fleet, address: str) -> None:
    viewer = caller(role="viewer")
    table = viewer.get(f"{address}.csv", headers={"Accept": "text/csv"})
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert table.headers["Content-Disposition"] == 'attachment; filename="bakery-history.csv"'
    assert table.headers["X-Content-Type-Options"] == "nosniff"
    rows = list(csv.DictReader(io.StringIO(table.getvalue().decode(), newline="")))
    assert "'=ada()" in {row["actor"] for row in rows}
    lines = viewer.get(f"{address}.jsonl").getvalue().decode().splitlines()
    assert outsider(lines) == len(lines) == len(rows) == (5 if "roll" in address else 13)
    span = viewer.get(f"{address}.csv", since="2026-03-03T12:00:00Z").getvalue().decode()
    assert span.count("\r\n") == 2


@pytest.mark.parametrize(
    "address",
    ["models/bakery/roll/champions", "models/bakery/roll/history.csv", "models/bakery/roll/history.jsonl",
     "fleets/bakery/champions", "fleets/bakery/history.csv", "fleets/bakery/history.jsonl"],
)  # fmt: skip
def test_what_is_foreign_is_unknown_and_what_is_malformed_is_told(fleet: Fleet, address: str) -> None:
    problem(caller(role="admin", tenants=("other",)).get(address), status=404, code="fleet_unknown")
    viewer = caller(role="viewer")
    name = "at" if address == "fleets/bakery/champions" else "since"
    wrong: dict[str, Any] = {name: "yesterday"}
    problem(viewer.get(address, **wrong), status=400, code="invalid")
    problem(viewer.get(address, when="now"), status=400, code="invalid")
    if address.endswith("champions"):
        problem(viewer.get(address, cursor="x"), status=400, code="invalid")
    assert RegisteredModel.objects.count() == 3
