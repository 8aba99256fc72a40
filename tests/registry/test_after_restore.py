"""A database that was restored into a younger server: its ledger refuses lines until it is told to go on."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from config import checks
from registry import history
from registry.history import restoring
from registry.models import Event, RegisteredModel
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def line(model: RegisteredModel) -> history.Line:
    return history.Line(kind="test.thing.done", actor="a", cause="c", at=NOW, registered_model_id=model.pk)


def pretend_restored(by: int = 10_000_000) -> None:
    """Leave lines as a server further on would have written them."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE registry_event DISABLE TRIGGER registry_event_append_only")
        cursor.execute("UPDATE registry_event SET txid = txid + %s", [by])
        cursor.execute("ALTER TABLE registry_event ENABLE TRIGGER registry_event_append_only")


@pytest.fixture
def model() -> RegisteredModel:
    model = factories.registered_model()
    history.announce([line(model)])
    return model


def finding() -> str:
    return next(each.state for each in checks.ready() if each.name == "ledger")


@pytest.mark.requirement("R14")
def test_no_line_is_written_behind_what_readers_have_read(model: RegisteredModel) -> None:
    assert (restoring.is_needed(), finding()) == (False, "ok")
    pretend_restored()
    assert (restoring.is_needed(), finding()) == (True, "failed")
    with pytest.raises(history.LedgerRestored, match="after_restore"), transaction.atomic():
        history.announce([line(model)])
    assert Event.objects.count() == 1


def test_the_database_itself_refuses_such_a_line(model: RegisteredModel) -> None:
    pretend_restored(by=1_000)
    with pytest.raises(Exception, match="after_restore"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO registry_event (registered_model_id, kind, actor, cause, reason, fence, at, count, "
            "previous_hash, hash) VALUES (%s, 'k', 'a', 'c', '', 0, now(), 9, '', '')",
            [model.pk],
        )


def test_afterwards_new_lines_lie_beyond_all_that_anybody_can_have_read(model: RegisteredModel) -> None:
    pretend_restored()
    before = Event.objects.get()
    call_command("after_restore", stdout=None)
    assert (restoring.is_needed(), finding()) == (False, "ok")
    history.announce([line(model)])
    after = Event.objects.latest("pk")
    assert after.txid - before.txid >= restoring.GAP
    assert Event.objects.earliest("pk").txid == before.txid
    assert history.verify(model) is None
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        Event.objects.update(txid=1)


def test_telling_it_twice_or_without_need_does_no_harm(model: RegisteredModel) -> None:
    first = restoring.go_on()
    history.announce([line(model)])
    second = restoring.go_on()
    history.announce([line(model)])
    assert first < second
    numbers = list(Event.objects.order_by("pk").values_list("txid", flat=True))
    assert numbers == sorted(set(numbers))
