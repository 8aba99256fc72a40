"""How runs are closed: many in two statements, with all that is told of them, and nothing that is no number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from tests import factories
from tests.training.daily import daily
from training import clock, outcomes
from training.models import Batch, RunLog, TrainingRun
from training.outcomes import Outcome
from training.policy_terms import RunDetails

State = TrainingRun.State


@pytest.fixture
def batch(db: None, tmp_path: Path) -> Batch:
    """Three queued runs."""
    made = daily(tmp_path)
    for key in ("a", "b", "c"):
        factories.registered_model(fleet=made.fleet, entity_key=key)
    return made.request("a", "b", "c", queue="training")


def outcome(run: TrainingRun, **values: Any) -> Outcome:
    return Outcome(run_id=run.pk, state=State.FAILED, code="no_data", sentence='It has "none".\n', **values)


def test_runs_are_closed_together_with_all_that_is_told_of_them(
    batch: Batch, django_assert_num_queries: Callable[[int], Any]
) -> None:
    a, b, c = TrainingRun.objects.filter(batch=batch).order_by("id")
    details = RunDetails(days=3, features=("x",), params={"p": [1, 2]}, metrics={"mae": 1.5, "mape": None}, seconds=0.1)
    report, at = factories.gate_report(), clock.now()
    told = [
        outcome(a, next_step="Look.", verdict="failed", report=report, details=details, log=(("error", "Ä\\n"),)),
        outcome(b, log=(("info", "one"), ("warning", "two"))),
    ]
    with django_assert_num_queries(2):
        outcomes.close(told, at=at)
    a.refresh_from_db()
    b.refresh_from_db()
    c.refresh_from_db()
    assert (a.state, a.code, a.sentence, a.next_step) == (State.FAILED, "no_data", 'It has "none".\n', "Look.")
    assert (a.verdict, a.report, a.percent, a.phase, a.finished_at) == ("failed", report, 100, "", at)
    assert a.details == replace(details, params={"p": [1, 2]})
    assert (b.report, b.version_id, b.details) == (None, None, RunDetails())
    assert c.state == State.QUEUED
    lines = RunLog.objects.order_by("id").values_list("run", "level", "message")
    assert list(lines) == [(a.pk, "error", "Ä\\n"), (b.pk, "info", "one"), (b.pk, "warning", "two")]


def test_a_number_that_is_none_closes_no_run(batch: Batch) -> None:
    a, b, _ = TrainingRun.objects.filter(batch=batch).order_by("id")
    with pytest.raises(ValidationError):
        outcomes.close([outcome(a), outcome(b, details=RunDetails(metrics={"mae": float("nan")}))], at=clock.now())
    assert set(TrainingRun.objects.filter(batch=batch).values_list("state", flat=True)) == {State.QUEUED}


def test_no_outcome_closes_nothing(batch: Batch) -> None:
    outcomes.close([], at=clock.now())
    assert set(TrainingRun.objects.filter(batch=batch).values_list("state", flat=True)) == {State.QUEUED}
