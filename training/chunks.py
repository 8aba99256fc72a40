"""The state machine of chunks, the only unit of dispatch, claim and heartbeat: taken, claimed, kept, done.

Every write is conditional on the state and, once claimed, on the fence. The clock is the database's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from registry import errors, rows
from training import conf
from training.models import Batch, Chunk, TrainingRun

QUEUES = ("control", "interactive", "training", "monitoring")
"""In the order in which they are served."""
INLINE = "inline"
"""The queue of commands that carry their own runs out; no worker serves it."""
ROOM = 4
"""Chunks handed out for each live slot: enough to keep it busy for the second until the next tick."""
COUNT_SECONDS = 30.0
"""Between two counts of the runs of a batch while it goes on: of a large one each takes a part of a second."""
MARKED_RUNS = 50
"""Runs of a chunk that are marked as dispatched one by one; of a larger one the chunk alone says so."""
SECONDS_AHEAD = 5.0
"""Work handed out for each live slot, as far as it is known: the rest waits where it can be put in order."""


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


def due(*, limit: int) -> list[Ticket]:
    """Take due chunks for their queues, what people wait for first, and no more than their workers can soon begin.

    The room is what the live slots of a queue take in a moment, by number and by expected seconds: the rest waits in
    the table, where it can be counted, cancelled and put in order, and not in the broker.
    """
    tickets: list[Ticket] = []
    for queue, slots, out, seconds in rows.found(_ROOM, [conf.current().worker_silent_seconds, list(QUEUES)]):
        room = min(limit - len(tickets), ROOM * (slots + 1) - out)
        if room > 0:
            ahead = _Ahead(least=slots + 1 - out, seconds=SECONDS_AHEAD * (slots + 1) - seconds)
            tickets += take(limit=room, queues=[queue], ahead=ahead)
    return tickets


_ROOM = """
WITH seats AS (
    SELECT queue, sum(slots) AS slots FROM training_worker CROSS JOIN LATERAL unnest(queues) AS queue
    WHERE stopped_at IS NULL AND seen_at >= statement_timestamp() - %s::float8 * interval '1 second' GROUP BY queue
), handed AS (
    SELECT queue, count(*) AS out, sum(coalesce(expected_seconds, 0)) AS seconds FROM training_chunk
    WHERE state = 'dispatched' GROUP BY queue
)
SELECT queue, coalesce(slots, 0)::int, coalesce(out, 0)::int, coalesce(seconds, 0)::float8
FROM unnest(%s::text[]) WITH ORDINALITY AS served(queue, place)
LEFT JOIN seats USING (queue) LEFT JOIN handed USING (queue)
WHERE EXISTS (SELECT FROM training_chunk AS c WHERE c.queue = served.queue AND c.state = 'queued') ORDER BY place
"""


@dataclass(frozen=True, kw_only=True)
class _Ahead:
    """How much work may lie ready: expected seconds of it, but a few chunks however long they are."""

    least: int
    seconds: float

    def cut(self, picked: Sequence[Chunk]) -> list[Chunk]:
        """Return the first of the chunks that fit."""
        sums = accumulate(chunk.expected_seconds or 0.0 for chunk in picked)
        fits = [place < self.least or total <= self.seconds for place, total in enumerate(sums)]
        return [chunk for chunk, fit in zip(picked, fits, strict=True) if fit]


def take(
    *, limit: int, queues: Sequence[str] = QUEUES, batch: Batch | None = None, ahead: _Ahead | None = None
) -> list[Ticket]:
    """Mark due queued chunks as dispatched and return their tickets, oldest first; of one batch only, if given.

    So are their runs, but for those of large chunks, which stay queued until they are claimed: the dispatcher, for
    which everybody waits, never writes thousands of rows to say for a moment that a message is out.
    """
    found = Chunk.objects.filter(Q(not_before=None) | Q(not_before__lte=Now()), state=Chunk.State.QUEUED)
    found = found.filter(batch=batch) if batch else found.filter(queue__in=queues)
    with transaction.atomic():
        picked = list(found.order_by("id").select_for_update(skip_locked=True, no_key=True)[:limit])
        picked = picked if ahead is None else ahead.cut(picked)
        ids = [chunk.pk for chunk in picked]
        taken = Chunk.objects.filter(id__in=ids)
        taken.update(state=Chunk.State.DISPATCHED, attempt=F("attempt") + 1, dispatched_at=Now())
        small = [chunk.pk for chunk in picked if chunk.size <= MARKED_RUNS]
        runs = TrainingRun.objects.filter(chunk__in=small, state=TrainingRun.State.QUEUED)
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
    begun = [TrainingRun.State.DISPATCHED, TrainingRun.State.RUNNING]
    open_runs = TrainingRun.objects.filter(chunk__in=ids, state__in=begun)
    open_runs.update(state=TrainingRun.State.QUEUED, phase="", percent=0)
    return ids


def claim(*, chunk_id: int, attempt: int, worker: str) -> Claim | None:
    """Take a dispatched chunk and its runs, or return None where there is nothing to take: done, taken, or put back."""
    taken = rows.found(_CLAIM, [worker, conf.current().lease_seconds, chunk_id, attempt])
    return next(
        (Claim(chunk_id=chunk_id, fence=fence, worker=worker, inline=queue == INLINE) for fence, queue in taken), None
    )


_CLAIM = """
WITH mine AS (
    UPDATE training_chunk SET state = 'running', worker = %s::text, fence = fence + 1,
        lease_until = statement_timestamp() + %s::float8 * interval '1 second'
    WHERE id = %s::bigint AND attempt = %s::int AND state = 'dispatched' RETURNING id, fence, queue
), begun AS (
    UPDATE training_trainingrun AS r SET state = 'running', fence = mine.fence, attempt = r.attempt + 1,
        started_at = coalesce(r.started_at, statement_timestamp())
    FROM mine WHERE r.chunk_id = mine.id AND r.state IN ('dispatched', 'queued')
)
SELECT fence, queue FROM mine
"""


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


def worked(claim: Claim, *, ended: int, seconds: float) -> None:
    """Note that runs of the chunk were carried out, and what they took: later chunks are formed by it."""
    Chunk.objects.filter(_owned(claim)).update(ended=F("ended") + ended, seconds=F("seconds") + seconds)


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


def progressed(batch_id: UUID) -> None:
    """Count a batch anew where nobody did for a while; for its workers, whom nobody waits for."""
    limit = Now() - timedelta(seconds=COUNT_SECONDS)
    if Batch.objects.filter(Q(counted_at=None) | Q(counted_at__lt=limit), pk=batch_id).exists():
        refresh(batch_id)


def settle(batch_id: UUID) -> None:
    """Count a batch anew where no chunk of it is open any more, which may end it.

    Of two workers that end its last chunks at once the later one finds none open: each ends its own before it looks.
    """
    open_states = [Chunk.State.QUEUED, Chunk.State.DISPATCHED, Chunk.State.RUNNING]
    if not Chunk.objects.filter(batch=batch_id, state__in=open_states).exists():
        refresh(batch_id)


_REFRESH = """
WITH counted AS (
    SELECT coalesce(jsonb_object_agg(state, n), '{}'::jsonb) AS counts, coalesce(sum(n), 0) AS expected,
           coalesce(sum(n) FILTER (WHERE state IN ('queued', 'dispatched', 'running')), 0) AS open
    FROM (SELECT state, count(*) AS n FROM training_trainingrun WHERE batch_id = %s GROUP BY state) AS by_state
), unprepared AS (
    SELECT count(*) AS n FROM training_chunk WHERE batch_id = %s AND kind = 'prepare' AND state <> 'done'
)
UPDATE training_batch AS b
SET counts = counted.counts, expected = counted.expected, counted_at = statement_timestamp(),
    state = CASE WHEN counted.open = 0 AND (unprepared.n = 0 OR b.halted) THEN 'done' ELSE b.state END,
    finished_at = CASE WHEN counted.open = 0 AND (unprepared.n = 0 OR b.halted)
                       THEN coalesce(b.finished_at, now()) ELSE b.finished_at END
FROM counted, unprepared
WHERE b.id = %s AND b.state = 'open'
"""
