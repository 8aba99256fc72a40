"""How runs come into chunks: as many as work has shown to be right, of one policy, neighbours in the snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import factories
from tests.training.daily import Daily, daily
from tests.training.settings_of import training
from training import carrying, chunks, claimed, clock, forming, outcomes
from training.conf import TrainingConf
from training.models import Batch, Chunk, TrainingRun
from training.outcomes import Outcome
from training.policy_terms import Selector

State = TrainingRun.State
LIMITS = TrainingConf()


def sizes(number: int, *, slots: int = 2, seconds: float | None = None, limits: TrainingConf = LIMITS) -> list[int]:
    return list(forming.sizes(number, slots=slots, seconds=seconds, limits=limits))


@pytest.fixture
def known(db: None, tmp_path: Path) -> Daily:
    """A fleet whose keys sort by their bytes otherwise than by their letters."""
    made = daily(tmp_path)
    for key in ("b", "B", "a1", "a-1", "A"):
        factories.registered_model(fleet=made.fleet, entity_key=key)
    return made


def members(chunk: Chunk) -> list[str]:
    return sorted(chunk.runs.values_list("registered_model__entity_key", flat=True))


def test_a_chunk_is_twenty_seconds_of_work_where_the_work_is_known() -> None:
    assert sizes(100_000, seconds=0.005) == [4000] * 25


def test_a_chunk_is_no_more_than_a_quarter_of_an_even_share() -> None:
    assert sizes(1000, seconds=0.005) == [125] * 8


def test_a_chunk_of_quick_runs_is_bounded_by_number() -> None:
    assert max(sizes(100_000, seconds=0.00001)) == LIMITS.chunk_runs


def test_of_an_unknown_policy_the_first_chunks_are_small_and_later_ones_grow_to_a_bound() -> None:
    found = sizes(10_000)
    assert found[:9] == [100] * 8 + [200]
    assert max(sizes(100_000)) == 1000


@given(number=st.integers(0, 20_000), slots=st.integers(1, 16), seconds=st.none() | st.floats(0, 100, allow_nan=False))
def test_every_run_has_a_place_and_no_chunk_is_empty(number: int, slots: int, seconds: float | None) -> None:
    found = sizes(number, slots=slots, seconds=seconds)
    assert sum(found) == number
    assert all(1 <= size <= LIMITS.chunk_runs for size in found)


def test_chunks_hold_neighbours_by_the_bytes_of_their_keys(known: Daily, settings: Any) -> None:
    training(settings, chunk_runs=2)
    batch = known.request("b", "B", "a1", "a-1", "A", queue="training")
    found = Chunk.objects.filter(batch=batch).order_by("id")
    assert [members(chunk) for chunk in found] == [["A", "B"], ["a-1", "a1"], ["b"]]
    assert [chunk.size for chunk in found] == [2, 2, 1]


def test_chunks_hold_runs_of_one_policy(known: Daily) -> None:
    factories.policy(fleet=known.fleet, source=known.policy.source, selector=Selector(entity_pattern="a*"))
    batch = known.request("b", "B", "a1", "a-1", "A", queue="training")
    assert {frozenset(chunk.runs.values_list("policy", flat=True)) for chunk in Chunk.objects.filter(batch=batch)} == {
        frozenset([policy_id]) for policy_id in known.fleet.policies.values_list("id", flat=True)
    }


def test_what_runs_took_is_what_the_next_are_expected_to_take_but_evaluations_say_nothing_of_fits(known: Daily) -> None:
    first = known.request("b", queue="training")
    assert Chunk.objects.get(batch=first).expected_seconds is None
    Chunk.objects.filter(batch=first).update(ended=10, seconds=5.0)
    other = factories.batch(fleet=known.fleet, kind=TrainingRun.Kind.EVALUATE)
    Chunk.objects.create(batch=other, policy=known.policy, ended=10, seconds=5000.0)
    assert Chunk.objects.get(batch=known.request("B", queue="training")).expected_seconds == pytest.approx(0.5)


def test_whoever_lost_its_chunk_forms_nothing(known: Daily) -> None:
    batch, claim = _claimed(known, "a1")
    Chunk.objects.filter(pk=claim.chunk_id).update(fence=claim.fence + 1)
    TrainingRun.objects.filter(batch=batch).update(chunk=None, state=State.QUEUED)
    with pytest.raises(chunks.LeaseLost):
        forming.form(batch, claim=claim)
    assert Chunk.objects.filter(batch=batch).count() == 1


def _claimed(known: Daily, *entities: str) -> tuple[Batch, chunks.Claim]:
    """Claim one chunk of all these runs."""
    batch = known.request(*entities, queue="training")
    first, *others = Chunk.objects.filter(batch=batch).order_by("id")
    TrainingRun.objects.filter(batch=batch).update(chunk=first)
    Chunk.objects.filter(pk__in=[chunk.pk for chunk in others]).delete()
    [ticket] = chunks.take(limit=1, batch=batch)
    claim = chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")
    assert claim is not None
    return batch, claim


def test_what_is_left_of_a_chunk_that_takes_too_long_is_formed_by_what_it_took_and_charged_nothing(
    known: Daily,
) -> None:
    batch, claim = _claimed(known, "a1", "b", "B")
    done, *left = claimed.ids(claim)
    assert outcomes.held(claim, [done]) == {done}
    outcomes.close([Outcome(run_id=done, state=State.SUCCEEDED)], at=clock.now())
    chunks.worked(claim, ended=1, seconds=7.0)
    forming.form_again(claim, batch)
    chunks.done(claim)
    assert claimed.ids(claim) == []
    for run in TrainingRun.objects.filter(pk__in=left):
        assert (run.state, run.attempt, run.chunk_id == claim.chunk_id) == (State.QUEUED, 0, False)
    waiting = Chunk.objects.filter(batch=batch, state=Chunk.State.QUEUED)
    assert sum(chunk.expected_seconds or 0 for chunk in waiting) == pytest.approx(14.0)


def test_a_chunk_that_takes_too_long_is_given_back_after_each_commit_until_its_batch_is_done(
    tmp_path: Path, db: None, settings: Any
) -> None:
    training(settings, chunk_longest_seconds=1e-6, slice_runs=1)
    fleet = daily(tmp_path)
    for key in ("a", "b", "c"):
        factories.registered_model(fleet=fleet.fleet, entity_key=key)
    batch, claim = _claimed(fleet, "a", "b", "c")
    chunks.release(claim)
    while tickets := chunks.take(limit=1, batch=batch):
        carrying.carry_out(chunk_id=tickets[0].chunk_id, attempt=tickets[0].attempt, worker="two")
    found = TrainingRun.objects.filter(batch=batch)
    assert [(run.state, run.attempt) for run in found] == [(State.SUCCEEDED, 1)] * 3
    assert Chunk.objects.filter(batch=batch).count() > 1
    batch.refresh_from_db()
    assert batch.state == Batch.State.DONE
