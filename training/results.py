"""Owns how the outcome of a batch is told: one row for each run, in the order of entities. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from training.models import Batch, TrainingRun

# What a gate says is told apart from how a run ended: both know the word "failed".
VERDICTS = {"passed": "passed", "held": "held", "failed": "refused"}
STATES = {TrainingRun.State.FAILED: "run failed", TrainingRun.State.TIMED_OUT: "timed out"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run as people and programs read it."""

    entity: str
    run: str
    state: str
    version: int | None
    trainer: str
    mae: float | None
    """In the fleet's unit, on the test windows."""
    relative_mae: float | None
    """Over the MAE of seasonal naive on the same windows."""
    verdict: str
    """`passed`, `held` or `refused` by the gate; how the run ended where it met no gate."""
    reason: str
    seconds: float | None
    """Of work."""
    code: str
    next_step: str


def of_batch(batch: Batch) -> list[Row]:
    """Return the runs of a batch as they stand."""
    found = TrainingRun.objects.filter(batch=batch).select_related("registered_model", "version")
    return [_row(run) for run in found.order_by("registered_model__entity_key")]


def verdict(run: TrainingRun) -> str:
    """Return what the gate said of a run, or how it ended where it met no gate."""
    if run.state == TrainingRun.State.SUCCEEDED and run.verdict:
        return VERDICTS.get(run.verdict, run.verdict)
    return STATES.get(TrainingRun.State(run.state), run.state)


def _row(run: TrainingRun) -> Row:
    metrics = run.details.metrics
    return Row(
        entity=run.registered_model.entity_key,
        run=str(run.pk),
        state=run.state,
        version=run.version.number if run.version else None,
        trainer=run.details.trainer,
        mae=metrics.get("mae"),
        relative_mae=metrics.get("relative_mae"),
        verdict=verdict(run),
        reason=run.report.reason if run.report and run.state == TrainingRun.State.SUCCEEDED else run.sentence,
        seconds=run.details.seconds,
        code=run.code,
        next_step=run.next_step,
    )
