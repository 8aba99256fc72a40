"""Carries a claimed chunk out: has its batch prepared, or works through its runs slice by slice.

One failure ends one run.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from uuid import UUID

from billiard.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError, connection, transaction

from registry import deadlines, errors
from training import (
    chunks,
    claimed,
    clock,
    conf,
    evaluating,
    forming,
    heartbeat,
    outcomes,
    preparing,
    retraining,
    snapshots,
    stalled,
    workers,
)
from training.models import Batch, Chunk, Snapshot, TrainingRun
from training.outcomes import Outcome
from training.retraining import Work

logger = logging.getLogger(__name__)
FIRST_SLICE = 2
FIRST_KNOWN = 16
FIRST_SHOWN = 128
"""Runs of a first slice: where nothing is known of them, where former batches say, and where this one has shown it."""
GROWTH = 8
DATABASE_REST_SECONDS = 5.0
"""Before a chunk that the database failed is tried again."""


def carry_out(*, chunk_id: int, attempt: int, worker: str) -> None:
    """Claim a chunk and carry it out; do nothing where there is nothing to claim, as for a message that came twice."""
    claim = chunks.claim(chunk_id=chunk_id, attempt=attempt, worker=worker)
    if claim is None:
        logger.info("nothing to claim", extra={"chunk": chunk_id, "attempt": attempt})
        return
    chunk = Chunk.objects.select_related("batch__fleet", "batch__policy").get(pk=chunk_id)
    with heartbeat.beating(claim) as pulse:
        try:
            if chunk.kind == Chunk.Kind.PREPARE:
                preparing.prepare(claim, chunk.batch)
            else:
                _work(claim, pulse, chunk.batch)
            chunks.done(claim)
        except chunks.LeaseLost as error:
            logger.warning("lost_lease", extra={"chunk": chunk_id, "worker": worker, "sentence": error.sentence})
        except (OperationalError, InterfaceError) as error:
            # The database could not take it now, which says nothing of the runs: nobody is charged.
            logger.warning("a chunk goes back, the database failed it", extra={"chunk": chunk_id, "error": str(error)})
            if not connection.is_usable():
                connection.close()
            chunks.release(claim, delay_seconds=DATABASE_REST_SECONDS)
        except (SystemExit, KeyboardInterrupt, SoftTimeLimitExceeded):
            # A shutdown, Ctrl-C or the time limit charges no attempt: what is left is queued again.
            chunks.release(claim)
            raise
    chunks.settle(chunk.batch_id)


def resume(*, worker: str) -> None:
    """Carry on what an inline command left that ended early, where no worker is alive to do it."""
    stalled.sweep()
    while not workers.serving("interactive") and (left := chunks.take(limit=1, queues=["interactive"])):
        carry_out(chunk_id=left[0].chunk_id, attempt=left[0].attempt, worker=worker)


def inline(batch: Batch, *, worker: str) -> None:
    """Carry a whole batch of the queue `inline` out in this process; needs no worker and no broker."""
    while tickets := chunks.take(limit=1, batch=batch):
        carry_out(chunk_id=tickets[0].chunk_id, attempt=tickets[0].attempt, worker=worker)


def _work(claim: chunks.Claim, pulse: heartbeat.Pulse, batch: Batch) -> None:
    mine = claimed.ids(claim)
    if not mine:
        return
    try:
        with preparing.reported(batch):
            snapshot = snapshots.ensure(batch)
    except errors.PerennialError as error:
        _fail(claim, mine, error)
        return
    longest = deadlines.after(conf.current().chunk_longest_seconds)
    for some in _slices(mine, pace=claimed.pace(claim)):
        with collected_afterwards():
            _slice(claim, pulse, snapshot, some)
        if longest.is_over and not claim.inline and some[-1] != mine[-1]:
            forming.form_again(claim, batch)
            return


def _slice(claim: chunks.Claim, pulse: heartbeat.Pulse, snapshot: Snapshot, some: Sequence[UUID]) -> None:
    began = monotonic()
    # Read again: what was cancelled meanwhile is not fitted, and a champion that moved is met as it is.
    if still := claimed.runs(claim, only=some):
        _carry(Work(claim=claim, pulse=pulse, snapshot=snapshot, runs=still))
        chunks.worked(claim, ended=len(still), seconds=monotonic() - began)
        chunks.progressed(still[0].batch_id)


@contextlib.contextmanager
def collected_afterwards() -> Iterator[None]:
    """Look for garbage in cycles once behind a block: all that a slice makes lives as long as the slice.

    Python would walk through the hundreds of objects of each of its runs again and again: 45 % of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
        gc.collect()


