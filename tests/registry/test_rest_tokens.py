"""Tokens: who gets in, for how long, with which of its user's rights, and what the database keeps of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from registry import errors, timestamps
from registry.models import ApiToken
from registry.rest_base import tokens
from tests import factories
from tests.rest_client import Caller, as_user, caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


def issued(**values: Any) -> tuple[ApiToken, str]:
    defaults = {"label": "nightly", "scope": "viewer", "tenants": [], "days": 30}
    return tokens.issue(**{**defaults, **values})


def test_a_token_opens_what_its_user_may_see() -> None:
    user = factories.user(role="viewer")
    fleet = factories.fleet()
    answer = Caller(issued(user=user)[1]).get("fleets")
    assert [row["name"] for row in answer.json()["results"]] == [fleet.name]


def test_nobody_is_let_in_and_is_told_how_to_come_in() -> None:
    answer = Caller().get("fleets")
    problem(answer, status=401, code="not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("text", ["nonsense", "prn_" + "0" * 64, "prn_ü" + "0" * 60, "x" * 5000, "a\x01b" * 10])
def test_a_made_up_token_is_refused_without_a_fault(text: str) -> None:
    answer = Caller(text.encode("utf-8").decode("latin-1")).get("fleets")
    problem(answer, status=401, code="token_invalid")


def test_an_expired_token_is_refused_and_stays_in_the_database_for_the_record() -> None:
    row, text = issued(user=factories.user(role="viewer"))
    ApiToken.objects.filter(pk=row.pk).update(expiry=timestamps.utc_now() - timedelta(seconds=1))
    problem(Caller(text).get("fleets"), status=401, code="token_expired")
    assert ApiToken.objects.filter(pk=row.pk).exists()


def test_a_revoked_token_is_refused_at_the_next_request() -> None:
    row, text = issued(user=factories.user(role="viewer"))
    assert Caller(text).get("fleets").status_code == 200
    row.delete()
    problem(Caller(text).get("fleets"), status=401, code="token_invalid")


def test_a_token_of_an_inactive_user_is_refused() -> None:
    user = factories.user(role="viewer")
    text = issued(user=user)[1]
    user.is_active = False
    user.save()
    problem(Caller(text).get("fleets"), status=401, code="token_invalid")


def test_a_token_acts_at_most_as_its_scope() -> None:
    approver = factories.user(role="approver")
    model = factories.registered_model()
    body = {"version": "1", "reason": "because"}
    address = f"models/{model.fleet.name}/{model.entity_key}/promote"
    problem(as_user(approver, scope="operator").post(address, body), status=403, code="permission_denied")
    problem(as_user(approver, scope="approver").post(address, body), status=404, code="version_unknown")


def test_a_scope_gives_nothing_that_the_user_does_not_have() -> None:
    viewer = factories.user(role="viewer")
    answer = as_user(viewer, scope="admin").post("runs", {"fleet": "x"})
    problem(answer, status=403, code="permission_denied")


def test_a_token_shows_only_its_own_tenants() -> None:
    user = factories.user(role="viewer", tenants=("acme", "globex"))
    factories.fleet(name="one", tenant="acme")
    factories.fleet(name="two", tenant="globex")
    names = [row["name"] for row in as_user(user, tenants=("globex", "initech")).get("fleets").json()["results"]]
    assert names == ["two"]


def test_the_last_use_is_noted_at_most_once_a_minute(django_assert_num_queries: Any) -> None:
    row, text = issued(user=factories.user(role="viewer"))
    Caller(text).get("fleets")
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    Caller(text).get("fleets")
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiToken.objects.filter(pk=row.pk).update(last_used_at=first - timedelta(minutes=2))
    Caller(text).get("fleets")
    row.refresh_from_db()
    assert row.last_used_at > first - timedelta(minutes=1)


def test_the_database_does_not_hold_what_opens_the_door() -> None:
    text = issued(user=factories.user(role="viewer"))[1]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM registry_apitoken t")
        dump = " ".join(row[0] for row in cursor.fetchall())
    assert text not in dump
    assert text.removeprefix("prn_") not in dump


@pytest.mark.parametrize(
    ("values", "field"),
    [({"scope": "root"}, "scope"), ({"days": 0}, "days"), ({"days": 100_000}, "days"), ({"label": " "}, "label")],
)
def test_a_token_that_makes_no_sense_is_not_made(values: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.Invalid) as refusal:
        issued(user=factories.user(), **values)
    assert refusal.value.field == field


def test_the_admin_session_of_a_person_opens_the_api_too() -> None:
    user = factories.user(role="viewer")
    browser = Caller()
    browser.http.force_login(user)
    assert browser.get("fleets").status_code == 200


def test_a_session_without_csrf_token_changes_nothing() -> None:
    user = factories.user(role="operator")
    browser = Caller()
    browser.http.handler.enforce_csrf_checks = True
    browser.http.force_login(user)
    problem(browser.post("runs", {"fleet": "x"}), status=403, code="permission_denied")


def test_answers_forbid_framing_sniffing_and_scripts() -> None:
    answer = caller(role="viewer").get("fleets")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "private, no-cache"
