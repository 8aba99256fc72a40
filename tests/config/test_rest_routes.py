"""Every route, every method, every role, against one table: what is not in it is denied, and a new route fails here."""

from __future__ import annotations

import re

import pytest

from config import checks
from registry.rest_api.fleets import FleetList
from tests.rest_client import Caller, caller, problem

ROLES = ("viewer", "operator", "approver", "admin")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PUBLIC = "public"

MODEL = "api/v1/models/<str:fleet>/<str:entity>"
TABLE = {
    "api/v1/fleets": {"GET": "viewer"},
    "api/v1/fleets/<str:fleet>": {"GET": "viewer"},
    "api/v1/fleets/<str:fleet>/latest": {"GET": "viewer"},
    "api/v1/models/<str:fleet>": {"GET": "viewer"},
    MODEL: {"GET": "viewer"},
    f"{MODEL}/versions": {"GET": "viewer", "POST": "operator"},
    f"{MODEL}/imports": {"POST": "operator"},
    f"{MODEL}/versions/<str:reference>": {"GET": "viewer"},
    f"{MODEL}/compare": {"GET": "viewer"},
    f"{MODEL}/champion": {"GET": "viewer"},
    f"{MODEL}/forecast": {"GET": "viewer"},
    f"{MODEL}/champions": {"GET": "viewer"},
    f"{MODEL}/history": {"GET": "viewer"},
    f"{MODEL}/history.csv": {"GET": "viewer"},
    f"{MODEL}/history.jsonl": {"GET": "viewer"},
    "api/v1/fleets/<str:fleet>/champions": {"GET": "viewer"},
    "api/v1/fleets/<str:fleet>/history.csv": {"GET": "viewer"},
    "api/v1/fleets/<str:fleet>/history.jsonl": {"GET": "viewer"},
    f"{MODEL}/promote": {"POST": "approver"},
    f"{MODEL}/rollback": {"POST": "approver"},
    "api/v1/metrics": {"GET": "viewer"},
    "api/v1/versions": {"GET": "viewer"},
    "api/v1/versions/compare": {"GET": "viewer"},
    "api/v1/fleets/<str:fleet>/versions": {"POST": "operator"},
    "api/v1/fleets/<str:fleet>/rollback": {"POST": "approver"},
    "api/v1/fleets/<str:fleet>/tags": {"POST": "operator"},
    "api/v1/versions/bulk": {"POST": "operator"},
    "api/v1/versions/<str:version>": {"GET": "viewer"},
    "api/v1/versions/<str:version>/bundle": {"GET": "viewer"},
    "api/v1/versions/<str:version>/predictions.csv": {"GET": "viewer"},
    "api/v1/versions/<str:version>/predictions.jsonl": {"GET": "viewer"},
    "api/v1/versions/<str:version>/feature-importance": {"GET": "viewer"},
    "api/v1/versions/<str:version>/holds": {"GET": "viewer", "POST": "operator"},
    "api/v1/versions/<str:version>/holds/<str:hold>": {"DELETE": "approver"},
    "api/v1/fleets/<str:fleet>/retention": {"GET": "viewer"},
    "api/v1/fleets/<str:fleet>/retention/candidates": {"GET": "viewer"},
    "api/v1/fleets/<str:fleet>/prune": {"POST": "approver"},
    f"{MODEL}/prune": {"POST": "approver"},
    "api/v1/events": {"GET": "viewer"},
    "api/v1/runs": {"GET": "viewer", "POST": "operator"},
    "api/v1/runs/<str:run>": {"GET": "viewer", "DELETE": "approver"},
    "api/v1/runs/<str:run>/cancel": {"POST": "operator"},
    "api/v1/batches": {"GET": "viewer"},
    "api/v1/batches/<str:batch>": {"GET": "viewer"},
    "api/v1/policies": {"GET": "viewer"},
    "api/v1/policies/<str:fleet>/<str:policy>": {"GET": "viewer"},
    "api/v1/policies/<str:fleet>/<str:policy>/pause": {"POST": "operator"},
    "api/v1/policies/<str:fleet>/<str:policy>/resume": {"POST": "operator"},
    "api/v1/sources": {"GET": "viewer"},
    "api/v1/sources/<str:source>": {"GET": "viewer"},
    "api/schema": {"GET": PUBLIC},
    "api/docs": {"GET": PUBLIC},
    "healthz": {"GET": PUBLIC},
    "readyz": {"GET": PUBLIC},
}
# The admin has a table of its own; the start page leads there.
ELSEWHERE = ("admin/",)


