"""Idempotency-Key: one intent, one effect, however often and however many at once it is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from registry import timestamps
from registry.models import Event, Fleet, IdempotencyKey
from tests import factories
from tests.rest_client import Caller, as_user, caller, problem
from training.models import Batch

pytestmark = pytest.mark.usefixtures("roles")


@pytest.fixture
def bakery(db: None) -> Fleet:
    fleet = factories.fleet(name="bakery")
    factories.policy(fleet=fleet)
    factories.registered_model(fleet=fleet, entity_key="bread")
    factories.registered_model(fleet=fleet, entity_key="roll")
    return fleet


@pytest.mark.django_db
def test_the_same_request_again_gets_the_same_answer_and_starts_nothing(bakery: Fleet) -> None:
    operator = caller(role="operator")
    first = operator.post("runs", {"fleet": "bakery", "entity": "bread"}, key="k1")
    second = operator.post("runs", {"entity": "bread", "fleet": "bakery"}, key="k1")
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json() == first.json()
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert Batch.objects.count() == 1


@pytest.mark.django_db
def test_another_body_with_the_key_is_a_conflict(bakery: Fleet) -> None:
    operator = caller(role="operator")
    operator.post("runs", {"fleet": "bakery", "entity": "bread"}, key="k1")
    problem(
        operator.post("runs", {"fleet": "bakery", "entity": "roll"}, key="k1"),
        status=409,
        code="idempotency_key_reused",
    )
    assert Batch.objects.count() == 1


@pytest.mark.django_db
def test_the_key_of_another_user_or_another_token_is_no_key_of_mine(bakery: Fleet) -> None:
    user = factories.user(role="operator")
    body = {"fleet": "bakery", "entity": "bread"}
    as_user(user).post("runs", body, key="k1")
    problem(as_user(user).post("runs", body, key="k1"), status=409, code="idempotency_key_reused")
    assert caller(role="operator").post("runs", {"fleet": "bakery", "entity": "roll"}, key="k1").status_code == 202


@pytest.mark.django_db
def test_a_request_that_failed_may_be_sent_again_with_its_key(bakery: Fleet) -> None:
    operator = caller(role="operator")
    body = {"fleet": "bakery", "entity": "cake"}
    problem(operator.post("runs", body, key="k1"), status=404, code="entity_unknown")
    factories.registered_model(fleet=bakery, entity_key="cake")
    assert operator.post("runs", body, key="k1").status_code == 202


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["x" * 129, "two words", "é"])
def test_a_key_outside_its_bounds_is_refused(bakery: Fleet, key: str) -> None:
    problem(caller(role="operator").post("runs", {"fleet": "bakery"}, key=key), status=400, code="invalid")
    assert not Batch.objects.exists()


@pytest.mark.django_db
def test_an_old_key_is_forgotten(bakery: Fleet) -> None:
    operator = caller(role="operator")
    body = {"fleet": "bakery", "entity": "bread"}
    operator.post("runs", body, key="k1")
    IdempotencyKey.objects.update(created_at=timestamps.utc_now() - timedelta(days=2))
    operator.post("runs", body, key="k1")
    assert Batch.objects.count() == 2


@pytest.mark.django_db
def test_a_promotion_that_is_sent_twice_happens_once(bakery: Fleet) -> None:
    model = bakery.registered_models.get(entity_key="bread")
    factories.champion(registered_model=model)
    version = factories.version(registered_model=model)
    approver = caller(role="approver")
    body = {"version": str(version.pk), "reason": "better on holidays"}
    answers = [approver.post("models/bakery/bread/promote", body, key="k1").json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert Event.objects.filter(kind="registry.champion.promoted", to_version=version).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("S07")
def test_of_many_requests_at_once_with_one_key_one_starts_work(bakery: Fleet) -> None:
    user = factories.user(role="operator")
    operator = as_user(user)
    operator.get("fleets")
    headers = operator.http.defaults

    def send(_: int) -> Any:
        each = Caller()
        each.http.defaults = headers
        try:
            return each.post("runs", {"fleet": "bakery"}, key="storm")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(24)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["batch"]["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert Batch.objects.count() == 1
