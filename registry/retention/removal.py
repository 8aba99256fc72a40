"""Owns the last step of every sweep of files: decided once more under the lock that keeps others out, then deleted.

Refuses to delete where the database has ended the session, and with it the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from django.db import transaction

from registry import sweep_locks
from registry.store import Entry, Store

T = TypeVar("T")

# Who stores bytes that are there already waits meanwhile, and a slow store answers in tenths of a second.
REMOVED_AT_ONCE = 20


def slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield them in their order, so many at a time as may go under one lock."""
    for start in range(0, len(items), REMOVED_AT_ONCE):
        yield items[start : start + REMOVED_AT_ONCE]


def remove(opened: Store, still_going: Callable[[], list[Entry]], *, lock: int) -> list[Entry]:
    """Delete what `still_going` returns under the lock, and return it; in a transaction of its own.

    Raises StoreUnavailable, and a DatabaseError where the lock cannot be had or was lost.
    """
    with transaction.atomic(durable=True):
        sweep_locks.have_alone(lock)
        going = still_going()
        sweep_locks.assure()
        opened.delete([each.key for each in going])
    return going
