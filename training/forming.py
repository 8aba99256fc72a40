"""Puts the queued runs of a batch into chunks: of one policy, of neighbouring entities, as long as work has shown.

A chunk is to be `chunk_seconds` of work, and no more than a quarter of an even share of the slots, so that none waits
long for the slowest. Of a policy that has shown nothing yet the first chunks are small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from django.db import transaction
from django.db.models import F

from registry import rows
from training import chunks, conf, workers
from training.models import Batch, Chunk, TrainingRun

SHARE = 4
"""Chunks for each slot at least."""
APART = 16
"""Chunks into which runs are parted of which one takes too long."""
UNKNOWN_MOST = 10
"""Times the first size that chunks grow to while nothing is known: one that takes too long is given back."""


@dataclass(frozen=True, kw_only=True)
class _Group:
    """The runs of one chunk to be."""

    policy_id: int | None
    not_before: datetime | None
    run_ids: Sequence[UUID]
    seconds: float | None
    """Expected of one run; None: unknown."""


def open_batch(batch: Batch) -> None:
    """Make the first chunks of a batch: one that prepares it where anything is left to be listed, else of its runs."""
    if batch.discovers or not batch.listed:
        Chunk.objects.create(batch=batch, kind=Chunk.Kind.PREPARE, queue=batch.queue)
        return
    form(batch)
    chunks.refresh(batch.pk)


def form(batch: Batch, *, claim: chunks.Claim | None = None) -> None:
    """Put the queued runs of a batch that have no chunk into chunks, by policy, time and entity.

    Each few thousand runs are a transaction of their own: what a crash leaves has no chunk, and whoever prepares the
    batch next forms it. With a claim, raises LeaseLost where it no longer holds.
    """
    for some in _pieces(_groups(batch), most=conf.current().chunk_runs):
        with transaction.atomic():
            if claim is not None:
                chunks.lock(claim)
            _write(batch, some)


def form_again(claim: chunks.Claim, batch: Batch) -> None:
    """End a chunk that takes longer than was expected, and form what is left of it by what it took. Raises LeaseLost.

    No attempt is charged.
    """
    with transaction.atomic():
        chunks.lock(claim)
        left = TrainingRun.objects.filter(
            chunk=claim.chunk_id, fence=claim.fence, state=TrainingRun.State.RUNNING, batch=batch
        )
        left.update(chunk=None, state=TrainingRun.State.QUEUED, phase="", percent=0, attempt=F("attempt") - 1)
        form(batch)


def form_apart(claim: chunks.Claim, batch: Batch, run_ids: Sequence[UUID]) -> None:
    """Give runs of a chunk back in chunks of a sixteenth of them each: one of them took all the time that there was.

    So it is alone after a few rounds, and its neighbours are done. No attempt is charged. Raises LeaseLost.
    """
    size = -(-len(run_ids) // APART)
    with transaction.atomic():
        chunk = chunks.lock(claim)
        left = TrainingRun.objects.filter(chunk=chunk, fence=claim.fence, state=TrainingRun.State.RUNNING)
        left = left.filter(pk__in=run_ids)
        open_ids = set(left.values_list("pk", flat=True))
        ids = [run_id for run_id in run_ids if run_id in open_ids]
        left.update(chunk=None, state=TrainingRun.State.QUEUED, phase="", percent=0, attempt=F("attempt") - 1)
        parts = [ids[start : start + size] for start in range(0, len(ids), size)]
        policy_id = chunk.policy_id
        _write(batch, [_Group(policy_id=policy_id, not_before=None, run_ids=part, seconds=None) for part in parts])


def _groups(batch: Batch) -> Iterator[_Group]:
    waiting = rows.found(_WAITING, [batch.pk])
    slots = max(1, workers.slots(batch.queue))
    for policy_id, same in groupby(waiting, key=lambda row: row[0]):
        members = list(same)
        seconds = _seconds(policy_id, batch.kind)
        start = 0
        for size in sizes(len(members), slots=slots, seconds=seconds, limits=conf.current()):
            some = members[start : start + size]
            start += size
            latest = max((row[1] for row in some if row[1]), default=None)
            yield _Group(policy_id=policy_id, not_before=latest, run_ids=[row[2] for row in some], seconds=seconds)


def sizes(number: int, *, slots: int, seconds: float | None, limits: conf.TrainingConf) -> Iterator[int]:
    """Yield the sizes of chunks for so many runs of one policy, of which one takes so many seconds; None: unknown."""
    most = max(1, min(limits.chunk_runs, -(-number // (SHARE * slots))))
    size = limits.chunk_runs_unknown if seconds is None else int(limits.chunk_seconds / max(seconds, 1e-6))
    made = 0
    while number > 0:
        size = max(1, min(size, most, number))
        yield size
        number, made = number - size, made + 1
        if seconds is None and made % (SHARE * slots) == 0:
            size = min(2 * size, UNKNOWN_MOST * limits.chunk_runs_unknown)


def _seconds(policy_id: int | None, kind: str) -> float | None:
    """Return what a run of this policy takes, by its newest chunks; None where nothing is known."""
    [(seconds,)] = rows.found(_TAKEN, [policy_id, kind])
    return None if seconds is None else float(seconds)


def _pieces(groups: Iterator[_Group], *, most: int) -> Iterator[list[_Group]]:
    """Yield groups as many at a time as come to about so many runs."""
    some: list[_Group] = []
    for group in groups:
        some.append(group)
        if sum(len(each.run_ids) for each in some) >= most:
            yield some
            some = []
    if some:
        yield some


def _write(batch: Batch, groups: Sequence[_Group]) -> None:
    made = Chunk.objects.bulk_create(
        [
            Chunk(
                batch=batch,
                policy_id=group.policy_id,
                queue=batch.queue,
                not_before=group.not_before,
                size=len(group.run_ids),
                expected_seconds=None if group.seconds is None else group.seconds * len(group.run_ids),
            )
            for group in groups
        ]
    )
    given = [(run_id, chunk.pk) for chunk, group in zip(made, groups, strict=True) for run_id in group.run_ids]
    rows.found(_ASSIGN, [[run_id for run_id, _ in given], [chunk_id for _, chunk_id in given]])


# By the bytes of the key, as the rows of a snapshot are sorted, whatever the database's own order of texts.
_WAITING = """
SELECT r.policy_id, r.not_before, r.id FROM training_trainingrun AS r
JOIN registry_registeredmodel AS m ON m.id = r.registered_model_id
WHERE r.batch_id = %s::uuid AND r.state = 'queued' AND r.chunk_id IS NULL
ORDER BY r.policy_id, r.not_before, m.entity_key COLLATE "C"
"""
_TAKEN = """
SELECT sum(seconds) / nullif(sum(ended), 0) FROM (
    SELECT c.seconds, c.ended FROM training_chunk AS c JOIN training_batch AS b ON b.id = c.batch_id
    WHERE c.policy_id = %s::bigint AND c.ended > 0 AND b.kind = %s::text ORDER BY c.id DESC LIMIT 20
) AS newest
"""
_ASSIGN = """
UPDATE training_trainingrun AS r SET chunk_id = given.chunk
FROM unnest(%s::uuid[], %s::bigint[]) AS given(run, chunk)
WHERE r.id = given.run AND r.chunk_id IS NULL AND r.state = 'queued' RETURNING 1
"""
