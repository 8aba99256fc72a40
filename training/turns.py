"""Owns whose turn it is to read the source of a batch: one worker's, by a lease; a dead one's is over at once.

Saves double work. Who reads nevertheless harms nothing: the first snapshot of a batch stays.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from uuid import UUID

from registry import conf, locks
from training import workers


def take(batch_id: UUID) -> AbstractContextManager[locks.Lease]:
    """Hold the turn for a block, where no other process has it."""
    seconds = conf.current().lock_lease_seconds
    return locks.lease(_name(batch_id), seconds=seconds, holder=workers.name_of(os.getpid()))


def end(batch_id: UUID, *, worker: str) -> None:
    """End the turn of a worker that is dead; that of another goes on."""
    locks.end(_name(batch_id), holder=worker)


def _name(batch_id: UUID) -> str:
    return f"snapshot:{batch_id}"
