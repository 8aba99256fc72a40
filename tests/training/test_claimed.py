"""What a worker reads of its runs: few statements, however many runs there are, and nothing is missing later."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry import identifiers, ownership
from tests import factories
from tests.training.daily import Daily, daily
from training import carrying, chunks, claimed
from training.models import Batch, Chunk, TrainingRun

KEYS = tuple("abcdef")
Count = Callable[[int], CaptureQueriesContext]


@pytest.fixture
def trained(db: None, tmp_path: Path) -> Daily:
    """A fleet whose models all have a champion."""
    made = daily(tmp_path, entities=KEYS)
    made.retrain()
    return made


def claim_of(batch: Batch) -> chunks.Claim:
    """Claim one chunk of all runs of a batch."""
    first, *others = Chunk.objects.filter(batch=batch).order_by("id")
    TrainingRun.objects.filter(batch=batch).update(chunk=first)
    Chunk.objects.filter(pk__in=[chunk.pk for chunk in others]).delete()
    [ticket] = chunks.take(limit=1, batch=batch)
    claim = chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")
    assert claim is not None
    return claim


def test_a_chunk_and_its_runs_are_claimed_in_one_statement(trained: Daily, django_assert_num_queries: Count) -> None:
    batch = trained.request(*KEYS, queue="training")
    [ticket, *_] = chunks.take(limit=1, batch=batch)
    with django_assert_num_queries(1):
        assert chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")


def test_runs_come_with_all_that_carrying_them_out_looks_at_and_nothing_is_asked_for_later(
    trained: Daily, django_assert_num_queries: Count
) -> None:
    claim = claim_of(trained.request(*reversed(KEYS), queue="training"))
    with django_assert_num_queries(3):
        found = claimed.runs(claim)
    with django_assert_num_queries(0):
        assert [run.registered_model.entity_key for run in found] == list(KEYS)
        for run in found:
            model = run.registered_model
            champion = model.champion
            assert champion is not None and champion.registered_model is model
            assert (str(model), champion.trainer) == (f"{trained.fleet.name}/{model.entity_key}", "seasonal_naive")
            assert isinstance(champion.params, dict) and champion.fit_end and champion.artifact_digest
            assert run.policy is not None and run.policy.source == trained.policy.source
            assert run.batch.look_back_days is None and run.version is None


def test_batch_fleet_and_policy_are_one_object_for_all_runs(trained: Daily) -> None:
    found = claimed.runs(claim_of(trained.request(*KEYS, queue="training")))
    for shared in ("batch", "policy"):
        assert len({id(getattr(run, shared)) for run in found}) == 1
    assert len({id(run.registered_model.fleet) for run in found} | {id(run.batch.fleet) for run in found}) == 1


def test_an_evaluation_comes_with_the_version_that_it_scores(trained: Daily) -> None:
    [run, *_] = claimed.runs(claim_of(trained.request(*KEYS, queue="training", kind=TrainingRun.Kind.EVALUATE)))
    assert run.version is not None
    assert run.version.pk == run.registered_model.champion_id


def test_some_of_the_runs_can_be_read_and_a_lost_claim_reads_none(trained: Daily) -> None:
    claim = claim_of(trained.request(*KEYS, queue="training"))
    some = claimed.ids(claim)[1:3]
    assert [run.pk for run in claimed.runs(claim, only=some)] == some
    Chunk.objects.filter(pk=claim.chunk_id).update(lease_until=None)
    TrainingRun.objects.filter(chunk=claim.chunk_id).update(fence=claim.fence + 1)
    assert (claimed.ids(claim), claimed.runs(claim)) == ([], [])


def queries(batch: Batch) -> int:
    """Return how many queries it takes to carry out all runs of a batch as one slice."""
    claim = claim_of(batch)
    Chunk.objects.filter(pk=claim.chunk_id).update(size=1, expected_seconds=0.01)
    chunks.release(claim)
    [ticket] = chunks.take(limit=1, batch=batch)
    # Whose the store is, is asked once in a few seconds, which may end between two of these.
    ownership._admitted.clear()
    with CaptureQueriesContext(connection) as asked:
        carrying.carry_out(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")
    assert not TrainingRun.objects.filter(batch=batch, state__in=TrainingRun.OPEN).exists()
    return len(asked)


@pytest.mark.parametrize("kind", [TrainingRun.Kind.RETRAIN, TrainingRun.Kind.EVALUATE])
def test_a_slice_of_more_runs_asks_no_more_queries(trained: Daily, kind: str) -> None:
    few, many = (trained.request(*keys, queue="training", kind=kind) for keys in (KEYS[:2], KEYS[2:]))
    assert queries(many) == queries(few)


def test_what_a_run_takes_is_known_by_this_batch_before_what_was_expected_of_it(trained: Daily) -> None:
    claim = claim_of(trained.request(*KEYS, queue="training"))
    mine = Chunk.objects.filter(pk=claim.chunk_id)
    mine.update(expected_seconds=None)
    assert claimed.pace(claim) == claimed.Pace(None)
    mine.update(size=5, expected_seconds=1.0)
    assert claimed.pace(claim) == claimed.Pace(0.2)
    shared = {"batch": mine.get().batch, "kind": Chunk.Kind.WORK}
    Chunk.objects.create(**shared, policy=factories.policy(fleet=trained.fleet), ended=16, seconds=900.0)
    Chunk.objects.create(**shared, policy=trained.policy, ended=15, seconds=0.15)
    assert claimed.pace(claim) == claimed.Pace(0.2)
    mine.update(ended=1, seconds=0.17)
    found = claimed.pace(claim)
    assert found.seconds == pytest.approx(0.02)
    assert found.shown


@pytest.mark.parametrize(
    ("pace", "first"),
    [
        (claimed.Pace(None), 2),
        (claimed.Pace(0.001), 16),
        (claimed.Pace(1.0), 2),
        (claimed.Pace(0.001, shown=True), 128),
        (claimed.Pace(0.1, shown=True), 20),
        (claimed.Pace(1.0, shown=True), 2),
        (claimed.Pace(30.0, shown=True), 1),
    ],
)
def test_the_first_slice_is_small_until_the_batch_has_shown_what_a_run_takes(pace: claimed.Pace, first: int) -> None:
    ids = [identifiers.uuid7() for _ in range(1000)]
    assert len(next(carrying._slices(ids, pace=pace))) == first


def test_garbage_in_cycles_is_looked_for_behind_a_slice_and_not_within() -> None:
    class Node:
        def __init__(self) -> None:
            self.me = self

    with carrying.collected_afterwards():
        kept = weakref.ref(Node())
        assert not gc.isenabled() and kept() is not None
    assert gc.isenabled() and kept() is None
    gc.disable()
    try:
        with carrying.collected_afterwards():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
