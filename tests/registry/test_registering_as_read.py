"""A registration of a model that was just read takes no lock, and is what one with a lock would have been."""

from __future__ import annotations

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from registry import history, lifecycle
from registry.lifecycle import Registration
from registry.models import Event, ModelVersion, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry.test_races import Crew, crew

__all__ = ["crew"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> RegisteredModel:
    return factories.registered_model()


def read(model: RegisteredModel) -> RegisteredModel:
    return RegisteredModel.objects.get(pk=model.pk)


def item(model: RegisteredModel) -> Registration:
    return factories.registration(registered_model=model)


def register(head: RegisteredModel, wanted: Registration | None = None) -> ModelVersion:
    return lifecycle.register_as_read(wanted or item(head), head, actor="ada", cause="registration", at=NOW)[0]


def test_one_statement_writes_row_line_and_counters(
    model: RegisteredModel, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    wanted, head = item(model), read(model)
    with django_assert_num_queries(1):
        made = register(head, wanted)
    assert ModelVersion.objects.get() == made and not made._state.adding
    after = read(model)
    assert (made.number, after.last_number, after.ledger_count, after.last_version_at) == (1, 1, 1, made.created_at)
    line = Event.objects.get()
    assert (line.to_version_id, line.kind, line.actor, line.cause) == (
        made.pk,
        "registry.version.registered",
        "ada",
        "registration",
    )
    assert history.verify(model) is None


def test_the_head_that_was_read_stays_as_it_was_read(model: RegisteredModel) -> None:
    head = read(model)
    register(head)
    assert (head.last_number, head.ledger_count) == (0, 0)


def test_where_the_chain_has_moved_on_the_version_comes_after_what_moved_it(model: RegisteredModel) -> None:
    old = read(model)
    first = factories.champion(registered_model=model)
    made = register(old)
    assert (first.number, made.number, read(model).ledger_count) == (1, 2, 3)
    assert history.verify(model) is None


def test_where_the_fence_has_moved_on_the_line_has_the_new_one(model: RegisteredModel) -> None:
    old = read(model)
    RegisteredModel.objects.filter(pk=model.pk).update(fence=7)
    register(old)
    assert Event.objects.get().fence == 7


def test_an_id_that_is_taken_registers_nothing(model: RegisteredModel) -> None:
    taken = factories.version(registered_model=factories.registered_model())
    wanted = factories.registration(registered_model=model, version_id=taken.pk)
    with pytest.raises(lifecycle.VersionIdTaken, match=str(taken.pk)):
        register(read(model), wanted)
    assert (read(model).last_number, ModelVersion.objects.count()) == (0, 1)
    assert history.verify(model) is None


def test_within_a_transaction_what_is_refused_leaves_the_rest_of_it(model: RegisteredModel) -> None:
    taken = factories.version(registered_model=factories.registered_model())
    wanted = factories.registration(registered_model=model, version_id=taken.pk)
    with transaction.atomic():
        with pytest.raises(lifecycle.VersionIdTaken):
            register(read(model), wanted)
        made = register(read(model))
    assert (made.number, history.verify(model)) == (1, None)


def test_many_at_once_are_numbered_without_a_gap(model: RegisteredModel, crew: Crew) -> None:
    def work() -> None:
        for _ in range(5):
            register(read(model))

    crew.join(*(crew.start(work) for _ in range(8)))
    numbers = ModelVersion.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == list(range(1, 41))
    assert history.verify(model) is None
