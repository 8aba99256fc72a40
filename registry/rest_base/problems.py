"""How every failure looks on the wire: RFC 9457 problems with a code, a sentence and a next step. Never a bare 500."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import psycopg
from django.core import exceptions as django_exceptions
from django.db import DatabaseError, DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.encoding import escape_uri_path
from django.views import defaults
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from registry import errors

MEDIA_TYPE = "application/problem+json"
API_PREFIX = "/api/"
TYPE_PREFIX = "urn:perennial:problem:"

NEXT_STEPS = {
    "authentication_failed": "Send a token that is valid: `manage.py token` makes one.",
    "not_authenticated": "Send the header `Authorization: Bearer <token>`; `manage.py token` makes a token.",
    "permission_denied": "Use an account and a token with the role that the API page names for this call.",
    "not_found": "Check the address; /api/docs lists all of them.",
    "method_not_allowed": "Use a method that the header Allow names.",
    "not_acceptable": "Ask for application/json.",
    "unsupported_media_type": "Send the body as /api/docs says: application/json, or application/x-ndjson for lines.",
    "body_too_large": "Send less at once: a forecaster as multipart/form-data, many versions in several calls.",
    "throttled": "Wait for the seconds that the header Retry-After names.",
    "invalid": "Correct the named fields and send the request again.",
    "malformed": "Correct the request and send it again.",
}

logger = logging.getLogger(__name__)


class FieldErrorSerializer(serializers.Serializer[Any]):
    """One value that was refused: `pointer` into the body (RFC 6901), or `parameter` of the query."""

    pointer = serializers.CharField(required=False)
    parameter = serializers.CharField(required=False)
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """A failure, as RFC 9457 describes it."""

    type = serializers.CharField(help_text="the code as a URN")
    title = serializers.CharField(help_text="the words of the status")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="for programs; never changes its meaning")
    detail = serializers.CharField(help_text="what happened, for people")
    next_step = serializers.CharField(help_text="what to do about it")
    errors = FieldErrorSerializer(many=True)  # type: ignore[assignment]  # the wire name, not DRF's own `errors`


class QueryInvalid(exceptions.ValidationError):
    """A parameter of the query breaks a rule; its problems name parameters, not places in a body."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One failure before it is written down."""

    status: int
    code: str
    detail: str
    next_step: str = ""
    errors: tuple[Mapping[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the members of RFC 9457 and ours."""
        return {
            "type": f"{TYPE_PREFIX}{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "next_step": self.next_step or NEXT_STEPS.get(self.code, NEXT_STEPS["malformed"]),
            "errors": list(self.errors),
        }


class LoggedResponse(Response):
    """An answer that is in the log with its reason; Django, which would add a line without one, looks for this."""

    _has_been_logged = True


def problem_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer any failure of a REST view; None, and with it a logged 500, only for a fault of our own."""
    problem = describe(exc)
    if problem is None:
        return None
    kind: type[Response] = Response
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = LoggedResponse
        request = context["request"]
        # Escaped, as Django does: an address may hold line breaks, and one line of the log is one failure.
        path = escape_uri_path(request.path)
        logger.error("%s %s: %s: %s", request.method, path, problem.code, exc, extra={"code": problem.code})
    return kind(problem.body(), status=problem.status, headers=dict(problem.headers), content_type=MEDIA_TYPE)


def describe(exc: Exception) -> Problem | None:
    """Return the problem that an exception stands for, or None for one that nobody foresaw."""
    if isinstance(exc, errors.PerennialError):
        return _own(exc)
    if isinstance(exc, DatabaseError | InterfaceError):
        return _database(exc)
    translated = _translated(exc)
    return _rest(translated) if translated is not None else None


def _own(exc: errors.PerennialError) -> Problem:
    refused = ({"pointer": f"#/{exc.field}", "detail": exc.sentence},) if exc.field else ()
    headers = {"Retry-After": "5"} if exc.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Problem(
        status=exc.status, code=exc.code, detail=exc.sentence, next_step=exc.next_step, errors=refused, headers=headers
    )


def _translated(exc: Exception) -> exceptions.APIException | None:
    if isinstance(exc, exceptions.APIException):
        return exc
    if isinstance(exc, Http404):
        return exceptions.NotFound("There is nothing at this address.")
    if isinstance(exc, django_exceptions.PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(exc, django_exceptions.ValidationError):
        return exceptions.ValidationError(serializers.as_serializer_error(exc))
    if isinstance(exc, django_exceptions.SuspiciousOperation):
        return exceptions.ParseError(str(exc))
    return None


def _rest(exc: exceptions.APIException) -> Problem:
    if isinstance(exc, exceptions.ValidationError):
        refused = tuple(_field_errors(exc))
        detail = "; ".join(
            f"{each.get('pointer', each.get('parameter', ''))}: {each['detail']}" for each in refused[:3]
        )
        return Problem(status=exc.status_code, code="invalid", detail=detail, errors=refused)
    code = exc.get_codes()
    return Problem(
        status=exc.status_code,
        code="malformed" if code == "parse_error" else str(code),
        detail=str(exc.detail),
        headers=_headers(exc),
    )


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    # Both are set where the exception is raised or handled; its class declares neither.
    scheme, seconds = getattr(exc, "auth_header", None), getattr(exc, "wait", None)
    headers = {"WWW-Authenticate": str(scheme)} if scheme else {}
    return {**headers, "Retry-After": str(int(seconds))} if seconds else headers


def _field_errors(exc: exceptions.ValidationError) -> Iterator[Mapping[str, str]]:
    for path, sentence in _flatten(exc.detail, ()):
        if isinstance(exc, QueryInvalid):
            yield {"parameter": ".".join(path), "detail": sentence}
        else:
            yield {"pointer": "#" + "".join(f"/{_escaped(part)}" for part in path), "detail": sentence}


def _flatten(detail: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            yield from _flatten(value, path if key == "non_field_errors" else (*path, str(key)))
    elif isinstance(detail, Sequence) and not isinstance(detail, str):
        for place, item in enumerate(detail):
            yield from _flatten(item, (*path, str(place)) if isinstance(item, Mapping) else path)
    else:
        yield path, str(detail)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _database(exc: DatabaseError | InterfaceError) -> Problem | None:
    cause = exc.__cause__
    again = {"Retry-After": "5"}
    if isinstance(cause, psycopg.errors.QueryCanceled):
        return Problem(
            status=503,
            code="statement_timeout",
            detail="The database took longer than a request may wait.",
            next_step="Ask for less at once, with a filter or a smaller limit, or try again later.",
            headers=again,
        )
    if isinstance(cause, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
        return Problem(
            status=503,
            code="contended",
            detail="Another change of the same thing is under way.",
            next_step="Try again in a few seconds.",
            headers={"Retry-After": "1"},
        )
    if isinstance(cause, psycopg.errors.UndefinedColumn | psycopg.errors.UndefinedTable):
        return Problem(
            status=503,
            code="schema_behind",
            detail="The database is being brought up to this release.",
            next_step="Run `manage.py migrate`; /readyz names what is missing.",
            headers=again,
        )
    if isinstance(exc, DataError):
        logger.warning("The database refused a value that no check had refused: %s", exc)
        return Problem(status=400, code="invalid", detail="A value cannot be stored.")
    if isinstance(exc, OperationalError | InterfaceError):
        return Problem(
            status=503,
            code="database_unavailable",
            detail="The database does not answer.",
            next_step="Look at /readyz, then try again.",
            headers=again,
        )
    return None


def plain(problem: Problem) -> HttpResponse:
    """Return a problem where no REST view is at hand."""
    return JsonResponse(problem.body(), status=problem.status, content_type=MEDIA_TYPE, headers=dict(problem.headers))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: a problem under /api/, a page elsewhere."""
    if not request.path.startswith(API_PREFIX):
        return defaults.page_not_found(request, exception)
    return plain(Problem(status=404, code="not_found", detail="There is nothing at this address."))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a problem under /api/, a page elsewhere."""
    if not request.path.startswith(API_PREFIX):
        return defaults.bad_request(request, exception)
    return plain(Problem(status=400, code="malformed", detail="The request is malformed."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: a problem under /api/ that says nothing of the inside, a page elsewhere."""
    if not request.path.startswith(API_PREFIX):
        return defaults.server_error(request)
    detail = "Something in Perennial went wrong; it is in the log of the web process."
    return plain(
        Problem(status=500, code="internal", detail=detail, next_step="Tell the people who run this installation.")
    )
