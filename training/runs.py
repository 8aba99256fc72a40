"""The state machine of runs: asked for by writing a row, closed by conditional updates. Enqueues nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Case, CharField, Value, When

from registry import errors
from registry.models import Fleet
from training import chunks, conf, enlisting, forming, policies
from training.models import Batch, RetrainingPolicy, TrainingRun
from training.policy_terms import Reason

State = TrainingRun.State
AT_ONCE = 200
"""Of a larger fleet no request writes the runs itself: many policies may be due at one tick of control."""


class EntityUnknown(errors.NotFound):
    """The fleet has no registered model for this entity."""

    code = "entity_unknown"
    next_step = "Retrain the whole fleet once: its first reading registers every entity of the source."


class RunUnknown(errors.NotFound):
    """No run has this id."""

    code = "run_unknown"


class RunEnded(errors.Conflict):
    """A terminal state never changes."""

    code = "run_ended"
    next_step = "Start a new run."


class RunOpen(errors.Conflict):
    """An open run cannot be deleted."""

    code = "run_open"
    next_step = "Cancel it first."


class RunKept(errors.Conflict):
    """The run is the record of how a version came to be."""

    code = "run_kept"
    next_step = "It goes with its version, by retention."


def request(
    *,
    fleet: Fleet,
    entities: Sequence[str] | None,
    reason: Reason,
    at: datetime,
    kind: str = TrainingRun.Kind.RETRAIN,
    queue: str = "interactive",
    look_back_days: int | None = None,
    policy: RetrainingPolicy | None = None,
    slot: datetime | None = None,
) -> Batch:
    """Write a batch with a run for each model, and return it; `entities` None means all that the policies govern.

    A model with an open run gets a row of its own, at once `skipped` and naming that run, which takes up the reason.
    Of a whole fleet of `AT_ONCE` models and more the batch alone is written, and whoever prepares it gives the models
    their runs: nobody waits for that here, and no transaction locks them all.
    Raises EntityUnknown, PolicyMissing, SourcesDiffer.
    """
    limit = conf.current().list_runs
    at_once = min(limit, AT_ONCE)
    models = enlisting.page(fleet, limit=at_once) if entities is None else _named(fleet, entities)
    whole = entities is not None or len(models) < at_once
    governed = policies.govern(fleet, models, policy) if whole else []
    if not whole:
        policies.source_of(fleet, policy)
    with transaction.atomic():
        batch = Batch.objects.create(
            fleet=fleet,
            policy=policy,
            slot=slot,
            kind=kind,
            queue=queue,
            reason=reason,
            requested_at=at,
            look_back_days=look_back_days,
            discovers=entities is None and kind == TrainingRun.Kind.RETRAIN,
            listed=whole,
        )
        for start in range(0, len(governed), limit):
            enlisting.add(batch, governed[start : start + limit], at=at)
        Batch.objects.filter(pk=batch.pk).update(expected=TrainingRun.objects.filter(batch=batch).count())
        forming.open_batch(batch)
    return batch


def _named(fleet: Fleet, entities: Sequence[str]) -> list[enlisting.Listed]:
    found = enlisting.named(fleet, entities)
    missing = sorted(set(entities) - {model.entity_key for model in found})
    if missing:
        raise EntityUnknown(f"Fleet {fleet.name} has no model for entity {missing[0]!r}.", field="entity")
    return found


def cancel(*, run_id: UUID, actor: str, at: datetime) -> TrainingRun:
    """End an open run as cancelled: from now on no worker can close or promote it. Raises RunUnknown, RunEnded."""
    sentence = Case(
        When(state=State.RUNNING, then=Value(f"Cancelled by {actor} while it ran.")),
        default=Value(f"Cancelled by {actor} before it began."),
        output_field=CharField(),
    )
    open_run = TrainingRun.objects.filter(id=run_id, state__in=TrainingRun.OPEN)
    changed = open_run.update(state=State.CANCELLED, code="cancelled", sentence=sentence, next_step="", finished_at=at)
    run = find(run_id)
    if not changed:
        raise RunEnded(f"Run {run_id} has already ended: {run.state}.")
    chunks.refresh(run.batch_id)
    return run


def find(run_id: UUID) -> TrainingRun:
    """Return the run. Raises RunUnknown."""
    run = TrainingRun.objects.select_related("registered_model__fleet", "batch").filter(id=run_id).first()
    if run is None:
        raise RunUnknown(f"There is no run {run_id}.")
    return run


def delete(*, run_id: UUID) -> None:
    """Remove the record of an ended run that left no version. Raises RunUnknown, RunOpen, RunKept."""
    run = find(run_id)
    if run.state in TrainingRun.OPEN:
        raise RunOpen(f"Run {run_id} is {run.state}.")
    if run.version_id is not None:
        raise RunKept(f"Run {run_id} made or scored version {run.version_id}.")
    run.delete()


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a batch is: runs expected and by state, and the share that has ended, in percent."""

    expected: int
    counts: Mapping[str, int]
    percent: int
    state: str


def progress(batch: Batch, *, counts: Mapping[str, int] | None = None) -> Progress:
    """Return how far a batch is, from its rows; with `counts` from these, which count them by state."""
    counts = chunks.count(batch.pk) if counts is None else dict(counts)
    expected = sum(counts.values())
    ended = sum(number for state, number in counts.items() if state not in TrainingRun.OPEN)
    share = 100 * ended // expected if expected else (100 if batch.state == Batch.State.DONE else 0)
    return Progress(expected=expected, counts=counts, percent=share, state=batch.state)
