"""Failures: every kind is a problem with a code, a sentence and a next step, and none tells of the inside."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, OperationalError, connection, transaction
from django.http import Http404
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from registry import errors
from registry.rest_api.delivering import ModelVersions
from registry.rest_api.fleets import FleetList
from registry.rest_base import problems, views
from tests.rest_client import Caller, caller, problem


class Failing(views.ApiView):
    """A view that raises what it is told to."""

    authentication_classes = ()
    permission_classes = ()
    failure: BaseException = Exception()

    def get(self, request: Any) -> Response:
        raise self.failure


def answer(failure: Exception) -> Any:
    response = Failing.as_view(failure=failure)(APIRequestFactory().get("/"))
    response.render()
    return SimpleNamespace(
        status_code=response.status_code, headers=response.headers, json=lambda: json.loads(response.content)
    )


@pytest.mark.requirement("B06")
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (errors.Invalid("Wrong.", field="days"), 400, "invalid"),
        (errors.NotFound("None."), 404, "not_found"),
        (errors.Conflict("Not now."), 409, "conflict"),
        (errors.Corrupted("Broken."), 409, "corrupted"),
        (errors.Unavailable("Away."), 503, "unavailable"),
        (ValidationError({"name": ["Bad."]}), 400, "invalid"),
        (ValidationError("Bad."), 400, "invalid"),
        (Http404("secret inside"), 404, "not_found"),
        (PermissionDenied("secret inside"), 403, "permission_denied"),
        (exceptions.Throttled(wait=9), 429, "throttled"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.ParseError("Odd."), 400, "malformed"),
        (DataError("integer out of range"), 400, "invalid"),
        (OperationalError("could not connect, password=hunter2"), 503, "database_unavailable"),
    ],
)
def test_each_kind_of_failure_has_its_problem(failure: Exception, status: int, code: str) -> None:
    body = problem(answer(failure), status=status, code=code)
    assert "secret" not in str(body)
    assert "hunter2" not in str(body)


def test_a_failure_of_a_field_points_to_it() -> None:
    body = problem(answer(errors.Invalid("Too many days.", field="days")), status=400, code="invalid")
    assert body["errors"] == [{"pointer": "#/days", "detail": "Too many days."}]


def test_pointers_lead_into_nested_values_and_escape_names() -> None:
    nested = exceptions.ValidationError({"rows": [{}, {"a/b~c": ["Bad."]}], "non_field_errors": ["Both."]})
    body = problem(answer(nested), status=400, code="invalid")
    assert {(error["pointer"], error["detail"]) for error in body["errors"]} == {
        ("#/rows/1/a~1b~0c", "Bad."),
        ("#", "Both."),
    }


def test_waiting_callers_are_told_for_how_long() -> None:
    assert answer(exceptions.Throttled(wait=9)).headers["Retry-After"] == "9"
    assert int(answer(errors.Unavailable("Away.")).headers["Retry-After"]) > 0


class Asking(Failing):
    """A view that sends statements to the database."""

    statements: Sequence[str] = ()

    def get(self, request: Any) -> Response:
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in self.statements:
                cursor.execute(statement)
        return Response()


def asked(*statements: str) -> Any:
    return Asking.as_view(statements=statements)(APIRequestFactory().get("/"))


@pytest.mark.django_db
def test_a_statement_that_takes_too_long_is_503() -> None:
    response = asked("SET LOCAL statement_timeout = 20", "SELECT pg_sleep(5)")
    assert (response.status_code, response.data["code"]) == (503, "statement_timeout")
    assert response.headers["Retry-After"]


@pytest.mark.django_db
def test_a_lock_that_somebody_else_holds_is_503() -> None:
    holder = connection.copy()
    try:
        holder.set_autocommit(False)
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE registry_fleet")
        response = asked("SET LOCAL lock_timeout = 20", "LOCK TABLE registry_fleet")
    finally:
        holder.close()
    assert (response.status_code, response.data["code"]) == (503, "contended")
    assert response.headers["Retry-After"]


@pytest.mark.django_db
def test_a_value_beyond_its_column_is_400() -> None:
    response = asked("SELECT 99999999999::int")
    assert (response.status_code, response.data["code"]) == (400, "invalid")


def test_a_fault_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        answer(ZeroDivisionError())


@pytest.mark.django_db
def test_an_unknown_address_below_api_is_a_problem_and_elsewhere_a_page() -> None:
    problem(Caller().get("/api/v1/nothing/here"), status=404, code="not_found")
    problem(Caller().get("/api/v2/fleets"), status=404, code="not_found")
    problem(Caller().get("/api/v1/fleets/"), status=404, code="not_found")
    assert Caller().get("/nothing").headers["Content-Type"].startswith("text/html")


@pytest.mark.django_db
@pytest.mark.usefixtures("roles")
def test_a_method_that_no_view_declares_is_refused() -> None:
    admin = caller(role="admin")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = admin.raw(method, "fleets", "{}")
        problem(answer, status=405, code="method_not_allowed")
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.django_db
@pytest.mark.usefixtures("roles")
def test_what_cannot_be_served_is_in_the_log_once_with_its_reason(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(view: FleetList, request: Request) -> Response:
        raise errors.Unavailable("The store is away.")

    monkeypatch.setattr(FleetList, "get", away)
    viewer = caller(role="viewer")
    with caplog.at_level(logging.WARNING):
        problem(viewer.get("fleets"), status=503, code="unavailable")
    [line] = [each.getMessage() for each in caplog.records if "fleets" in each.getMessage()]
    assert line.startswith("GET /api/v1/fleets: unavailable: The store is away.")


@pytest.mark.django_db
@pytest.mark.usefixtures("roles")
def test_an_address_cannot_write_lines_of_its_own_into_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(view: ModelVersions, request: Request, **names: str) -> Response:
        raise errors.Unavailable("The store is away.")

    monkeypatch.setattr(ModelVersions, "get", away)
    with caplog.at_level(logging.WARNING):
        problem(caller(role="viewer").get("models/bakery/x%0AERROR forged/versions"), status=503, code="unavailable")
    [line] = [each.getMessage() for each in caplog.records if "forged" in each.getMessage()]
    assert "\n" not in line and "x%0AERROR%20forged" in line


def test_a_fault_of_our_own_tells_the_caller_nothing(caplog: pytest.LogCaptureFixture) -> None:
    request = APIRequestFactory().get("/api/v1/fleets")
    response = problems.server_error(request)
    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/problem+json"
    with caplog.at_level(logging.ERROR):
        assert problems.server_error(APIRequestFactory().get("/other")).headers["Content-Type"].startswith("text/html")
