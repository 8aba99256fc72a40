"""The state machine of runs and chunks: who may take what, and what a stale worker can no longer do."""

from __future__ import annotations

import contextlib
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from tests import factories
from tests.training.daily import REASON, Daily, daily
from tests.training.settings_of import training
from training import carrying, chunks, claimed, clock, outcomes, runs, stalled, turns, workers
from training.models import Batch, Chunk, TrainingRun, Worker
from training.outcomes import Outcome

State = TrainingRun.State


@pytest.fixture
def known(db: None, tmp_path: Path) -> Daily:
    """A fleet of three whose models are registered, none trained."""
    made = daily(tmp_path)
    for entity in ("a", "b", "c"):
        factories.registered_model(fleet=made.fleet, entity_key=entity)
    return made


def claim_of(batch: Batch, *, worker: str = "one") -> chunks.Claim:
    """Take and claim the only chunk of a batch."""
    [ticket] = chunks.take(limit=10, batch=batch)
    claim = chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker=worker)
    assert claim is not None
    return claim


def expire(claim: chunks.Claim) -> None:
    """Let the lease lapse, as it does for a worker that was silent."""
    Chunk.objects.filter(pk=claim.chunk_id).update(lease_until=Now() - timedelta(seconds=1))


def states(batch: Batch) -> dict[str, str]:
    return dict(TrainingRun.objects.filter(batch=batch).values_list("registered_model__entity_key", "state"))


def ended(run: TrainingRun, state: str = State.SUCCEEDED) -> Outcome:
    return Outcome(run_id=run.pk, state=state, sentence="Done.")


@pytest.mark.requirement("S05")
def test_a_request_writes_a_queued_run_for_each_model_and_nothing_else(known: Daily) -> None:
    batch = known.request("a", "b", queue="interactive")
    assert states(batch) == {"a": State.QUEUED, "b": State.QUEUED}
    assert Chunk.objects.filter(batch=batch, state=Chunk.State.QUEUED).exists()
    assert TrainingRun.objects.filter(batch=batch)[0].reasons == (REASON,)


def test_an_unknown_entity_is_named_and_nothing_is_written(known: Daily) -> None:
    with pytest.raises(runs.EntityUnknown, match="'nowhere'"):
        known.request("a", "nowhere")
    assert not Batch.objects.exists()


@pytest.mark.requirement("S06")
def test_a_request_that_meets_an_open_run_is_skipped_names_it_and_hands_it_its_reason(known: Daily) -> None:
    first = TrainingRun.objects.get(batch=known.request("a", queue="training"))
    second = TrainingRun.objects.get(batch=known.request("a", queue="training"))
    first.refresh_from_db()
    assert (second.state, second.code, second.joined) == (State.SKIPPED, "joined", first)
    assert first.reasons == (REASON, REASON)


@pytest.mark.requirement("S09")
def test_an_inline_request_that_meets_an_open_run_is_skipped_as_locked(known: Daily) -> None:
    known.request("a", queue="training")
    assert TrainingRun.objects.get(batch=known.request("a", queue="inline")).code == "locked"


def test_a_paused_model_is_skipped_and_says_so(known: Daily) -> None:
    known.fleet.registered_models.filter(entity_key="a").update(state="paused")
    batch = known.request("a", "b")
    run = TrainingRun.objects.get(batch=batch, registered_model__entity_key="a")
    assert (run.state, run.code) == (State.SKIPPED, "paused")


