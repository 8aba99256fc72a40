"""How the models of a whole fleet get their runs: in pages, each once, whoever dies in between."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from registry.models import RegisteredModel
from tests import factories
from tests.training.daily import REASON, Daily, daily
from tests.training.settings_of import training
from training import carrying, chunks, clock, enlisting, policies, runs, stalled
from training.models import Batch, Chunk, TrainingRun

State = TrainingRun.State
KEYS = ("a", "b", "c", "d", "e")


@pytest.fixture
def large(db: None, tmp_path: Path, settings: Any) -> Daily:
    """A fleet of more models than one transaction gives their runs."""
    training(settings, list_runs=2)
    made = daily(tmp_path, entities=KEYS)
    for key in KEYS:
        factories.registered_model(fleet=made.fleet, entity_key=key)
    return made


def by_entity(batch: Batch) -> dict[str, list[str]]:
    """Return the states of the runs of each entity."""
    found: dict[str, list[str]] = {}
    for key, state in TrainingRun.objects.filter(batch=batch).values_list("registered_model__entity_key", "state"):
        found.setdefault(key, []).append(state)
    return found


def prepare_claim(batch: Batch) -> chunks.Claim:
    [ticket] = chunks.take(limit=1, batch=batch)
    claim = chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="one")
    assert claim is not None
    return claim


def test_a_request_for_a_large_fleet_writes_the_batch_alone_and_its_preparation_the_runs(large: Daily) -> None:
    batch = large.request()
    assert (batch.listed, by_entity(batch)) == (False, {})
    assert Chunk.objects.get(batch=batch).kind == Chunk.Kind.PREPARE
    carrying.inline(batch, worker="test")
    batch.refresh_from_db()
    assert by_entity(batch) == {key: [State.SUCCEEDED] for key in KEYS}
    assert (batch.listed, batch.state, batch.expected) == (True, Batch.State.DONE, 5)


def test_whoever_goes_on_after_a_crash_leaves_no_model_out_and_gives_none_two_runs(large: Daily) -> None:
    batch = large.request()
    claim = prepare_claim(batch)
    with transaction.atomic():
        enlisting.go_on(Batch.objects.get(pk=batch.pk), at=clock.now())
    assert sorted(by_entity(batch)) == ["a", "b"]
    Chunk.objects.filter(pk=claim.chunk_id).update(lease_until=Now() - timedelta(seconds=1))
    stalled.sweep()
    carrying.inline(Batch.objects.get(pk=batch.pk), worker="two")
    assert by_entity(batch) == {key: [State.SUCCEEDED] for key in KEYS}


def test_a_page_that_was_not_committed_is_listed_again(large: Daily) -> None:
    batch = large.request()
    with pytest.raises(RuntimeError), transaction.atomic():
        enlisting.go_on(Batch.objects.get(pk=batch.pk), at=clock.now())
        raise RuntimeError
    carrying.inline(Batch.objects.get(pk=batch.pk), worker="test")
    assert by_entity(batch) == {key: [State.SUCCEEDED] for key in KEYS}


def test_models_of_a_large_fleet_with_an_open_run_join_it_and_hand_it_their_reason(large: Daily) -> None:
    first = TrainingRun.objects.get(batch=large.request("c", queue="training"))
    batch = large.retrain()
    second = TrainingRun.objects.get(batch=batch, registered_model__entity_key="c")
    first.refresh_from_db()
    assert (second.state, second.code, second.joined) == (State.SKIPPED, "locked", first)
    assert second.sentence == f"{large.fleet.name}/c already has run {first.pk}, which is queued."
    assert first.reasons == (REASON, REASON)
    assert Counter(state for states in by_entity(batch).values() for state in states) == {"succeeded": 4, "skipped": 1}


def test_paused_and_retired_models_of_a_large_fleet_are_told_apart(large: Daily) -> None:
    large.fleet.registered_models.filter(entity_key="b").update(state=RegisteredModel.State.PAUSED)
    large.fleet.registered_models.filter(entity_key="d").update(state=RegisteredModel.State.RETIRED)
    batch = large.retrain()
    assert by_entity(batch) == {"a": ["succeeded"], "b": ["skipped"], "c": ["succeeded"], "e": ["succeeded"]}
    paused = TrainingRun.objects.get(batch=batch, state=State.SKIPPED)
    assert (paused.code, paused.sentence) == ("paused", f"{large.fleet.name}/b is paused.")


def test_an_evaluation_of_a_large_fleet_brings_no_entity_in(large: Daily) -> None:
    large.fleet.registered_models.filter(entity_key="e").delete()
    batch = large.retrain(kind=TrainingRun.Kind.EVALUATE)
    assert by_entity(batch) == {key: [State.SKIPPED] for key in KEYS[:4]}
    assert set(TrainingRun.objects.filter(batch=batch).values_list("code", flat=True)) == {"no_champion"}
    assert not large.fleet.registered_models.filter(entity_key="e").exists()


def test_entities_that_are_new_are_brought_in_page_by_page(db: None, tmp_path: Path, settings: Any) -> None:
    training(settings, list_runs=2)
    batch = daily(tmp_path, entities=KEYS).retrain()
    assert by_entity(batch) == {key: [State.SUCCEEDED] for key in KEYS}


def test_where_the_source_cannot_be_read_each_model_of_a_large_fleet_has_a_run_that_says_so(large: Daily) -> None:
    large.path.unlink()
    batch = large.retrain()
    assert by_entity(batch) == {key: [State.FAILED] for key in KEYS}
    assert set(TrainingRun.objects.filter(batch=batch).values_list("code", flat=True)) == {batch.code}
    assert (batch.state, batch.halted) == (Batch.State.DONE, True)


def test_a_large_fleet_without_a_policy_is_refused_at_once(large: Daily) -> None:
    type(large.policy).objects.update(enabled=False)
    with pytest.raises(policies.PolicyMissing):
        large.request()
    assert not Batch.objects.exists()


def test_a_large_fleet_whose_policies_read_different_sources_is_refused_at_once(large: Daily) -> None:
    factories.policy(fleet=large.fleet)
    with pytest.raises(policies.SourcesDiffer):
        large.request()
    assert not Batch.objects.exists()


def test_many_named_models_get_their_runs_in_one_request(large: Daily) -> None:
    assert sorted(by_entity(large.request("e", "a", "c", queue="training"))) == ["a", "c", "e"]
    with pytest.raises(runs.EntityUnknown, match="'nowhere'"):
        large.request("b", "nowhere")
