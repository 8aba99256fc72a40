"""The state machine of runs: asked for by writing a row, closed by conditional updates. Enqueues nothing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, CharField, Value, When

from registry import errors
from registry.models import Fleet, RegisteredModel
from training import chunks, policies
from training.models import Batch, RetrainingPolicy, TrainingRun
from training.policy_terms import Reason

State = TrainingRun.State


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
    Raises EntityUnknown, PolicyMissing, SourcesDiffer.
    """
    models = _models(fleet, entities)
    governed = policies.govern(fleet, models, policy)
    discovers = entities is None and kind == TrainingRun.Kind.RETRAIN
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
            discovers=discovers,
        )
        add(batch, governed, at=at)
        chunks.open_batch(batch)
    return batch


def _models(fleet: Fleet, entities: Sequence[str] | None) -> list[RegisteredModel]:
    found = (
        RegisteredModel.objects.select_related("fleet")
        .filter(fleet=fleet)
        .exclude(state=RegisteredModel.State.RETIRED)
        .order_by("id")
    )
    if entities is None:
        return list(found)
    named = list(found.filter(entity_key__in=entities))
    missing = sorted(set(entities) - {model.entity_key for model in named})
    if missing:
        raise EntityUnknown(f"Fleet {fleet.name} has no model for entity {missing[0]!r}.", field="entity")
    return named


def add(batch: Batch, governed: Iterable[tuple[RegisteredModel, RetrainingPolicy]], *, at: datetime) -> None:
    """Write the runs of a batch: queued, or skipped where the model is paused or has an open run."""
    wanted = [_new(batch, model, policy, at) for model, policy in governed]
    TrainingRun.objects.bulk_create([run for run in wanted if run.state == State.SKIPPED])
    fresh = [run for run in wanted if run.state == State.QUEUED]
    TrainingRun.objects.bulk_create(fresh, ignore_conflicts=True)
    written = set(TrainingRun.objects.filter(batch=batch, state=State.QUEUED).values_list("id", flat=True))
    _join([run for run in fresh if run.id not in written], batch.reason, at)
    Batch.objects.filter(pk=batch.pk).update(expected=TrainingRun.objects.filter(batch=batch).count())


def _new(batch: Batch, model: RegisteredModel, policy: RetrainingPolicy, at: datetime) -> TrainingRun:
    run = TrainingRun(
        kind=batch.kind,
        registered_model=model,
        batch=batch,
        policy=policy,
        reasons=(batch.reason,),
        queue=batch.queue,
        requested_at=at,
        not_before=_not_before(batch, model, policy),
        version_id=model.champion_id if batch.kind == TrainingRun.Kind.EVALUATE else None,
    )
    if batch.fleet.paused or model.state == RegisteredModel.State.PAUSED:
        _skip(run, at, "paused", f"{model} is paused.", "Resume it, then ask again.")
    elif batch.kind == TrainingRun.Kind.EVALUATE and model.champion_id is None:
        _skip(run, at, "no_champion", f"{model} has no champion to evaluate.", "Retrain it first.")
    return run


def _skip(run: TrainingRun, at: datetime, code: str, sentence: str, next_step: str) -> None:
    run.state, run.finished_at = State.SKIPPED, at
    run.code, run.sentence, run.next_step = code, sentence, next_step


def _not_before(batch: Batch, model: RegisteredModel, policy: RetrainingPolicy) -> datetime | None:
    # The delay hangs on the name alone, so that an entity is always as late as yesterday.
    if batch.slot is None or not policy.jitter_seconds:
        return None
    return batch.slot + timedelta(seconds=zlib.crc32(model.entity_key.encode()) % policy.jitter_seconds)


def _join(refused: Sequence[TrainingRun], reason: Reason, at: datetime) -> None:
    """Write rows for the runs that met an open one, and hand their reason to it."""
    models = [run.registered_model_id for run in refused]
    openers = TrainingRun.objects.filter(registered_model__in=models, state__in=TrainingRun.OPEN)
    met = {opener.registered_model_id: opener for opener in openers}
    for run in refused:
        opener = met.get(run.registered_model_id)
        code = "locked" if run.queue == chunks.INLINE else "joined"
        met_words = f"run {opener.id}, which is {opener.state}" if opener else "a run that has just ended"
        _skip(run, at, code, f"{run.registered_model} already has {met_words}.", "Follow that run.")
        run.joined = opener
    TrainingRun.objects.bulk_create(refused)
    _hand_over(reason, [run.joined_id for run in refused if run.joined_id])


def _hand_over(reason: Reason, open_runs: Sequence[UUID]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE training_trainingrun SET reasons = reasons || %s::jsonb"
            " WHERE id = ANY(%s) AND state IN ('queued', 'dispatched', 'running')",
            [json.dumps([asdict(reason)]), list(open_runs)],
        )


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
    counts: dict[str, int]
    percent: int
    state: str


def progress(batch: Batch) -> Progress:
    """Return how far a batch is, from its rows."""
    counts = chunks.count(batch.pk)
    expected = sum(counts.values())
    ended = sum(number for state, number in counts.items() if state not in TrainingRun.OPEN)
    share = 100 * ended // expected if expected else (100 if batch.state == Batch.State.DONE else 0)
    return Progress(expected=expected, counts=counts, percent=share, state=batch.state)
