"""Owns the answer to "how do things stand": fleets, models, batches, workers, the ticker. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q

from registry import ticks
from registry.models import Fleet, ModelVersion, RegisteredModel
from registry.upkeep import store_watch
from registry.upkeep.store_watch import Trouble
from training import clock, conf, results, runs, workers
from training.models import Batch, RetrainingPolicy, TrainingRun


@dataclass(frozen=True, kw_only=True)
class FleetLine:
    """One fleet."""

    tenant: str
    name: str
    kind: str
    models: int
    champions: int
    paused: bool
    last_batch_at: datetime | None
    last_batch: str
    """State of the newest batch with its counts; empty where there is none."""
    next_slot: datetime | None


@dataclass(frozen=True, kw_only=True)
class ModelLine:
    """One registered model."""

    fleet: str
    entity: str
    state: str
    champion: int | None
    champion_state: str
    """Empty without a champion; where it is quarantined the last good one answers."""
    trainer: str
    mae: float | None
    relative_mae: float | None
    last_run: str
    """Verdict or state of its newest run; empty where there is none."""
    last_run_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class BatchLine:
    """One batch that is still open."""

    batch: str
    fleet: str
    trigger: str
    queue: str
    ended: int
    expected: int
    percent: int
    requested_at: datetime


@dataclass(frozen=True, kw_only=True)
class WorkerLine:
    """One live worker."""

    name: str
    queues: tuple[str, ...]
    slots: int
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Everything at one instant of the database's clock."""

    at: datetime
    enabled: bool
    """Whether policies fire at all, `PERENNIAL_TRAINING_ENABLED`."""
    last_tick: datetime | None
    fleets: tuple[FleetLine, ...]
    models: tuple[ModelLine, ...]
    models_left_out: int
    champions_quarantined: int
    open_batches: tuple[BatchLine, ...]
    workers: tuple[WorkerLine, ...]
    stores: tuple[Trouble, ...]
    """What is wrong with the stores of files, as a worker last saw them."""


def take(*, fleet: Fleet | None, models: int) -> Standing:
    """Return how things stand, of one fleet or of all; at most so many models, by fleet and entity."""
    fleets = [fleet] if fleet else list(Fleet.objects.all())
    listed = RegisteredModel.objects.filter(fleet__in=fleets).order_by("fleet__tenant", "fleet__name", "entity_key")
    shown = list(listed.select_related("fleet", "champion")[:models])
    now = clock.now()
    return Standing(
        at=now,
        enabled=conf.current().enabled,
        last_tick=ticks.last(),
        fleets=_fleets(fleets),
        models=_models(shown),
        models_left_out=listed.count() - len(shown),
        champions_quarantined=listed.filter(champion__state=ModelVersion.State.QUARANTINED).count(),
        open_batches=_batches(fleets),
        workers=_workers(),
        stores=tuple(store_watch.troubles(now=now)),
    )


def _fleets(fleets: Sequence[Fleet]) -> tuple[FleetLine, ...]:
    models = Q(registered_models__state__in=["active", "paused"])
    counted = Fleet.objects.filter(pk__in=[fleet.pk for fleet in fleets]).annotate(
        models=Count("registered_models", filter=models),
        champions=Count("registered_models", filter=models & Q(registered_models__champion__isnull=False)),
    )
    newest = {batch.fleet_id: batch for batch in Batch.objects.order_by("fleet_id", "-id").distinct("fleet_id")}
    due = RetrainingPolicy.objects.filter(enabled=True, paused=False).values("fleet_id").annotate(at=Min("next_due_at"))
    slots = {row["fleet_id"]: row["at"] for row in due.order_by()}
    return tuple(_fleet(fleet, newest.get(fleet.pk), slots.get(fleet.pk)) for fleet in counted)


def _fleet(fleet: Fleet, batch: Batch | None, next_slot: datetime | None) -> FleetLine:
    return FleetLine(
        tenant=fleet.tenant,
        name=fleet.name,
        kind=fleet.kind,
        models=getattr(fleet, "models", 0),
        champions=getattr(fleet, "champions", 0),
        paused=fleet.paused,
        last_batch_at=batch.requested_at if batch else None,
        last_batch=_ended(batch) if batch else "",
        next_slot=next_slot,
    )


def _ended(batch: Batch) -> str:
    if batch.code:
        return f"failed: {batch.code}"
    counts = ", ".join(f"{count} {state}" for state, count in sorted(batch.counts.items()))
    return counts if batch.state == Batch.State.DONE else f"open: {counts}"


def _models(shown: Sequence[RegisteredModel]) -> tuple[ModelLine, ...]:
    newest = TrainingRun.objects.filter(registered_model__in=shown).order_by("registered_model_id", "-id")
    last = {run.registered_model_id: run for run in newest.distinct("registered_model_id")}
    return tuple(_model(model, last.get(model.pk)) for model in shown)


def _model(model: RegisteredModel, run: TrainingRun | None) -> ModelLine:
    champion = model.champion
    metrics = champion.scorecard.metrics if champion else {}
    return ModelLine(
        fleet=model.fleet.name,
        entity=model.entity_key,
        state=model.state,
        champion=champion.number if champion else None,
        champion_state=champion.state if champion else "",
        trainer=champion.trainer if champion else "",
        mae=metrics.get("mae"),
        relative_mae=metrics.get("relative_mae"),
        last_run=results.verdict(run) if run else "",
        last_run_at=(run.finished_at or run.requested_at) if run else None,
    )


def _batches(fleets: Sequence[Fleet]) -> tuple[BatchLine, ...]:
    found = Batch.objects.filter(state=Batch.State.OPEN, fleet__in=fleets).select_related("fleet")
    return tuple(_batch(batch, runs.progress(batch)) for batch in found.order_by("id"))


def _batch(batch: Batch, progress: runs.Progress) -> BatchLine:
    still_open = sum(progress.counts.get(state, 0) for state in TrainingRun.OPEN)
    return BatchLine(
        batch=str(batch.pk),
        fleet=batch.fleet.name,
        trigger=batch.reason.trigger,
        queue=batch.queue,
        ended=progress.expected - still_open,
        expected=progress.expected,
        percent=progress.percent,
        requested_at=batch.requested_at,
    )


def _workers() -> tuple[WorkerLine, ...]:
    return tuple(
        WorkerLine(name=each.name, queues=tuple(each.queues), slots=each.slots, seen_at=each.seen_at)
        for each in workers.live().order_by("name")
    )
