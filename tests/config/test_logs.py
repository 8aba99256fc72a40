"""Which lines of the log ask for a look: not the mistakes of callers, but strangers at the door and our own faults."""

from __future__ import annotations

import logging

import pytest
from django.test import Client

from config import logs
from registry import errors, lifecycle
from registry.rest_api.fleets import FleetList
from tests import admin_pages, factories
from tests.rest_client import Caller, caller

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


class Kept(logging.Handler):
    """Keeps what reaches it."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__()
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.kept.append(record.getMessage())


def levels(caplog: pytest.LogCaptureFixture, path: str) -> list[int]:
    """Return the levels of the lines that name this address."""
    found = [each.levelno for each in caplog.records if path in each.getMessage()]
    caplog.clear()
    return found


@pytest.fixture
def viewer(caplog: pytest.LogCaptureFixture) -> Caller:
    caplog.set_level(logging.INFO)
    return caller(role="viewer")


def test_a_mistake_of_a_caller_is_information(viewer: Caller, caplog: pytest.LogCaptureFixture) -> None:
    for path, status in (("fleets/nowhere", 404), ("fleets?limit=x", 400), ("nothing/here", 404)):
        assert viewer.get(path).status_code == status
        assert levels(caplog, path.partition("?")[0]) == [logging.INFO], path
    assert viewer.raw("PUT", "fleets", "{}").status_code == 405
    assert levels(caplog, "fleets") == [logging.INFO]


def test_who_may_not_is_a_warning(viewer: Caller, caplog: pytest.LogCaptureFixture) -> None:
    assert Client().get("/api/v1/fleets").status_code == 401
    assert levels(caplog, "/api/v1/fleets") == [logging.WARNING]
    factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="bread")
    assert viewer.post("models/bakery/bread/rollback", {"reason": "because"}).status_code == 403
    assert levels(caplog, "/rollback") == [logging.WARNING]


def test_what_cannot_be_served_is_an_error(
    viewer: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise errors.Unavailable("The store is away.")

    monkeypatch.setattr(FleetList, "get", away)
    assert viewer.get("fleets").status_code == 503
    assert levels(caplog, "fleets") == [logging.ERROR]


def test_pages_for_people_are_logged_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    assert admin_pages.client().get("/admin/nothing/").status_code == 404
    assert levels(caplog, "/admin/nothing/") == [logging.WARNING]


def test_where_only_warnings_are_wanted_a_mistake_is_not_written(viewer: Caller) -> None:
    # As in production: the handler has no level of its own, and writes whatever reaches it.
    written: list[str] = []
    handler, requests = Kept(written), logging.getLogger("django.request")
    before = requests.level
    requests.addHandler(handler)
    try:
        viewer.get("fleets/nowhere")
        requests.setLevel(logging.WARNING)
        viewer.get("fleets/anywhere")
    finally:
        requests.removeHandler(handler)
        requests.setLevel(before)
    assert written == ["Not Found: /api/v1/fleets/nowhere"]


def test_the_level_of_the_log_is_that_of_requests_too() -> None:
    assert logs.logging_config(level="WARNING", style="json")["loggers"]["django.request"]["level"] == "WARNING"


@pytest.mark.parametrize(("count", "said"), [(1, "1 version quarantined by ada"), (2, "2 versions quarantined by ada")])
def test_versions_are_counted_in_the_right_number(caplog: pytest.LogCaptureFixture, count: int, said: str) -> None:
    model = factories.registered_model()
    ids = [factories.version(registered_model=model).pk for _ in range(count)]
    lifecycle.quarantine(ids, actor="ada", reason="Not trusted.", at=factories.NOW)
    assert [each.getMessage() for each in caplog.records if said in each.getMessage()] == [f"{said}: Not trusted."]