def test_a_ticket_can_be_claimed_once(known: Daily) -> None:
    [ticket] = chunks.take(limit=1, batch=known.request("a", queue="training"))
    assert chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")
    assert chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="two") is None


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_that_claim_at_once_one_gets_the_chunk(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    factories.registered_model(fleet=fleet.fleet, entity_key="a")
    [ticket] = chunks.take(limit=1, batch=fleet.request("a", queue="training"))
    start, claims = threading.Barrier(8), []

    def claim(name: str) -> None:
        start.wait(timeout=10)
        claims.append(chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker=name))
        connection.close()

    threads = [threading.Thread(target=claim, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(claims) == 8
    assert sum(claim is not None for claim in claims) == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_one_opens_the_run_and_the_others_join_it(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    factories.registered_model(fleet=fleet.fleet, entity_key="a")
    start = threading.Barrier(6)

    def ask() -> None:
        start.wait(timeout=10)
        fleet.request("a", queue="training")
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    found = list(TrainingRun.objects.values_list("state", "code"))
    assert sorted(found) == [("queued", "")] + [("skipped", "joined")] * 5


def test_the_second_dispatcher_finds_nothing_to_take(known: Daily) -> None:
    batch = known.request("a", queue="training")
    assert len(chunks.take(limit=10)) == 1
    assert chunks.take(limit=10) == []
    assert states(batch) == {"a": State.DISPATCHED}


def test_the_dispatcher_leaves_the_runs_of_a_large_chunk_as_they_are_and_they_are_claimed_all_the_same(
    known: Daily,
) -> None:
    batch = known.request("a", queue="training")
    Chunk.objects.filter(batch=batch).update(size=chunks.MARKED_RUNS + 1)
    [ticket] = chunks.take(limit=10)
    assert states(batch) == {"a": State.QUEUED}
    assert chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")
    assert states(batch) == {"a": State.RUNNING}


def test_a_chunk_is_not_taken_before_its_time(known: Daily) -> None:
    batch = known.request("a", queue="training")
    Chunk.objects.filter(batch=batch).update(not_before=Now() + timedelta(hours=1))
    assert chunks.take(limit=10) == []


def test_the_dispatcher_hands_out_no_more_than_the_workers_can_soon_begin(known: Daily, settings: Any) -> None:
    training(settings, chunk_runs=1)
    for entity in "defghijkl":
        factories.registered_model(fleet=known.fleet, entity_key=entity)
    known.request(*"abcdefghijkl", queue="training")
    assert Chunk.objects.count() == 12
    assert len(chunks.due(limit=100)) == chunks.ROOM
    assert chunks.due(limit=100) == []
    Worker.objects.create(
        name="w", host="h", pid=1, queues=["training"], slots=1, started_at=clock.now(), seen_at=clock.now()
    )
    assert len(chunks.due(limit=100)) == chunks.ROOM


def test_of_long_chunks_no_more_are_handed_out_than_one_for_each_slot_and_one_more(known: Daily, settings: Any) -> None:
    training(settings, chunk_runs=1)
    for entity in "defgh":
        factories.registered_model(fleet=known.fleet, entity_key=entity)
    known.request(*"abcdefgh", queue="training")
    Worker.objects.create(
        name="w", host="h", pid=1, queues=["training"], slots=2, started_at=clock.now(), seen_at=clock.now()
    )
    Chunk.objects.update(expected_seconds=20.0)
    assert len(chunks.due(limit=100)) == 3
    assert chunks.due(limit=100) == []
    Chunk.objects.filter(state=Chunk.State.QUEUED).update(expected_seconds=0.1)
    Chunk.objects.filter(state=Chunk.State.DISPATCHED).update(state=Chunk.State.RUNNING)
    assert len(chunks.due(limit=100)) == 5


def test_what_a_person_waits_for_is_handed_out_before_a_backlog(known: Daily) -> None:
    known.request("a", "b", queue="training")
    known.request("c", queue="interactive")
    assert chunks.due(limit=100)[0].queue == "interactive"


def test_a_live_inline_command_keeps_its_waiting_chunks(known: Daily) -> None:
    batch = known.request("a", "b", "c", queue="inline")
    [ticket] = chunks.take(limit=1, batch=batch)
    claim = chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="inline")
    assert claim is not None
    Chunk.objects.filter(batch=batch).update(created_at=Now() - timedelta(hours=1))
    chunks.beat(claim)
    stalled.sweep()
    assert set(Chunk.objects.filter(batch=batch).values_list("queue", flat=True)) == {"inline"}


@pytest.mark.requirement("S09")
def test_what_a_dead_inline_command_left_is_carried_on_by_the_next(known: Daily) -> None:
    batch = known.request("a", "b", "c", queue="inline")
    expire(claimed_first(batch))
    Chunk.objects.filter(batch=batch).update(created_at=Now() - timedelta(hours=1))
    carrying.resume(worker="next")
    Chunk.objects.filter(batch=batch).update(created_at=Now() - timedelta(hours=1))
    carrying.resume(worker="next")
    assert set(states(batch).values()) == {State.SUCCEEDED}


def claimed_first(batch: Batch) -> chunks.Claim:
    """Claim the first of several chunks."""
    [ticket] = chunks.take(limit=1, batch=batch)
    claim = chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")
    assert claim is not None
    return claim


def test_chunks_of_inline_requests_are_left_to_their_command(known: Daily) -> None:
    known.request("a", queue="inline")
    assert chunks.take(limit=10) == []


def test_a_message_that_the_broker_refused_is_queued_again_and_its_old_ticket_is_dead(known: Daily) -> None:
    batch = known.request("a", queue="training")
    [ticket] = chunks.take(limit=1)
    chunks.put_back([ticket])
    assert states(batch) == {"a": State.QUEUED}
    [again] = chunks.take(limit=1)
    assert chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="late") is None
    assert chunks.claim(chunk_id=again.chunk_id, attempt=again.attempt, worker="one")


def test_a_message_that_nobody_claims_is_published_again(known: Daily) -> None:
    known.request("a", queue="training")
    [ticket] = chunks.take(limit=1)
    Chunk.objects.filter(pk=ticket.chunk_id).update(dispatched_at=Now() - timedelta(seconds=121))
    stalled.sweep()
    [again] = chunks.take(limit=1)
    assert (again.chunk_id, again.attempt) == (ticket.chunk_id, ticket.attempt + 1)


@pytest.mark.requirement("S06")
def test_a_lost_chunk_comes_back_as_two_halves_and_its_committed_runs_stay(known: Daily) -> None:
    claim = _one_chunk(known)
    a, b, c = claimed.runs(claim)
    assert outcomes.held(claim, [a.pk]) == {a.pk}
    outcomes.close([ended(a)], at=clock.now())
    expire(claim)
    stalled.sweep()
    assert states(a.batch) == {"a": State.SUCCEEDED, "b": State.QUEUED, "c": State.QUEUED}
    halves = Chunk.objects.filter(batch=a.batch, state=Chunk.State.QUEUED)
    assert sorted(half.runs.count() for half in halves) == [1, 1]
    assert not TrainingRun.objects.filter(pk__in=[b.pk, c.pk], losses__gt=0).exists()


def _one_chunk(known: Daily, *entities: str) -> chunks.Claim:
    """Three runs or more in one chunk, whatever the number of slots would make of them."""
    batch = known.request(*(entities or "abc"), queue="training")
    keep = Chunk.objects.filter(batch=batch).order_by("id")[0]
    TrainingRun.objects.filter(batch=batch).update(chunk=keep)
    Chunk.objects.filter(batch=batch).exclude(pk=keep.pk).delete()
    return claim_of(batch)


def test_the_halves_of_a_chunk_are_expected_to_take_half_as_long(known: Daily) -> None:
    for entity in "defghijklmnopqrstuvwxyz":
        factories.registered_model(fleet=known.fleet, entity_key=entity)
    claim = _one_chunk(known, *"abcdefghijklmnopqrstuvwxyz")
    Chunk.objects.filter(pk=claim.chunk_id).update(size=26, expected_seconds=26.0)
    expire(claim)
    stalled.sweep()
    halves = Chunk.objects.filter(state=Chunk.State.QUEUED)
    assert [(half.runs.count(), half.size, half.expected_seconds) for half in halves] == [(13, 13, 13.0)] * 2


def test_a_batch_is_counted_anew_when_its_last_chunk_has_ended_and_not_before(known: Daily, settings: Any) -> None:
    training(settings, chunk_runs=1)
    batch = known.request("a", "b", queue="training")
    first, second = Chunk.objects.filter(batch=batch).order_by("id")
    TrainingRun.objects.filter(batch=batch).update(state=State.CANCELLED)
    for chunk, state in ((first, Batch.State.OPEN), (second, Batch.State.DONE)):
        Chunk.objects.filter(pk=chunk.pk).update(state=Chunk.State.DONE)
        chunks.settle(batch.pk)
        batch.refresh_from_db()
        assert batch.state == state
    assert batch.counts == {"cancelled": 2}


def test_the_workers_of_a_batch_count_it_where_nobody_did_for_a_while(known: Daily) -> None:
    batch = known.request("a", "b", queue="training")
    TrainingRun.objects.filter(batch=batch, registered_model__entity_key="a").update(state=State.CANCELLED)
    chunks.progressed(batch.pk)
    batch.refresh_from_db()
    assert batch.counts == {"queued": 2}
    Batch.objects.update(counted_at=Now() - timedelta(seconds=chunks.COUNT_SECONDS + 1))
    chunks.progressed(batch.pk)
    batch.refresh_from_db()
    assert batch.counts == {"cancelled": 1, "queued": 1}


def test_the_loss_of_a_run_alone_is_charged_and_the_third_quarantines_it(known: Daily) -> None:
    batch = known.request("a", queue="training")
    for loss in (1, 2, 3):
        expire(claim_of(batch))
        stalled.sweep()
        assert TrainingRun.objects.get(batch=batch).losses == loss
    run = TrainingRun.objects.get(batch=batch)
    assert (run.state, run.code, run.attempt) == (State.FAILED, "quarantined", 3)
    assert "3 workers" in run.sentence and run.next_step
    batch.refresh_from_db()
    assert batch.state == Batch.State.DONE


def test_a_live_lease_is_left_alone(known: Daily) -> None:
    claim = claim_of(known.request("a", queue="training"))
    stalled.sweep()
    assert chunks.beat(claim)


@pytest.mark.requirement("S06")
def test_what_a_dead_child_had_in_hand_comes_back_at_once_and_that_of_others_does_not(known: Daily) -> None:
    dead, other = (claim_of(known.request(entity, queue="training"), worker=f"host:{entity}") for entity in "ab")
    assert stalled.bereave(["host:a", "host:long-ago"]) == set()
    assert chunks.beat(other) and not chunks.beat(dead)
    again = Chunk.objects.get(state=Chunk.State.QUEUED)
    assert [run.registered_model.entity_key for run in again.runs.all()] == ["a"]


def test_the_turn_of_a_dead_child_to_read_the_source_is_over_with_it(known: Daily) -> None:
    batch = known.request("a", queue="training")
    claim = claim_of(batch, worker=workers.name_of(os.getpid()))
    with turns.take(batch.pk) as turn:
        assert turn.owned()
        stalled.bereave(["host:of-another"])
        assert turn.owned()
        stalled.bereave([claim.worker])
        assert not turn.owned()


@pytest.mark.django_db(transaction=True)
def test_a_dead_child_whose_chunk_is_still_locked_is_to_be_asked_for_again(tmp_path: Path) -> None:
    fleet = daily(tmp_path)
    factories.registered_model(fleet=fleet.fleet, entity_key="a")
    claim = claim_of(fleet.request("a", queue="training"))
    last_breath = connection.copy()
    last_breath.set_autocommit(False)
    with contextlib.closing(last_breath), last_breath.cursor() as cursor:
        cursor.execute("SELECT FROM training_chunk WHERE id = %s FOR UPDATE", [claim.chunk_id])
        assert stalled.bereave([claim.worker]) == {claim.worker}
    assert stalled.bereave([claim.worker]) == set()


def test_a_worker_that_wakes_up_late_can_neither_beat_nor_close_nor_end(known: Daily) -> None:
    batch = known.request("a", queue="training")
    late = claim_of(batch)
    [run] = claimed.runs(late)
    expire(late)
    stalled.sweep()
    now = claim_of(batch)
    assert not chunks.beat(late)
    with pytest.raises(chunks.LeaseLost):
        outcomes.held(late, [run.pk])
    with pytest.raises(chunks.LeaseLost):
        chunks.done(late)
    assert outcomes.held(now, [run.pk]) == {run.pk}


def test_a_fence_of_a_lost_chunk_never_matches_again(known: Daily) -> None:
    batch = known.request("a", queue="training")
    late = claim_of(batch)
    expire(late)
    stalled.sweep()
    assert claim_of(batch).fence > late.fence


@pytest.mark.parametrize("moment", ["queued", "dispatched", "running"])
def test_cancel_wins_whenever_it_comes(known: Daily, moment: str) -> None:
    batch = known.request("a", queue="training")
    run = TrainingRun.objects.get(batch=batch)
    claim = claim_of(batch) if moment == "running" else None
    if moment == "dispatched":
        chunks.take(limit=1)
    runs.cancel(run_id=run.pk, actor="eve", at=clock.now())
    if claim:
        assert outcomes.held(claim, [run.pk]) == set()
    run.refresh_from_db()
    batch.refresh_from_db()
    assert (run.state, run.code, batch.state) == (State.CANCELLED, "cancelled", Batch.State.DONE)
    assert "eve" in run.sentence


def test_a_cancelled_run_is_not_claimed_with_its_chunk(known: Daily) -> None:
    batch = known.request("a", queue="training")
    [ticket] = chunks.take(limit=1)
    run = TrainingRun.objects.get(batch=batch)
    runs.cancel(run_id=run.pk, actor="eve", at=clock.now())
    claim = chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")
    assert claim is not None
    assert claimed.runs(claim) == []


def test_an_ended_run_cannot_be_cancelled(known: Daily) -> None:
    run = TrainingRun.objects.get(batch=known.request("a", queue="training"))
    runs.cancel(run_id=run.pk, actor="eve", at=clock.now())
    with pytest.raises(runs.RunEnded):
        runs.cancel(run_id=run.pk, actor="eve", at=clock.now())


@pytest.mark.requirement("P01")
def test_only_the_record_of_an_ended_run_can_be_deleted(known: Daily) -> None:
    run = TrainingRun.objects.get(batch=known.request("a", queue="training"))
    with pytest.raises(runs.RunOpen):
        runs.delete(run_id=run.pk)
    runs.cancel(run_id=run.pk, actor="eve", at=clock.now())
    runs.delete(run_id=run.pk)
    assert not TrainingRun.objects.exists()


@pytest.mark.requirement("T12")
def test_the_progress_of_a_batch_is_counted_from_its_rows(known: Daily) -> None:
    claim = _one_chunk(known)
    first, *_ = claimed.runs(claim)
    outcomes.held(claim, [first.pk])
    outcomes.close([ended(first)], at=clock.now())
    chunks.refresh(first.batch_id)
    found = runs.progress(Batch.objects.get(pk=first.batch_id))
    assert (found.expected, found.percent, found.state) == (3, 33, Batch.State.OPEN)
    assert found.counts == {"running": 2, "succeeded": 1}


def test_a_released_chunk_is_queued_again_and_charges_no_attempt(known: Daily) -> None:
    batch = known.request("a", queue="training")
    claim = claim_of(batch)
    chunks.release(claim)
    run = TrainingRun.objects.get(batch=batch)
    assert (run.state, run.attempt, run.losses) == (State.QUEUED, 0, 0)
    assert chunks.take(limit=1)


def test_a_batch_whose_reading_kills_its_workers_ends_quarantined(tmp_path: Path, db: None) -> None:
    fleet = daily(tmp_path)
    batch = fleet.request(queue="training")
    for _ in range(3):
        expire(claim_of(batch))
        stalled.sweep()
    batch.refresh_from_db()
    assert (batch.state, batch.code, batch.halted) == (Batch.State.DONE, "quarantined", True)
