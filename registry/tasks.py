"""The registry's Celery tasks: parse, one call at a time, return. A tick works for `TICK_SECONDS`; the next goes on.

Every step commits by itself and finds what is left by rows, so that a lost lease or a second worker costs work alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from time import monotonic
from typing import Any, TypeVar

from celery import shared_task

from registry import conf, locks, retention, ticks, timestamps
from registry.export import following
from registry.retention import orphans, sweeping
from registry.retention.selection import Scope

T = TypeVar("T")
logger = logging.getLogger(__name__)

TICK_SECONDS = 60.0
ACTOR = "retention"


@shared_task(name="registry.prune")
def prune(**_: Any) -> None:
    """Mark what no rule keeps in any fleet, then sweep what was marked long enough ago."""
    now = timestamps.utc_now()
    ticks.record("retention", at=now)
    if not conf.current().retention_enabled:
        return
    marked = sum(len(step.versions) for step in _in_time("retention-mark", _mark(now)))
    steps = list(_in_time("retention-sweep", sweeping.sweep(actor=ACTOR, at=now)))
    swept, freed = sum(len(step.versions) for step in steps), sum(step.removed.size for step in steps)
    if marked or swept:
        logger.info("retention marked %s versions and swept %s, %s bytes", marked, swept, freed)


@shared_task(name="registry.sweep_orphans")
def sweep_orphans(**_: Any) -> None:
    """Remove objects that are nobody's, and say which versions have lost theirs."""
    now = timestamps.utc_now()
    ticks.record("orphans", at=now)
    if not conf.current().retention_enabled:
        return
    orphans.sweep_temporary(at=now)
    first = ticks.reached("orphans")
    found = list(_in_time("orphans", (orphans.survey(each, at=now) for each in range(first, orphans.FOLDERS))))
    if orphans.is_foreign(found):
        logger.error("most objects of the store are nobody's here, so none is removed: see `manage.py orphans`")
        return
    for each in _in_time("orphans-delete", found):
        orphans.compact(each.folder)
        if each.strays:
            orphans.delete(orphans.look(each.folder, at=now), at=now)
    if absent := sum(each.absent for each in found):
        logger.error("%s versions have no object in the store: see `manage.py orphans`", absent)
    ticks.keep("orphans", (first + len(found)) % orphans.FOLDERS, at=now)


@shared_task(name="registry.export")
def export_versions(**_: Any) -> None:
    """Bring the export folders closer to what the ledger tells."""
    now, limits = timestamps.utc_now(), conf.current()
    ticks.record("export", at=now)
    with locks.lease("sweep:export", seconds=limits.lock_lease_seconds) as lease:
        if lease.held:
            following.sweep(at=now, seconds=limits.export_seconds)


def _mark(now: datetime) -> Iterator[retention.Marked]:
    for step in retention.mark(Scope(), actor=ACTOR, at=now, after=ticks.reached("retention")):
        ticks.keep("retention", step.resume, at=now)
        yield step
    ticks.keep("retention", 0, at=now)


def _in_time(name: str, steps: Iterable[T]) -> Iterator[T]:
    """Yield steps until they or the tick end; none where another worker is at it."""
    ends = monotonic() + TICK_SECONDS
    with locks.lease(f"sweep:{name}", seconds=conf.current().lock_lease_seconds) as lease:
        if not lease.held:
            return
        for step in steps:
            yield step
            if monotonic() > ends or not lease.owned():
                return
