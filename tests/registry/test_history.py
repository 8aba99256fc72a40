"""The ledger is append-only, its chain shows every tampering, and it answers who was champion when."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from registry import history, lifecycle
from registry.history import chains
from registry.models import Event, RegisteredModel
from registry.reports import Check
from tests import factories

pytestmark = pytest.mark.django_db
NOW = factories.NOW


@pytest.fixture
def registered_model() -> RegisteredModel:
    return factories.registered_model()


def line(registered_model: RegisteredModel, **values: Any) -> history.Line:
    given = {
        "kind": "test.thing.done",
        "actor": "a",
        "cause": "c",
        "at": NOW,
        "registered_model_id": registered_model.pk,
    }
    return history.Line(**{**given, **values})


def tamper(statement: str) -> None:
    """Change the ledger as one who owns the database could: without the trigger."""
    with connection.cursor() as cursor:
        # Waiting checks of foreign keys would stand in the way of ALTER TABLE.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE registry_event DISABLE TRIGGER registry_event_append_only")
        cursor.execute(statement)
        cursor.execute("ALTER TABLE registry_event ENABLE TRIGGER registry_event_append_only")


@pytest.mark.requirement("R14")
@pytest.mark.parametrize(
    "change",
    [
        lambda event: Event.objects.filter(pk=event.pk).update(reason="other"),
        lambda event: Event.objects.filter(pk=event.pk).delete(),
        lambda event: event.save(),
        lambda event: event.delete(),
    ],
)
def test_the_database_refuses_to_change_or_delete_a_line(
    registered_model: RegisteredModel, change: Callable[[Event], object]
) -> None:
    [event] = history.announce([line(registered_model)])
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        change(event)
    assert Event.objects.get().reason == ""


def test_lines_of_several_models_are_chained_each_by_itself(registered_model: RegisteredModel) -> None:
    other = factories.registered_model()
    events = history.announce([line(model) for model in (registered_model, other, registered_model, registered_model)])
    assert [event.count for event in events] == [1, 1, 2, 3]
    assert events[2].previous_hash == events[0].hash and events[1].previous_hash == ""
    assert all(event.pk for event in events)
    registered_model.refresh_from_db()
    assert (registered_model.ledger_count, registered_model.ledger_hash) == (3, events[3].hash)
    assert history.verify(registered_model) is None and history.verify(other) is None


def test_a_line_about_a_fleet_stands_in_no_chain() -> None:
    fleet = factories.fleet()
    history.announce([history.Line(kind="x.y.z", actor="a", cause="c", at=NOW, fleet_id=fleet.pk)])
    event = Event.objects.get()
    assert (event.fleet, event.registered_model, event.count, event.hash) == (fleet, None, 0, "")


def test_a_line_never_precedes_the_one_before_it(registered_model: RegisteredModel) -> None:
    history.announce([line(registered_model, at=NOW), line(registered_model, at=NOW - timedelta(hours=1))])
    history.announce([line(registered_model, at=NOW - timedelta(days=1))])
    history.announce([line(registered_model, at=NOW + timedelta(seconds=1))])
    stamps = Event.objects.order_by("count").values_list("at", flat=True)
    assert list(stamps) == [NOW, NOW, NOW, NOW + timedelta(seconds=1)]


def test_the_chain_holds_for_every_value_that_a_report_may_carry(registered_model: RegisteredModel) -> None:
    values = [-0.0, 1, 1e22, 1e-320, 0.1 + 0.2, None, -1.7976931348623157e308]
    checks = tuple(Check(rule="r", outcome="o", sentence="ä\n\\ \U0001f35e", value=value) for value in values)
    history.announce([line(registered_model, report=factories.gate_report(checks=checks), reason="„quoted“")])
    assert history.verify(registered_model) is None


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        ("UPDATE registry_event SET reason = 'other' WHERE count = 2", 2),
        ("UPDATE registry_event SET at = at + interval '1 microsecond' WHERE count = 1", 1),
        ("UPDATE registry_event SET actor = 'somebody' WHERE count = 3", 3),
        ("UPDATE registry_event SET fence = 9 WHERE count = 2", 2),
        ("UPDATE registry_event SET report = jsonb_set(report, '{verdict}', '\"failed\"') WHERE count = 2", 2),
        ("DELETE FROM registry_event WHERE count = 2", 2),
        ("DELETE FROM registry_event WHERE count = 3", 2),
        ("UPDATE registry_event SET count = count + 10 WHERE count = 3", 3),
        ("UPDATE registry_registeredmodel SET ledger_hash = repeat('0', 64)", 3),
    ],
)
@pytest.mark.requirement("R14")
def test_whoever_tampers_with_the_ledger_breaks_the_chain(
    registered_model: RegisteredModel, statement: str, count: int
) -> None:
    history.announce([line(registered_model, report=factories.gate_report()) for _ in range(3)])
    tamper(statement)
    found = history.verify(registered_model)
    assert found is not None and found.count == count and found.sentence


def test_a_champion_move_that_does_not_begin_where_the_last_ended_is_found(registered_model: RegisteredModel) -> None:
    first, second = (factories.version(registered_model=registered_model) for _ in range(2))
    move: dict[str, Any] = {"kind": history.PROMOTED, "from_id": None}
    history.announce([line(registered_model, to_id=version.pk, **move) for version in (first, second)])
    found = history.verify(registered_model)
    assert found is not None and found.count == 4 and str(first.pk) in found.sentence


@pytest.mark.requirement("R13")
@pytest.mark.requirement("R14")
def test_the_champion_at_any_time_is_known(registered_model: RegisteredModel) -> None:
    first = factories.champion(registered_model=registered_model, at=NOW)
    second = factories.champion(registered_model=registered_model, at=NOW + timedelta(days=1))
    lifecycle.roll_back(registered_model=registered_model, actor="o", reason="r", at=NOW + timedelta(days=2))
    factories.version(registered_model=registered_model, at=NOW + timedelta(days=3))
    hours = {-1: None, 0: first, 23: first, 24: second, 47: second, 48: first, 1000: first}
    found = {hour: history.champion_at(registered_model, NOW + timedelta(hours=hour)) for hour in hours}
    assert found == hours


def test_a_reader_goes_on_where_it_stopped(registered_model: RegisteredModel, django_user_model: type) -> None:
    # Inside one transaction nothing is settled yet: not even its own lines are given.
    history.announce([line(registered_model)])
    assert history.read(None, limit=10) == ([], history.Cursor())


@pytest.mark.django_db(transaction=True)
def test_a_cursor_pages_through_all_lines_once_and_by_tenant() -> None:
    models = [factories.registered_model(fleet=factories.fleet(tenant=tenant)) for tenant in ("acme", "other")]
    for _ in range(3):
        history.announce([line(registered_model) for registered_model in models])
    pages, cursor = [], None
    while True:
        events, cursor = history.read(cursor, limit=4)
        if not events:
            break
        pages.append([event.pk for event in events])
    assert [len(page) for page in pages] == [4, 2]
    assert pages[0] + pages[1] == list(Event.objects.order_by("pk").values_list("pk", flat=True))
    own, _ = history.read(None, limit=100, tenants=frozenset({"other"}))
    assert {event.registered_model_id for event in own} == {models[1].pk} and len(own) == 3
    assert history.read(None, limit=100, tenants=frozenset())[0] == []


@pytest.mark.django_db(transaction=True)
def test_a_cursor_waits_for_a_transaction_that_wrote_first_and_commits_last() -> None:
    slow, fast = factories.registered_model(), factories.registered_model()
    written, released = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            history.announce([line(slow)])
            written.set()
            released.wait(30)
        connection.close()

    thread = threading.Thread(target=write_slowly)
    thread.start()
    assert written.wait(30)
    history.announce([line(fast)])
    early, cursor = history.read(None, limit=10)
    released.set()
    thread.join(30)
    late, _ = history.read(cursor, limit=10)
    assert early == []
    assert [event.registered_model_id for event in late] == [slow.pk, fast.pk]


plain_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=12,
)


@given(plain=plain_json)
def test_a_report_is_hashed_as_it_will_be_read_back(plain: Any) -> None:
    read = chains.numbers_as_floats(json.dumps(plain))
    assert repr(chains.floats(plain)) == repr(read)
