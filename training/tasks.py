"""The Celery tasks: parse, one call, return. The dispatcher here alone enqueues; a message is a hint."""

from __future__ import annotations

import logging
import os
from itertools import chain
from typing import Any

from celery import shared_task
from kombu.exceptions import OperationalError

from registry import conf as registry_conf
from registry import deadlines, locks, ticks
from training import chunks, clock, conf, scheduling, snapshot_retention, stalled, workers

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0


@shared_task(name="training.dispatch")
def dispatch(**_: Any) -> None:
    """Send a message for every due chunk that its workers can soon begin."""
    ticks.record("dispatch", at=clock.now())
    _send_due()


def _send_due() -> None:
    """Send messages; chunks whose message the broker does not take stay queued."""
    limits = conf.current()
    tickets = chunks.due(limit=limits.dispatch_at_once)
    for place, ticket in enumerate(tickets):
        try:
            # A message older than this is for an attempt that has been given up.
            carry_out.apply_async(
                kwargs={"chunk_id": ticket.chunk_id, "attempt": ticket.attempt},
                queue=ticket.queue,
                retry=False,
                expires=limits.dispatched_seconds,
            )
        except OperationalError as error:
            logger.warning("the broker takes no message, the chunks stay queued", extra={"error": str(error)})
            chunks.put_back(tickets[place:])
            return


@shared_task(name="training.fire_due_slots")
def fire_due_slots(**_: Any) -> None:
    """Open the batches of the slots that have come, and send what they begin with."""
    now = clock.now()
    ticks.record("due-slots", at=now)
    if scheduling.fire_due(now=now):
        _send_due()


@shared_task(name="training.requeue_stalled")
def requeue_stalled(**_: Any) -> None:
    """Put back what lost messages and dead workers left."""
    ticks.record("stalled-runs", at=clock.now())
    stalled.sweep()


@shared_task(name="training.inspect")
def inspect(**_: Any) -> None:
    """Let trainers read what was registered from elsewhere; the next tick goes on where this one had to end."""
    # Here and not above, as below: the reading is for a worker.
    from training import inspection

    if inspection.waits():
        inspection.inspect(now=clock.now, seconds=conf.current().inspect_seconds)


@shared_task(name="training.sweep_snapshots")
def sweep_snapshots(**_: Any) -> None:
    """Remove snapshots that nothing needs, then files of snapshots that no row names; the next tick goes on."""
    now = clock.now()
    ticks.record("snapshots", at=now)
    until = deadlines.after(SWEEP_SECONDS)
    with locks.lease("sweep:snapshots", seconds=registry_conf.current().lock_lease_seconds) as lease:
        steps = chain(snapshot_retention.sweep(at=now), snapshot_retention.sweep_orphans(at=now))
        for _step in steps if lease.held and registry_conf.current().retention_enabled else ():
            if until.is_over or not lease.owned():
                return


@shared_task(name="training.carry_out")
def carry_out(*, chunk_id: int, attempt: int, **_: Any) -> None:
    """Carry one chunk out."""
    # Here and not above: the control worker and the web process load this module and stay without science.
    from training import carrying

    carrying.carry_out(chunk_id=chunk_id, attempt=attempt, worker=workers.name_of(os.getpid()))