def _slices(mine: Sequence[UUID], *, pace: claimed.Pace) -> Iterator[Sequence[UUID]]:
    """Yield the runs in slices whose work takes about `commit_every_seconds`, reckoned from the slice before.

    The first one goes by what a run is expected to take, and is small where this batch has not shown it yet: another
    recipe may take a hundred times as long, and what a killed worker loses has to stay within those seconds.
    """
    limits = conf.current()
    budget = 0.8 * limits.commit_every_seconds
    size = _first(pace, budget)
    start = 0
    while start < len(mine):
        size = max(1, min(size, limits.slice_runs))
        began, some = monotonic(), mine[start : start + size]
        yield some
        start += len(some)
        each = max((monotonic() - began) / len(some), 1e-4)
        size = min(GROWTH * size, int(budget / each))


def _first(pace: claimed.Pace, budget: float) -> int:
    if pace.seconds is None:
        return FIRST_SLICE
    fits = int(budget / 2 / max(pace.seconds, 1e-4))
    return min(fits, FIRST_SHOWN if pace.shown else FIRST_KNOWN)


def _carry(work: Work) -> None:
    """Carry one slice out. Where something unforeseen ends it, its halves are tried, down to the run that it ends."""
    page: Callable[[Work], list[Outcome]] = (
        retraining.retrain if work.runs[0].kind == TrainingRun.Kind.RETRAIN else evaluating.evaluate
    )
    try:
        page(work)
        return
    except (chunks.LeaseLost, OperationalError, InterfaceError):
        raise
    except errors.Unavailable as error:
        # A store that does not answer fails each of them; asking it again for every half would take hours.
        _end(work, error)
        return
    except SoftTimeLimitExceeded as error:
        _out_of_time(work, error)
        raise
    except Exception as error:
        if len(work.runs) == 1:
            _end(work, error)
            return
    # Behind the handler, which holds all that the failed slice had made: its halves need the room.
    _halve(work)


def _out_of_time(work: Work, error: SoftTimeLimitExceeded) -> None:
    """End a run alone that took all the time there is for a chunk; of several give each part a chunk of its own."""
    if len(work.runs) == 1:
        _end(work, error)
    else:
        forming.form_apart(work.claim, work.runs[0].batch, [run.pk for run in work.runs])


def _halve(work: Work) -> None:
    middle = len(work.runs) // 2
    for half in (work.runs[:middle], work.runs[middle:]):
        _carry(Work(claim=work.claim, pulse=work.pulse, snapshot=work.snapshot, runs=half))


def _end(work: Work, error: Exception) -> None:
    """End all runs of a slice with what nobody foresaw, told once in the log."""
    runs = [str(run.pk) for run in work.runs[: retraining.FEW]]
    logger.error("%s runs ended with %s", len(work.runs), type(error).__name__, exc_info=error, extra={"runs": runs})
    _close(work.claim, [_unforeseen(run, error) for run in work.runs])


def _unforeseen(run: TrainingRun, error: Exception) -> Outcome:
    """Return how a run ends that nobody foresaw, with what a person needs to look into it."""
    state, code, next_step = TrainingRun.State.FAILED, "internal_error", "Report this with the run's log."
    if isinstance(error, MemoryError):
        code, next_step = "out_of_memory", "Shorten its look-back, or give the workers more memory."
    elif isinstance(error, SoftTimeLimitExceeded):
        state, code, next_step = (
            TrainingRun.State.TIMED_OUT,
            "timed_out",
            "Shorten its look-back, or try a faster trainer.",
        )
    elif isinstance(error, errors.PerennialError):
        code, next_step = error.code, error.next_step
    told = error.sentence if isinstance(error, errors.PerennialError) else f"{type(error).__name__}: {str(error)[:500]}"
    trace = "".join(traceback.format_exception(error))[-4000:]
    return Outcome(run_id=run.pk, state=state, code=code, sentence=told, next_step=next_step, log=(("error", trace),))


def _fail(claim: chunks.Claim, mine: Sequence[UUID], error: errors.PerennialError) -> None:
    ended = TrainingRun.State.FAILED
    _close(
        claim,
        [
            Outcome(run_id=run_id, state=ended, code=error.code, sentence=error.sentence, next_step=error.next_step)
            for run_id in mine
        ],
    )


def _close(claim: chunks.Claim, ended: Sequence[Outcome]) -> None:
    with transaction.atomic():
        ours = outcomes.held(claim, [each.run_id for each in ended])
        outcomes.close([each for each in ended if each.run_id in ours], at=clock.now())
