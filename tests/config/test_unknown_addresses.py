"""An address that leads nowhere: people get a page with a way back, programs a problem."""

from __future__ import annotations

import pytest
from django.test import Client, RequestFactory

from registry.rest_base import problems
from tests import admin_pages
from tests.admin_pages import text
from tests.rest_client import Caller, problem

BACK = 'href="/admin/"'


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    ["/admin/nothing/", "/admin/registry/nothing/", "/admin/registry/fleet/4711/act/pause/", "/admin/nothing"],
)
def test_below_admin_people_get_a_page_with_a_way_back(address: str) -> None:
    answer = admin_pages.client().get(address)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "There is nothing at this address" in text(answer)
    assert address in text(answer)
    assert BACK in answer.content.decode()


@pytest.mark.django_db
def test_below_admin_nobody_learns_before_signing_in_what_exists() -> None:
    answer = Client().get("/admin/nothing/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/login/?next=/admin/nothing/")


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/nothing", "/api/v1/nothing", "/api/v1/fleets/"])
def test_below_api_programs_get_a_problem(address: str) -> None:
    body = problem(Caller().get(address), status=404, code="not_found")
    assert "/api/docs" in body["next_step"]


def test_the_page_shows_a_hostile_address_as_text_and_nothing_of_the_inside() -> None:
    request = RequestFactory().get("/admin/<script>window.stolen=1</script>/")
    content = problems.page_not_found(request, LookupError("secret inside")).content.decode()
    assert "<script" not in content
    assert "secret inside" not in content
    assert BACK in content


def test_the_page_elsewhere_is_the_same_and_asks_no_database() -> None:
    answer = Client().get("/nothing")
    assert answer.status_code == 404
    assert BACK in answer.content.decode()
