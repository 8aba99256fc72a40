"""How runs end: only what a claim still owns is closed, in the transaction that commits what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from registry.reports import GateReport
from training import chunks
from training.models import Batch, RunLog, TrainingRun
from training.policy_terms import RunDetails

State = TrainingRun.State


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
    owned = TrainingRun.objects.select_for_update(no_key=True).filter(
        id__in=list(run_ids), state=State.RUNNING, fence=claim.fence, chunk_id=claim.chunk_id
    )
    return set(owned.order_by("id").values_list("id", flat=True))


def close(outcomes: Sequence[Outcome], *, at: datetime) -> None:
    """Write terminal states, for runs that `held` has locked in this transaction."""
    rows = [_closed(outcome, at) for outcome in outcomes]
    TrainingRun.objects.bulk_update(
        rows,
        [
            "state",
            "code",
            "sentence",
            "next_step",
            "verdict",
            "report",
            "version_id",
            "details",
            "phase",
            "percent",
            "finished_at",
        ],
        batch_size=200,
    )
    lines = [
        RunLog(run_id=each.run_id, at=at, level=level, message=text) for each in outcomes for level, text in each.log
    ]
    RunLog.objects.bulk_create(lines, batch_size=1000)


def _closed(outcome: Outcome, at: datetime) -> TrainingRun:
    return TrainingRun(
        id=outcome.run_id,
        state=outcome.state,
        code=outcome.code,
        sentence=outcome.sentence,
        next_step=outcome.next_step,
        verdict=outcome.verdict,
        report=outcome.report,
        version_id=outcome.version_id,
        details=outcome.details,
        phase="",
        percent=100,
        finished_at=at,
    )


def note_phase(claim: chunks.Claim, run_ids: Iterable[UUID], *, phase: str, percent: int) -> None:
    """Show how far the runs of a claim are."""
    owned = TrainingRun.objects.filter(
        id__in=list(run_ids), state=State.RUNNING, fence=claim.fence, chunk_id=claim.chunk_id
    )
    owned.update(phase=phase, percent=percent)


def fail_open(batch: Batch, *, code: str, sentence: str, next_step: str, at: datetime) -> None:
    """End every open run of a batch that cannot go on, each with the reason."""
    open_runs = TrainingRun.objects.filter(batch=batch, state__in=TrainingRun.OPEN)
    open_runs.update(state=State.FAILED, code=code, sentence=sentence, next_step=next_step, finished_at=at, percent=100)
