"""Puts back what a lost message or a dead worker left: requeues, halves, at last quarantines. Never by age alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from registry import rows
from training import chunks, conf, turns
from training.models import Batch, Chunk, TrainingRun

logger = logging.getLogger(__name__)
AT_ONCE = 500


def sweep() -> int:
    """Put back every chunk whose message or worker is gone; return how many. Safe to run any number of times."""
    touched = _unclaimed() + _orphans_of_inline() + [_lost(chunk_id, _expired()) for chunk_id in _ids(_expired())]
    for batch in Batch.objects.filter(state=Batch.State.OPEN).order_by("id")[:AT_ONCE]:
        chunks.settle(batch.pk)
    return len(touched)


def bereave(names: Sequence[str]) -> set[str]:
    """Put back what these workers, which are dead, had in hand; return those that still hold a chunk.

    Another transaction may still lock it: ask again. As with a lease that ran out the fence goes up: should one of them
    live after all, what it does counts for nothing.
    """
    held = Chunk.objects.filter(state=Chunk.State.RUNNING, worker__in=names)
    for chunk_id, batch_id, worker in held.order_by("id").values_list("id", "batch_id", "worker")[:AT_ONCE]:
        turns.end(batch_id, worker=worker)
        _lost(chunk_id, held)
    return set(held.values_list("worker", flat=True))


def _unclaimed() -> list[int]:
    """Messages that nobody claimed: the queue may have lost them, and a late one finds another attempt number."""
    limit = Now() - timedelta(seconds=conf.current().dispatched_seconds)
    with transaction.atomic():
        silent = Chunk.objects.select_for_update(skip_locked=True, no_key=True).filter(
            state=Chunk.State.DISPATCHED, dispatched_at__lt=limit, queue__in=chunks.QUEUES
        )
        ids = chunks.requeue(silent.order_by("id")[:AT_ONCE])
    if ids:
        logger.warning("nobody claimed these chunks, they are published again", extra={"chunks": ids})
    return ids


def _orphans_of_inline() -> list[int]:
    """Chunks of an inline command that shows no life any more go to the interactive queue."""
    limit = Now() - timedelta(seconds=conf.current().dispatched_seconds)
    waiting = Chunk.objects.filter(queue=chunks.INLINE, state__in=[Chunk.State.QUEUED, Chunk.State.DISPATCHED])
    left = waiting.filter(Q(dispatched_at=None) | Q(dispatched_at__lt=limit), created_at__lt=limit)
    with transaction.atomic():
        ids = chunks.requeue(left.select_for_update(skip_locked=True, no_key=True).order_by("id")[:AT_ONCE])
        Chunk.objects.filter(id__in=ids).update(queue="interactive")
    return ids


def _expired() -> QuerySet[Chunk]:
    return Chunk.objects.filter(state=Chunk.State.RUNNING, lease_until__lt=Now())


def _ids(found: QuerySet[Chunk]) -> list[int]:
    return list(found.order_by("id").values_list("id", flat=True)[:AT_ONCE])


def _lost(chunk_id: int, lost: QuerySet[Chunk]) -> int:
    """Put back the open runs of one lost chunk: two halves, or alone with the loss charged; committed runs stay.

    `lost` says which chunks are: it is looked at again under the lock.
    """
    with transaction.atomic():
        late = lost.select_for_update(no_key=True, skip_locked=True).select_related(None)
        chunk = late.filter(id=chunk_id).first()
        if chunk is None:
            return chunk_id
        logger.warning("a worker was lost with a chunk", extra={"chunk": chunk.pk, "worker": chunk.worker})
        if chunk.kind == Chunk.Kind.PREPARE:
            _prepare_again(chunk)
        else:
            _work_again(chunk)
    chunks.settle(chunk.batch_id)
    return chunk_id


def _prepare_again(chunk: Chunk) -> None:
    if chunk.losses + 1 < conf.current().max_losses:
        Chunk.objects.filter(id=chunk.pk).update(losses=F("losses") + 1)
        chunks.requeue([chunk])
        return
    Chunk.objects.filter(id=chunk.pk).update(state=Chunk.State.LOST, losses=F("losses") + 1, fence=F("fence") + 1)
    sentence = f"{chunk.losses + 1} workers ended while they read the source of this batch."
    next_step = "Read the worker's log, and try the source with `manage.py retrain FLEET --dry-run`."
    Batch.objects.filter(id=chunk.batch_id).update(
        halted=True, code="quarantined", sentence=sentence, next_step=next_step
    )
    TrainingRun.objects.filter(batch=chunk.batch_id, state__in=TrainingRun.OPEN).update(
        state=TrainingRun.State.FAILED,
        code="quarantined",
        sentence=sentence,
        next_step=next_step,
        finished_at=Now(),
        percent=100,
    )


def _work_again(chunk: Chunk) -> None:
    left = rows.found(_LEFT, [chunk.pk])
    Chunk.objects.filter(id=chunk.pk).update(state=Chunk.State.LOST, fence=F("fence") + 1, lease_until=None)
    if len(left) == 1:
        _charge(chunk, *left[0])
        return
    ids = [run_id for run_id, _ in left]
    middle = -(-len(ids) // 2)
    for half in (ids[:middle], ids[middle:]):
        if half:
            _again(chunk, half)


def _charge(chunk: Chunk, run_id: UUID, losses: int) -> None:
    """Charge the loss to the only run that can have caused it."""
    losses += 1
    if losses < conf.current().max_losses:
        TrainingRun.objects.filter(id=run_id).update(losses=losses)
        _again(chunk, [run_id])
        return
    TrainingRun.objects.filter(id=run_id).update(
        losses=losses,
        state=TrainingRun.State.FAILED,
        code="quarantined",
        sentence=f"{losses} workers ended while they carried this run out alone.",
        next_step="Read the worker's log and the data of this model, then retrain it by hand.",
        finished_at=Now(),
        percent=100,
    )


def _again(lost: Chunk, run_ids: Sequence[UUID]) -> None:
    each = lost.expected_seconds / lost.size if lost.size and lost.expected_seconds is not None else None
    # The fence goes on from the lost chunk's, so that a worker that wakes up late can never match a run's fence.
    chunk = Chunk.objects.create(
        batch_id=lost.batch_id,
        policy_id=lost.policy_id,
        queue=lost.queue,
        fence=lost.fence + 1,
        size=len(run_ids),
        expected_seconds=None if each is None else each * len(run_ids),
    )
    rows.found(_MOVE, [chunk.pk, list(run_ids)])


_LEFT = """
SELECT id, losses FROM training_trainingrun
WHERE chunk_id = %s::bigint AND state IN ('queued', 'dispatched', 'running') ORDER BY id FOR NO KEY UPDATE
"""
_MOVE = """
UPDATE training_trainingrun SET chunk_id = %s::bigint, state = 'queued', phase = '', percent = 0
WHERE id = ANY(%s::uuid[]) RETURNING 1
"""
