"""The state machine of chunks, the only unit of dispatch, claim and heartbeat: formed, taken, claimed, kept, done.

Every write is conditional on the state and, once claimed, on the fence. The clock is the database's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from registry import errors
from training import conf, workers
from training.models import Batch, Chunk, TrainingRun

QUEUES = ("control", "interactive", "training", "monitoring")
"""In the order in which they are served."""
INLINE = "inline"
"""The queue of commands that carry their own runs out; no worker serves it."""
ROOM = 4
"""Chunks handed out for each live slot: enough to keep it busy for the second until the next tick."""


class LeaseLost(errors.Conflict):
    """The chunk went to another worker; what this one made counts for nothing."""

    code = "lost_lease"
    next_step = "Nothing: the other worker carries on."


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a worker owns while its lease lasts."""

    chunk_id: int
    fence: int
    worker: str
    inline: bool = False


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a message says: look at this chunk, as it was published for the n-th time."""

    chunk_id: int
    attempt: int
    queue: str


def open_batch(batch: Batch) -> None:
    """Make the first chunks of a batch: one that reads the source where entities may be new, else those of its runs."""
    if batch.discovers:
        Chunk.objects.create(batch=batch, kind=Chunk.Kind.PREPARE, queue=batch.queue)
        return
    form(batch)
    refresh(batch.pk)


def form(batch: Batch) -> None:
    """Put the queued runs of a batch that have no chunk into chunks, in the order of their entities."""
    waiting = TrainingRun.objects.filter(batch=batch, state=TrainingRun.State.QUEUED, chunk=None)
    runs = list(
        waiting.order_by("policy_id", "not_before", "registered_model__entity_key").only(
            "id", "policy_id", "not_before"
        )
    )
    groups = list(_grouped(runs, size=_size(len(runs), batch.queue)))
    made = Chunk.objects.bulk_create(
        [
            Chunk(
                batch=batch,
                queue=batch.queue,
                not_before=max((r.not_before for r in group if r.not_before), default=None),
            )
            for group in groups
        ]
    )
    for chunk, group in zip(made, groups, strict=True):
        for run in group:
            run.chunk = chunk
    TrainingRun.objects.bulk_update(runs, ["chunk"], batch_size=1000)


def _size(number: int, queue: str) -> int:
    """Return runs for each chunk: a quarter of an even share, so that no slot waits long for the slowest."""
    slots = max(1, workers.slots(queue))
    return max(1, min(conf.current().chunk_runs, -(-number // (4 * slots))))


def _grouped(runs: Sequence[TrainingRun], *, size: int) -> Iterable[list[TrainingRun]]:
    for _, same_policy in groupby(runs, key=lambda run: run.policy_id):
        members = list(same_policy)
        yield from (members[start : start + size] for start in range(0, len(members), size))


def due(*, limit: int) -> list[Ticket]:
    """Take due chunks for their queues, what people wait for first, and no more than their workers can soon begin.

    The room is what the live slots of a queue take in a moment: the rest waits in the table, where it can be counted,
    cancelled and put in order, and not in the broker.
    """
    tickets: list[Ticket] = []
    for queue in QUEUES:
        in_hand = Chunk.objects.filter(queue=queue, state=Chunk.State.DISPATCHED).count()
        room = min(limit - len(tickets), ROOM * (workers.slots(queue) + 1) - in_hand)
        if room > 0:
            tickets += take(limit=room, queues=[queue])
    return tickets


def take(*, limit: int, queues: Sequence[str] = QUEUES, batch: Batch | None = None) -> list[Ticket]:
    """Mark due queued chunks as dispatched and return their tickets, oldest first; of one batch only, if given."""
    found = Chunk.objects.filter(Q(not_before=None) | Q(not_before__lte=Now()), state=Chunk.State.QUEUED)
    found = found.filter(batch=batch) if batch else found.filter(queue__in=queues)
    with transaction.atomic():
        picked = list(found.order_by("id").select_for_update(skip_locked=True, no_key=True)[:limit])
        ids = [chunk.pk for chunk in picked]
        taken = Chunk.objects.filter(id__in=ids)
        taken.update(state=Chunk.State.DISPATCHED, attempt=F("attempt") + 1, dispatched_at=Now())
        runs = TrainingRun.objects.filter(chunk__in=ids, state=TrainingRun.State.QUEUED)
        runs.update(state=TrainingRun.State.DISPATCHED, dispatched_at=Now())
    return [Ticket(chunk_id=chunk.pk, attempt=chunk.attempt + 1, queue=chunk.queue) for chunk in picked]


def put_back(tickets: Sequence[Ticket]) -> None:
    """Queue chunks again whose message could not be sent."""
    for ticket in tickets:
        requeue(Chunk.objects.filter(id=ticket.chunk_id, attempt=ticket.attempt, state=Chunk.State.DISPATCHED))


def requeue(found: Iterable[Chunk]) -> list[int]:
    """Queue these chunks and their open runs again; return the ids."""
    ids = [chunk.pk for chunk in found]
    Chunk.objects.filter(id__in=ids).update(state=Chunk.State.QUEUED, worker="", lease_until=None, fence=F("fence") + 1)
    open_runs = TrainingRun.objects.filter(chunk__in=ids, state__in=TrainingRun.OPEN)
    open_runs.update(state=TrainingRun.State.QUEUED, phase="", percent=0)
    return ids


def claim(*, chunk_id: int, attempt: int, worker: str) -> Claim | None:
    """Take a dispatched chunk and its runs, or return None where there is nothing to take: done, taken, or put back."""
    with transaction.atomic():
        mine = Chunk.objects.filter(id=chunk_id, attempt=attempt, state=Chunk.State.DISPATCHED)
        if not mine.update(state=Chunk.State.RUNNING, worker=worker, fence=F("fence") + 1, lease_until=_lease()):
            return None
        fence, queue = Chunk.objects.values_list("fence", "queue").get(id=chunk_id)
        TrainingRun.objects.filter(
            chunk=chunk_id, state__in=[TrainingRun.State.DISPATCHED, TrainingRun.State.QUEUED]
        ).update(
            state=TrainingRun.State.RUNNING,
            fence=fence,
            attempt=F("attempt") + 1,
            started_at=Coalesce("started_at", Now()),
        )
    return Claim(chunk_id=chunk_id, fence=fence, worker=worker, inline=queue == INLINE)


def _lease() -> object:
    return Now() + timedelta(seconds=conf.current().lease_seconds)


def _owned(claim: Claim) -> Q:
    return Q(id=claim.chunk_id, fence=claim.fence, state=Chunk.State.RUNNING)


def beat(claim: Claim) -> bool:
    """Renew the lease; False means that it is lost. An inline command also shows that its waiting chunks have it."""
    if claim.inline:
        waiting = Chunk.objects.filter(queue=INLINE, state=Chunk.State.QUEUED, batch__chunks=claim.chunk_id)
        Chunk.objects.filter(id__in=list(waiting.values_list("id", flat=True))).update(dispatched_at=Now())
    return bool(Chunk.objects.filter(_owned(claim)).update(lease_until=_lease()))


def lock(claim: Claim) -> Chunk:
    """Lock the chunk's row for this transaction. Raises LeaseLost where the claim no longer holds."""
    chunk = Chunk.objects.select_for_update(no_key=True).filter(_owned(claim)).first()
    if chunk is None:
        raise LeaseLost(f"Worker {claim.worker} lost chunk {claim.chunk_id} (fence {claim.fence}).")
    return chunk