def routes() -> list[str]:
    return [route for route, _ in checks.routes() if route and not route.startswith(ELSEWHERE)]


def address(route: str) -> str:
    return "/" + re.sub(r"<str:\w+>", "0190a1b2-0000-7000-8000-000000000000", route)


@pytest.mark.requirement("X04")
def test_every_route_stands_in_the_table() -> None:
    assert sorted(routes()) == sorted(TABLE)


def statuses(who: Caller, route: str) -> dict[str, int]:
    found = {}
    for method in METHODS:
        who.http.raise_request_exception = True
        found[method] = who.raw(method, address(route), "{}").status_code
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("route", TABLE)
def test_nobody_gets_in_without_a_token(route: str) -> None:
    for method, status in statuses(Caller(), route).items():
        if TABLE[route].get(method) == PUBLIC:
            assert status in (200, 503), (method, status)
        elif PUBLIC in TABLE[route].values():
            assert status in (401, 403, 405), (method, status)
        else:
            assert status == 401, (method, status)


@pytest.mark.django_db
@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", [route for route in TABLE if PUBLIC not in TABLE[route].values()])
def test_a_role_reaches_what_the_table_gives_it_and_nothing_else(route: str, role: str) -> None:
    for method, status in statuses(caller(role=role), route).items():
        needed = TABLE[route].get(method)
        if needed is None:
            assert status == 405, (method, status)
        elif ROLES.index(role) >= ROLES.index(needed):
            assert status not in (401, 403), (method, status)
            assert status < 500, (method, status)
        else:
            assert status == 403, (method, status)


@pytest.mark.django_db
@pytest.mark.usefixtures("roles")
def test_a_user_without_a_role_reaches_nothing() -> None:
    from tests import factories
    from tests.rest_client import as_user

    nobody = as_user(factories.user(role=None), scope="admin")
    asked = [(method, route) for route in TABLE for method, role in TABLE[route].items() if role != PUBLIC]
    assert {nobody.raw(method, address(route), "{}").status_code for method, route in asked} == {403}


@pytest.mark.django_db
@pytest.mark.usefixtures("roles")
def test_a_method_that_a_route_has_not_is_told_with_those_that_it_has() -> None:
    viewer = caller(role="viewer")
    for route in (route for route in TABLE if PUBLIC not in TABLE[route].values()):
        implied = {"OPTIONS", "HEAD"} if "GET" in TABLE[route] else {"OPTIONS"}
        has = TABLE[route].keys() | implied
        for method in sorted({*METHODS, "HEAD", "TRACE"} - has):
            answer = viewer.raw(method, address(route), "{}")
            assert answer.status_code == 405, (method, route)
            assert {*answer.headers["Allow"].split(", ")} == has, (method, route)
            if method != "HEAD":
                assert problem(answer, status=405, code="method_not_allowed")["next_step"]
            assert Caller().raw(method, address(route), "{}").status_code == 401, (method, route)


@pytest.mark.django_db
@pytest.mark.usefixtures("roles")
def test_a_view_that_declares_nothing_is_denied_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FleetList, "required", {})
    assert caller(role="admin").get("fleets").status_code == 403


@pytest.mark.django_db
@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize("route", [route for route in TABLE if PUBLIC not in TABLE[route].values()])
def test_asking_for_the_head_or_the_options_is_no_fault(route: str) -> None:
    viewer, has_get = caller(role="viewer"), "GET" in TABLE[route]
    assert viewer.raw("HEAD", address(route), "").status_code in ((200, 400, 404) if has_get else (405,))
    assert viewer.raw("OPTIONS", address(route), "").status_code == (200 if has_get else 403)


def test_the_check_names_a_route_that_declares_nothing() -> None:
    assert checks.every_route_declares_its_roles() == []


def test_the_check_finds_a_method_without_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FleetList, "required", {})
    [found] = checks.every_route_declares_its_roles()
    assert "api/v1/fleets" in found.msg
    assert found.id == "perennial.E002"
