"""Policies and sources over HTTP: when they fire next, and the switch that people have."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests import factories
from tests.rest_client import caller, problem
from training.models import RetrainingPolicy, Snapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


@pytest.fixture
def policy() -> RetrainingPolicy:
    fleet = factories.fleet(name="bakery")
    return factories.policy(fleet=fleet, name="nightly", cron="30 18 * * *", time_zone="Asia/Colombo")


@pytest.mark.requirement("S01")
def test_a_policy_shows_its_cron_zone_and_next_three_slots(policy: RetrainingPolicy) -> None:
    body = caller(role="viewer").get("policies/bakery/nightly").json()
    assert (body["policy"]["cron"], body["policy"]["time_zone"]) == ("30 18 * * *", "Asia/Colombo")
    slots = [datetime.fromisoformat(text) for text in body["next_slots"]]
    assert len(slots) == 3
    assert slots == sorted(slots)
    assert {(slot.hour, slot.minute) for slot in slots} == {(13, 0)}
    assert slots[0] > datetime.now(UTC)


@pytest.mark.requirement("S01")
def test_an_operator_pauses_and_resumes(policy: RetrainingPolicy) -> None:
    operator = caller(role="operator")
    paused = operator.post("policies/bakery/nightly/pause").json()
    assert paused["policy"]["paused"] is True
    assert paused["next_slots"] == []
    policy.refresh_from_db()
    assert policy.paused
    resumed = operator.post("policies/bakery/nightly/resume").json()
    assert resumed["policy"]["paused"] is False
    assert resumed["policy"]["next_due_at"] == resumed["next_slots"][0]


def test_a_viewer_pauses_nothing(policy: RetrainingPolicy) -> None:
    problem(caller(role="viewer").post("policies/bakery/nightly/pause"), status=403, code="permission_denied")


def test_policies_are_listed_and_filtered(policy: RetrainingPolicy) -> None:
    other = factories.fleet(name="solar")
    factories.policy(fleet=other, name="hourly")
    viewer = caller(role="viewer")
    assert [row["name"] for row in viewer.get("policies").json()["results"]] == ["nightly", "hourly"]
    assert [row["name"] for row in viewer.get("policies", fleet="solar").json()["results"]] == ["hourly"]
    address = viewer.get("policies").json()["results"][0]["url"]
    assert viewer.get(address).json()["policy"]["name"] == "nightly"


def test_an_unknown_policy_is_404_and_a_malformed_name_400(policy: RetrainingPolicy) -> None:
    viewer = caller(role="viewer")
    problem(viewer.get("policies/bakery/weekly"), status=404, code="policy_unknown")
    problem(viewer.get("policies/bakery/WEEKLY"), status=400, code="malformed")


def test_a_source_shows_what_was_last_read_but_not_where(policy: RetrainingPolicy) -> None:
    source = factories.source(name="sales", path="/secret/place/sales.csv")
    Snapshot.objects.create(source=source, digest="a" * 64, rows=10, entities=2, location="snapshots/x")
    viewer = caller(role="viewer")
    body = viewer.get("sources/sales").json()
    assert body["columns"]["target"] == "sold"
    assert (body["snapshot"]["digest"], body["snapshot"]["rows"]) == ("a" * 64, 10)
    assert "/secret/place" not in str(body)
    assert "sales" in [row["name"] for row in viewer.get("sources", tenant="acme").json()["results"]]


def test_a_source_name_that_two_tenants_use_asks_for_the_tenant() -> None:
    for tenant in ("acme", "globex"):
        factories.source(tenant=tenant, name="sales")
    both = caller(role="viewer", tenants=("acme", "globex"))
    problem(both.get("sources/sales"), status=409, code="source_ambiguous")
    assert both.get("sources/sales", tenant="globex").json()["tenant"] == "globex"
    problem(caller(role="viewer").get("sources/sales", tenant="globex"), status=404, code="source_unknown")