def done(claim: Claim) -> None:
    """End a chunk all of whose work is committed. Raises LeaseLost."""
    if not Chunk.objects.filter(_owned(claim)).update(state=Chunk.State.DONE, lease_until=None):
        raise LeaseLost(f"Worker {claim.worker} lost chunk {claim.chunk_id} (fence {claim.fence}).")


def release(claim: Claim, *, delay_seconds: float = 0.0) -> None:
    """Give back what is left of a chunk, as at a shutdown: queued again after a delay, and no attempt charged."""
    with transaction.atomic():
        chunk = Chunk.objects.select_for_update(no_key=True).filter(_owned(claim)).first()
        if chunk is not None:
            TrainingRun.objects.filter(chunk=chunk, state=TrainingRun.State.RUNNING).update(attempt=F("attempt") - 1)
            requeue([chunk])
            Chunk.objects.filter(id=chunk.pk).update(not_before=Now() + timedelta(seconds=delay_seconds))


def runs_of(claim: Claim, *, only: Sequence[UUID] | None = None) -> list[TrainingRun]:
    """Return the runs that this claim has yet to carry out, all or some, in the order of their entities."""
    mine = TrainingRun.objects.filter(chunk=claim.chunk_id, fence=claim.fence, state=TrainingRun.State.RUNNING)
    mine = mine if only is None else mine.filter(id__in=only)
    related = mine.select_related("registered_model__fleet", "registered_model__champion", "policy__source", "version")
    return list(related.order_by("registered_model__entity_key"))


def count(batch_id: UUID) -> dict[str, int]:
    """Return the number of runs of a batch by state."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, count(*) FROM training_trainingrun WHERE batch_id = %s GROUP BY state", [batch_id]
        )
        return dict(cursor.fetchall())


def refresh(batch_id: UUID) -> None:
    """Count a batch anew from its rows, and end it where nothing of it is open any more.

    Counted, never incremented. Of two that count at once one may write an older count; the batch is open then still,
    and the next sweep counts again. Who ends it has seen every run ended, and nothing is written after that.
    """
    with connection.cursor() as cursor:
        cursor.execute(_REFRESH, [batch_id, batch_id, batch_id])


_REFRESH = """
WITH counted AS (
    SELECT coalesce(jsonb_object_agg(state, n), '{}'::jsonb) AS counts, coalesce(sum(n), 0) AS expected,
           coalesce(sum(n) FILTER (WHERE state IN ('queued', 'dispatched', 'running')), 0) AS open
    FROM (SELECT state, count(*) AS n FROM training_trainingrun WHERE batch_id = %s GROUP BY state) AS by_state
), unprepared AS (
    SELECT count(*) AS n FROM training_chunk WHERE batch_id = %s AND kind = 'prepare' AND state <> 'done'
)
UPDATE training_batch AS b
SET counts = counted.counts, expected = counted.expected,
    state = CASE WHEN counted.open = 0 AND (unprepared.n = 0 OR b.halted) THEN 'done' ELSE b.state END,
    finished_at = CASE WHEN counted.open = 0 AND (unprepared.n = 0 OR b.halted)
                       THEN coalesce(b.finished_at, now()) ELSE b.finished_at END
FROM counted, unprepared
WHERE b.id = %s AND b.state = 'open'
"""
