"""Owns which stored objects no version needs any more, and removes them. Refuses young ones: their row may still come.

Rows and ages are read under a lock that keeps those out who store the same bytes once more, so that nobody who then
registers them ends with a row without its file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

from registry import artifacts, conf, deadlines, display, ownership, sweep_locks
from registry.deadlines import Deadline
from registry.retention import removal
from registry.store import Entry, Store

logger = logging.getLogger(__name__)

_UNNEEDED = """
SELECT wanted.digest FROM unnest(%s::text[]) AS wanted(digest)
WHERE NOT EXISTS (
    SELECT 1 FROM registry_modelversion AS v
    WHERE v.artifact_digest = wanted.digest AND v.artifact_container = '' AND v.state <> 'deleted'
) AND NOT EXISTS (
    SELECT 1 FROM registry_modelversion AS v
    WHERE v.artifact_container = wanted.digest AND v.artifact_container <> '' AND v.state <> 'deleted'
)
"""


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Objects that went, and their bytes."""

    objects: int = 0
    size: int = 0
    left: int = 0
    """Objects that there was no time for."""

    def __add__(self, other: Removed) -> Removed:
        return Removed(objects=self.objects + other.objects, size=self.size + other.size, left=self.left + other.left)


def remove(digests: Iterable[str], *, at: datetime, until: Deadline = deadlines.NEVER) -> Removed:
    """Remove those of these objects that no version needs and that are old enough; call it outside a transaction.

    What is left because time is over, because others were at work, or because it is young, is found by the sweep of
    orphans. Raises StoreUnavailable.
    """
    removed = Removed()
    for place, some in enumerate(removal.slices(sorted(set(digests)))):
        if place and until.is_over:
            removed += Removed(left=len(some))
            continue
        try:
            removed += _remove(some, at=at)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            left = display.counted(len(some), "object")
            logger.warning("left for the sweep of orphans: %s, for such bytes are being stored", left)
    return removed


def old_before(at: datetime) -> datetime:
    """Return the instant since which no object may have been put that is taken as nobody's."""
    return at - timedelta(hours=conf.current().orphan_grace_hours)


def _remove(digests: Sequence[str], *, at: datetime) -> Removed:
    opened = ownership.artifact_store()
    # First without the lock, so that nobody waits for what is not to go.
    old = [digest for digest in digests if _old_entry(opened, digest, at)]
    going = removal.remove(
        opened,
        lambda: [entry for digest in _unneeded(old) if (entry := _old_entry(opened, digest, at))],
        lock=sweep_locks.ARTIFACTS,
    )
    return Removed(objects=len(going), size=sum(entry.size for entry in going))


def _old_entry(opened: Store, digest: str, at: datetime) -> Entry | None:
    entry = opened.find(artifacts.key_of(digest))
    return entry if entry and entry.modified < old_before(at) else None


def _unneeded(digests: Sequence[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_UNNEEDED, [list(digests)])
        return [row[0] for row in cursor.fetchall()]
