"""Twelve promoters, a poller and a cursor reader at once, on committed transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from registry import history, lifecycle
from registry.lifecycle import Move
from registry.models import Event, ModelVersion, RegisteredModel
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
NOW = factories.NOW
DEADLINE_SECONDS = 60.0


class Crew:
    """Threads with connections of their own; an error in one is an error of the test."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.threads: list[threading.Thread] = []

    def start(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                self.errors.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=guarded, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def join(self, *threads: threading.Thread) -> None:
        for thread in threads or self.threads:
            thread.join(timeout=DEADLINE_SECONDS)
            assert not thread.is_alive(), "a thread did not end"
        if self.errors:
            raise self.errors[0]


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew()
    yield made
    made.join()


@contextmanager
def champions_polled(crew: Crew, registered_model: RegisteredModel) -> Iterator[list[int]]:
    """Count, again and again, the versions that are champion of the model."""
    counts: list[int] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            counts.append(ModelVersion.objects.filter(pk__in=champion_ids(registered_model)).count())

    thread = crew.start(poll)
    yield counts
    done.set()
    crew.join(thread)


def champion_ids(registered_model: RegisteredModel) -> QuerySet[RegisteredModel, Any]:
    return RegisteredModel.objects.filter(pk=registered_model.pk).values("champion_id")


@contextmanager
def events_followed(crew: Crew) -> Iterator[list[int]]:
    """Read the ledger by cursor while others write; after the block, to its end."""
    seen: list[int] = []
    done = threading.Event()

    def follow() -> None:
        cursor = None
        while True:
            ending = done.is_set()
            events, cursor = history.read(cursor, limit=7)
            seen.extend(event.pk for event in events)
            if ending and not events:
                return

    thread = crew.start(follow)
    yield seen
    done.set()
    crew.join(thread)


def promote_until_placed(version: ModelVersion) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        expected = RegisteredModel.objects.values_list("champion_id", flat=True).get(pk=version.registered_model_id)
        move = Move(registered_model_id=version.registered_model_id, version_id=version.pk, expected_id=expected)
        if lifecycle.promote([move], actor="thread", cause="gate", at=NOW).placed:
            return
    raise AssertionError("never placed")


@pytest.mark.requirement("R06")
@pytest.mark.requirement("R07")
@pytest.mark.requirement("R26")
def test_twelve_threads_promote_and_a_reader_always_sees_one_champion(crew: Crew) -> None:
    registered_model = factories.registered_model()
    other = factories.registered_model()
    factories.champion(registered_model=registered_model)
    versions = [factories.version(registered_model=registered_model) for _ in range(12)]
    written, released = threading.Event(), threading.Event()

    def commit_late() -> None:
        with transaction.atomic():
            factories.version(registered_model=other)
            written.set()
            assert released.wait(DEADLINE_SECONDS)

    with champions_polled(crew, registered_model) as counts, events_followed(crew) as seen:
        slow = crew.start(commit_late)
        assert written.wait(DEADLINE_SECONDS)
        crew.join(*(crew.start(promote_until_placed, version) for version in versions))
        # The slow transaction wrote before all of them, and commits after all of them.
        released.set()
        crew.join(slow)

    assert set(counts) == {1} and len(counts) > 12
    assert sorted(seen) == sorted(Event.objects.values_list("pk", flat=True))
    assert len(seen) == len(set(seen)) == 1 + 1 + 12 + 12 + 1
    assert_unbroken(registered_model, promotions=13)


def assert_unbroken(registered_model: RegisteredModel, *, promotions: int) -> None:
    moves = list(Event.objects.filter(registered_model=registered_model, kind=history.PROMOTED).order_by("count"))
    assert len(moves) == promotions
    assert moves[0].from_version_id is None
    assert [move.from_version_id for move in moves[1:]] == [move.to_version_id for move in moves[:-1]]
    assert [move.fence for move in moves] == list(range(1, promotions + 1))
    registered_model.refresh_from_db()
    assert registered_model.champion_id == moves[-1].to_version_id
    assert history.verify(registered_model) is None


@pytest.mark.requirement("R26")
def test_of_twelve_promoters_with_the_same_expectation_one_places(crew: Crew) -> None:
    registered_model = factories.registered_model()
    versions = [factories.version(registered_model=registered_model) for _ in range(12)]
    start = threading.Barrier(12)
    placed: list[object] = []

    def promote(version: ModelVersion) -> None:
        start.wait(DEADLINE_SECONDS)
        move = Move(registered_model_id=registered_model.pk, version_id=version.pk, expected_id=None)
        placed.extend(lifecycle.promote([move], actor="thread", cause="gate", at=NOW).placed)

    crew.join(*(crew.start(promote, version) for version in versions))
    registered_model.refresh_from_db()
    assert placed == [registered_model.champion_id]
    assert_unbroken(registered_model, promotions=1)


@pytest.mark.requirement("R02")
@pytest.mark.requirement("R26")
def test_registrations_from_many_threads_are_numbered_without_a_gap(crew: Crew) -> None:
    registered_model = factories.registered_model()

    def register() -> None:
        for _ in range(5):
            factories.version(registered_model=registered_model)

    crew.join(*(crew.start(register) for _ in range(8)))
    numbers = ModelVersion.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == list(range(1, 41))
    assert history.verify(registered_model) is None


@pytest.mark.requirement("R26")
def test_calls_over_the_same_models_in_opposite_order_do_not_deadlock(crew: Crew) -> None:
    models = [factories.registered_model() for _ in range(10)]
    rounds = [
        [factories.version(registered_model=registered_model) for registered_model in ordered]
        for ordered in (models, models[::-1], models, models[::-1])
    ]
    start = threading.Barrier(len(rounds))

    def promote(versions: list[ModelVersion]) -> None:
        start.wait(DEADLINE_SECONDS)
        for _ in range(5):
            moves = [
                Move(registered_model_id=version.registered_model_id, version_id=version.pk, expected_id=None)
                for version in versions
            ]
            lifecycle.promote(moves, actor="thread", cause="gate", at=NOW)

    crew.join(*(crew.start(promote, versions) for versions in rounds))
    for registered_model in models:
        assert_unbroken(registered_model, promotions=1)


@pytest.mark.requirement("R07")
def test_a_promotion_that_waited_for_another_compares_with_what_that_one_left(crew: Crew) -> None:
    registered_model = factories.registered_model()
    first, second = (factories.version(registered_model=registered_model) for _ in range(2))
    results: list[lifecycle.Placed] = []

    def promote() -> None:
        move = Move(registered_model_id=registered_model.pk, version_id=second.pk, expected_id=None)
        results.append(lifecycle.promote([move], actor="thread", cause="gate", at=NOW))

    with transaction.atomic():
        move = Move(registered_model_id=registered_model.pk, version_id=first.pk, expected_id=None)
        lifecycle.promote([move], actor="main", cause="gate", at=NOW + timedelta(hours=1))
        waiting = crew.start(promote)
        wait_until_one_waits_for_a_lock()
    crew.join(waiting)
    assert results[0].overtaken == {second.pk}
    assert_unbroken(registered_model, promotions=1)


@pytest.mark.requirement("R26")
def test_a_line_that_waited_for_another_is_chained_and_timed_after_it(crew: Crew) -> None:
    registered_model = factories.registered_model()

    def announce() -> None:
        line = history.Line(kind="x", actor="late", cause="c", at=NOW, registered_model_id=registered_model.pk)
        history.announce([line])

    with transaction.atomic():
        line = history.Line(
            kind="x", actor="early", cause="c", at=NOW + timedelta(hours=1), registered_model_id=registered_model.pk
        )
        history.announce([line])
        waiting = crew.start(announce)
        wait_until_one_waits_for_a_lock()
    crew.join(waiting)
    lines = Event.objects.order_by("count").values_list("actor", "count", "at")
    assert list(lines) == [("early", 1, NOW + timedelta(hours=1)), ("late", 2, NOW + timedelta(hours=1))]
    assert history.verify(registered_model) is None


def wait_until_one_waits_for_a_lock() -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            # Not pg_stat_activity: a transaction sees one and the same picture of it to its end.
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nothing waits for a lock")
