"""Bad input: each kind is refused with 400 and a name, and nothing of it reaches a row or becomes a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.rest_base import paging
from tests import factories
from tests.rest_client import Caller, caller, problem
from training.models import Batch

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


@pytest.fixture
def operator() -> Caller:
    return caller(role="operator")


@pytest.mark.requirement("P04")
def test_an_unknown_field_is_refused_by_name(operator: Caller) -> None:
    body = problem(operator.post("runs", {"fleet": "bakery", "dayz": 7}), status=400, code="invalid")
    assert [error["pointer"] for error in body["errors"]] == ["#/dayz"]
    assert "days" in body["errors"][0]["detail"]


@pytest.mark.requirement("P04")
def test_each_wrong_field_has_a_pointer(operator: Caller) -> None:
    fleet = factories.fleet()
    sent = {"fleet": fleet.name, "days": "soon", "kind": "dance", "reason": "x" * 501, "background": "perhaps"}
    body = problem(operator.post("runs", sent), status=400, code="invalid")
    assert {error["pointer"] for error in body["errors"]} == {"#/days", "#/kind", "#/reason", "#/background"}


@pytest.mark.requirement("T05")
@pytest.mark.parametrize("days", [0, -1, 3661, 10**30])
def test_a_look_back_outside_the_limits_is_refused(operator: Caller, days: int) -> None:
    body = problem(operator.post("runs", {"fleet": "bakery", "days": days}), status=400, code="invalid")
    assert body["errors"][0]["pointer"] == "#/days"


def test_a_missing_field_is_named(operator: Caller) -> None:
    body = problem(operator.post("runs", {}), status=400, code="invalid")
    assert body["errors"][0]["pointer"] == "#/fleet"


NESTED = '{"fleet":' + "[" * 100_000 + "]" * 100_000 + "}"
BROKEN = {
    "not JSON": b"{fleet: x}",
    "not UTF-8": b'{"fleet": "\xff"}',
    "NUL": b'{"fleet": "a\\u0000b"}',
    "NUL in a name": b'{"a\\u0000": 1}',
    "half a surrogate pair": b'{"fleet": "\\ud800"}',
    "NaN": b'{"fleet": "x", "days": NaN}',
    "Infinity": b'{"fleet": "x", "days": -Infinity}',
    "a float beyond all floats": b'{"fleet": "x", "days": 1e999}',
    "an integer of 5000 digits": b'{"fleet": "x", "days": ' + b"9" * 5000 + b"}",
    "a name twice": b'{"fleet": "x", "fleet": "y"}',
    "100000 levels": NESTED.encode(),
    "30 levels": b'{"fleet": ' + b"[" * 30 + b"]" * 30 + b"}",
}


@pytest.mark.requirement("P04")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_json_is_refused(operator: Caller, name: str) -> None:
    problem(operator.raw("POST", "runs", BROKEN[name]), status=400, code="malformed")
    assert not Batch.objects.exists()


@pytest.mark.parametrize("value", ["null", "[]", '"text"', "7", "true"])
def test_a_body_that_is_no_object_is_refused(operator: Caller, value: str) -> None:
    problem(operator.raw("POST", "runs", value), status=400, code="invalid")


def test_a_large_body_is_refused_before_it_is_parsed(operator: Caller) -> None:
    body = json.dumps({"fleet": "x", "reason": "y" * 1024**2})
    problem(operator.raw("POST", "runs", body), status=413, code="body_too_large")


def test_another_media_type_is_refused(operator: Caller) -> None:
    answer = operator.http.post("/api/v1/runs", {"fleet": "x"})
    problem(answer, status=415, code="unsupported_media_type")


@pytest.mark.requirement("P03")
@pytest.mark.parametrize(
    "text", ["7", "not-a-uuid", "00000000-0000-0000-0000-00000000000g", "{}", "%00", "%2e%2e", "é"]
)
@pytest.mark.parametrize("kind", ["runs", "batches", "versions"])
def test_a_malformed_id_is_400(operator: Caller, kind: str, text: str) -> None:
    problem(operator.get(f"{kind}/{text}"), status=400, code="malformed")


@pytest.mark.requirement("P03")
@pytest.mark.parametrize("kind", ["run", "batch", "version"])
def test_an_unknown_id_is_404(operator: Caller, kind: str) -> None:
    plural = {"run": "runs", "batch": "batches", "version": "versions"}[kind]
    answer = operator.get(f"{plural}/0190a1b2-0000-7000-8000-000000000000")
    problem(answer, status=404, code=f"{kind}_unknown")


@pytest.mark.parametrize("name", ["%00", "..%2f..", "UPPER", "a" * 64, "%F0%9F%98%80", "a%20b", "%2e%2e", "'--"])
def test_a_name_that_no_fleet_can_have_is_refused(operator: Caller, name: str) -> None:
    answer = operator.get(f"models/{name}")
    assert answer.status_code in (400, 404)
    assert answer.json()["code"] in ("malformed", "not_found")


@pytest.mark.parametrize("entity", ["%00", "-x", "a b", "a" * 129, "%252e%252e"])
def test_a_key_that_no_entity_can_have_is_refused(operator: Caller, entity: str) -> None:
    fleet = factories.fleet()
    problem(operator.get(f"models/{fleet.name}/{entity}"), status=400, code="malformed")


BAD_QUERIES = [
    ("fleets", "colour", "red"),
    ("fleets", "limit", "0"),
    ("fleets", "limit", "201"),
    ("fleets", "limit", "many"),
    ("fleets", "cursor", "%%%"),
    ("fleets", "cursor", "AAAA"),
    ("fleets", "cursor", "WzFd"),
    ("fleets", "cursor", "x" * 700),
    ("runs", "cursor", "WyJub3QtYS11dWlkIl0"),
    ("runs", "cursor", "e30"),
    ("runs", "state", "sleeping"),
    ("runs", "ordering", "-id"),
    ("runs", "registered_model__fleet__tenant", "globex"),
    ("batches", "state", "x"),
    ("events", "cursor", "WyIxIiwiMiJd"),
    ("events", "limit", "-3"),
    ("policies", "x.y", "1"),
]


@pytest.mark.requirement("P04")
@pytest.mark.parametrize(("path", "name", "value"), BAD_QUERIES)
def test_a_bad_parameter_is_refused_by_name(operator: Caller, path: str, name: str, value: str) -> None:
    filters: dict[str, Any] = {name: value}
    body = problem(operator.get(path, **filters), status=400, code="invalid")
    assert [error["parameter"] for error in body["errors"]] == [name]


def test_a_parameter_given_twice_is_refused(operator: Caller) -> None:
    body = problem(operator.get("/api/v1/runs?state=failed&state=queued"), status=400, code="invalid")
    assert body["errors"][0]["parameter"] == "state"


@pytest.mark.parametrize(
    "query", ["min_mae=nan", "max_mae=inf", "min_mae=x", "min_nonsense=1", "min_mae__gte=1", "max_scorecard=1"]
)
def test_a_metric_filter_outside_the_catalogue_is_refused(operator: Caller, query: str) -> None:
    model = factories.registered_model()
    answer = operator.get(f"/api/v1/models/{model.fleet.name}/{model.entity_key}/versions?{query}")
    body = problem(answer, status=400, code="invalid")
    assert body["errors"][0]["parameter"] == query.partition("=")[0]


def test_a_cursor_beyond_every_number_is_no_fault(operator: Caller) -> None:
    model = factories.registered_model()
    factories.version(registered_model=model)
    answer = operator.get(f"models/{model.fleet.name}/{model.entity_key}/versions", cursor=paging.encode(["9" * 30]))
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1
    assert operator.get("events", cursor=paging.encode([10**30, 1])).json()["results"] == []


def test_a_choice_that_is_none_names_those_that_are_in_queries_and_bodies_and_within_lists(operator: Caller) -> None:
    def told(answer: Any) -> str:
        [error] = problem(answer, status=400, code="invalid")["errors"]
        return str(error["detail"])

    states = "pending, ready, quarantined, archived, deleted, any."
    assert told(operator.get("versions", state="x")) == f'"x" is not a valid choice. Known are: {states}'
    assert told(operator.get("models/bakery", placed="x")).startswith('"x" is not a valid choice. Known are: champion')
    assert told(operator.post("runs", {"fleet": "a", "kind": "x"})).endswith("Known are: retrain, evaluate.")
    body = {"action": "archive", "reason": "x", "filter": {"fleet": "a", "state": ["x"]}}
    assert told(operator.post("versions/bulk", body)).endswith(f"Known are: {states}")
