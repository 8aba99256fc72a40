"""How runs end: only what a claim still owns is closed, in the transaction that commits what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from registry import rows
from registry.reports import GateReport
from training import chunks
from training.models import Batch, RunLog, TrainingRun
from training.policy_terms import RunDetails

State = TrainingRun.State
AT_ONCE = 5000
"""Runs that one statement ends."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run ends: a terminal state, and for anything but success a code, a sentence and a next step."""

    run_id: UUID
    state: str
    code: str = ""
    sentence: str = ""
    next_step: str = ""
    verdict: str = ""
    report: GateReport | None = None
    version_id: UUID | None = None
    details: RunDetails = field(default_factory=RunDetails)
    log: tuple[tuple[str, str], ...] = ()
    """Lines (level, message) for the run's log."""


def held(claim: chunks.Claim, run_ids: Iterable[UUID]) -> set[UUID]:
    """Lock and return those of the runs that this claim still owns; call it first in the transaction that closes them.

    Raises LeaseLost where the chunk went to somebody else. A run that was cancelled meanwhile is left out: cancel wins.
    """
    chunks.lock(claim)
    return {run_id for (run_id,) in rows.found(_HELD, [list(run_ids), claim.fence, claim.chunk_id])}


def close(outcomes: Sequence[Outcome], *, at: datetime) -> None:
    """Write terminal states, for runs that `held` has locked in this transaction. Raises ValidationError for NaN."""
    if not outcomes:
        return
    rows.found(_CLOSE, [at, json.dumps([_plain(each) for each in outcomes], default=str, allow_nan=False)])
    rows.insert(
        [RunLog(run_id=each.run_id, at=at, level=level, message=text) for each in outcomes for level, text in each.log]
    )


def _plain(outcome: Outcome) -> dict[str, object]:
    """Return an outcome by the columns of its run."""
    return {
        "id": outcome.run_id,
        "state": outcome.state,
        "code": outcome.code,
        "sentence": outcome.sentence,
        "next_step": outcome.next_step,
        "verdict": outcome.verdict,
        "report": _column("report").get_prep_value(outcome.report),
        "version_id": outcome.version_id,
        "details": _column("details").get_prep_value(outcome.details),
    }


@cache
def _column(name: str) -> Any:
    return TrainingRun._meta.get_field(name)


_HELD = """
SELECT id FROM training_trainingrun
WHERE id = ANY(%s::uuid[]) AND state = 'running' AND fence = %s::bigint AND chunk_id = %s::bigint
ORDER BY id FOR NO KEY UPDATE
"""
_CLOSE = """
UPDATE training_trainingrun AS r SET state = given.state, code = given.code, sentence = given.sentence,
    next_step = given.next_step, verdict = given.verdict, report = given.report, version_id = given.version_id,
    details = given.details, phase = '', percent = 100, finished_at = %s::timestamptz
FROM json_populate_recordset(NULL::training_trainingrun, %s) AS given WHERE r.id = given.id RETURNING 1
"""
_PHASE = """
UPDATE training_trainingrun SET phase = %s::text, percent = %s::int
WHERE id = ANY(%s::uuid[]) AND state = 'running' AND fence = %s::bigint AND chunk_id = %s::bigint RETURNING 1
"""


def note_phase(claim: chunks.Claim, run_ids: Iterable[UUID], *, phase: str, percent: int) -> None:
    """Show how far the runs of a claim are."""
    rows.found(_PHASE, [phase, percent, list(run_ids), claim.fence, claim.chunk_id])


def fail_open(batch: Batch, *, code: str, sentence: str, next_step: str, at: datetime) -> int:
    """End open runs of a batch that cannot go on, each with the reason; return how many, at most `AT_ONCE`."""
    some = TrainingRun.objects.filter(batch=batch, state__in=TrainingRun.OPEN).order_by("id")[:AT_ONCE]
    open_runs = TrainingRun.objects.filter(id__in=some.values("id"), state__in=TrainingRun.OPEN)
    return open_runs.update(
        state=State.FAILED, code=code, sentence=sentence, next_step=next_step, finished_at=at, percent=100
    )
