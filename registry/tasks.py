"""The registry's Celery tasks: parse, one call at a time, return. A tick works for `TICK_SECONDS`; the next goes on.

Every step commits by itself and finds what is left by rows, so that a lost lease or a second worker costs work alone.
What fails in one fleet, or in one of the jobs, is logged and leaves the others be.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from celery import shared_task

from registry import conf, deadlines, display, errors, locks, ticks, timestamps
from registry.deadlines import Deadline
from registry.export import following
from registry.retention import forgetting, marking, orphans, sweeping
from registry.upkeep import store_watch

T = TypeVar("T")
logger = logging.getLogger(__name__)

TICK_SECONDS = 60.0
ACTOR = "retention"


@shared_task(name="registry.mark")
def mark(**_: Any) -> None:
    """Mark what no rule keeps, fleet after fleet."""
    now, until = _begin("retention")
    if not conf.current().retention_enabled:
        return
    marked = sum(len(step.versions) for step in _in_time("retention-mark", marking.go_on(actor=ACTOR, at=now), until))
    if marked:
        logger.info("retention marked %s", display.counted(marked, "version"))


@shared_task(name="registry.sweep")
def sweep(**_: Any) -> None:
    """Delete what was marked long enough ago."""
    now, until = _begin("retention-sweep")
    if not conf.current().retention_enabled:
        return
    steps = list(_in_time("retention-sweep", sweeping.go_on(actor=ACTOR, at=now, until=until), until))
    swept, freed = sum(len(step.versions) for step in steps), sum(step.removed.size for step in steps)
    if swept:
        logger.info("retention swept %s, %s bytes", display.counted(swept, "version"), freed)
    _tell_refused([error for step in steps for error in step.refused.values()])


@shared_task(name="registry.sweep_orphans")
def sweep_orphans(**_: Any) -> None:
    """Remove objects that are nobody's, and say which versions have lost theirs."""
    now, until = _begin("orphans")
    if not conf.current().retention_enabled:
        return
    first = ticks.reached("orphans")
    # Looking has half of the time: what is found is to be removed within this tick.
    looking = deadlines.after(TICK_SECONDS / 2)
    found = list(_in_time("orphans", (orphans.survey(each, at=now) for each in range(first, orphans.FOLDERS)), looking))
    if orphans.is_foreign(found):
        logger.error("most objects of the store are nobody's here, so none is removed: see `manage.py orphans`")
        return
    cleaned = (orphans.clean(each.folder, at=now, until=until) for each in found)
    # A folder that there was no time for is the first of the next tick.
    done = sum(_in_time("orphans-delete", cleaned, until))
    if absent := sum(each.absent for each in found):
        logger.error("no object in the store for %s: see `manage.py orphans`", display.counted(absent, "version"))
    ticks.keep("orphans", (first + done) % orphans.FOLDERS, at=now)


@shared_task(name="registry.sweep_temporary")
def sweep_temporary(**_: Any) -> None:
    """Remove files that killed writers left half-written."""
    now, until = _begin("temporary")
    if not conf.current().retention_enabled:
        return
    for step in _in_time("temporary", orphans.sweep_temporary(at=now, first=ticks.reached("temporary")), until):
        ticks.keep("temporary", step.resume, at=now)


@shared_task(
    name="registry.look_at_stores",
    time_limit=store_watch.LOOK_SECONDS,
    # Celery refuses to send a task whose soft limit, that of all tasks, lies beyond its hard one.
    soft_time_limit=store_watch.LOOK_SECONDS,
)
def look_at_stores(**_: Any) -> None:
    """Note whether the store whose turn it is is there; a page or a probe that told it would have to wait for it."""
    now, _until = _begin("stores")
    store_watch.look(at=now)


@shared_task(name="registry.export")
def export_versions(**_: Any) -> None:
    """Bring the export folders closer to what the ledger tells."""
    now, limits = timestamps.utc_now(), conf.current()
    ticks.record("export", at=now)
    with locks.lease("sweep:export", seconds=limits.lock_lease_seconds) as lease:
        if lease.held:
            following.sweep(at=now, seconds=limits.export_seconds)


def _tell_refused(refused: Sequence[errors.PerennialError]) -> None:
    """Log once what a tick had to leave, by code: it stays due, and comes up in every round."""
    counted = Counter(each.code for each in refused if not isinstance(each, forgetting.NotCopiedInTime))
    for code, count in counted.items():
        example = next(each for each in refused if each.code == code)
        due = display.counted(count, "due version")
        logger.warning("retention left %s: %s, such as: %s", due, code, example)


def _begin(name: str) -> tuple[datetime, Deadline]:
    now = timestamps.utc_now()
    ticks.record(name, at=now)
    return now, deadlines.after(TICK_SECONDS)


def _in_time(name: str, steps: Iterable[T], until: Deadline) -> Iterator[T]:
    """Yield steps until they or the time end, at least one; none where another worker is at it."""
    with locks.lease(f"sweep:{name}", seconds=conf.current().lock_lease_seconds) as lease:
        if not lease.held:
            return
        for step in steps:
            yield step
            if until.is_over or not lease.owned():
                return
