"""Owns whether a version from elsewhere may be used: its trainer reads the forecaster, in a process that may die of it.

What is read becomes ready, what is refused is quarantined for good, each told in the ledger as soon as it is known.
What ends or stalls the reading process is tried again, some times, before it is turned away. Tenants share the time:
whoever has taken the least of it is next, so that files of one that stall do not keep those of another waiting.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from registry import errors, lifecycle, limits, locks
from registry.locks import Lease
from registry.models import ModelVersion
from registry.store import StoreUnavailable
from training import attempts, conf, forecasting
from training.attempts import Tried
from training.readers import Reader, ReaderUnavailable
from training.reading import Answer, Outcome

logger = logging.getLogger(__name__)

ACTOR = "inspection"
AT_ONCE = 200
# Recorded in one transaction, where they follow each other quickly.
RECORDED_AT_ONCE = 25
# After that the waiting are looked for again: somebody else may have sent something.
LOOKED_FOR_SECONDS = 5.0
LEASE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """How many versions became ready, why others were turned away, and why some wait for another try, by id."""

    admitted: int = 0
    turned_away: Mapping[UUID, str] = field(default_factory=dict)
    waiting: Mapping[UUID, str] = field(default_factory=dict)


def inspect(*, now: Callable[[], datetime], seconds: float | None = None) -> Inspected:
    """Inspect the versions that wait until none is left that can be read now, or the seconds are over.

    Raises StoreUnavailable, ReaderUnavailable; what was decided before stays.
    """
    ends_at = None if seconds is None else time.monotonic() + seconds
    # Two at once would read the same versions; what they decide twice is decided once.
    with locks.lease("inspection", seconds=LEASE_SECONDS) as lease, _reader() as reader:
        look = _Look(reader, now=now, ends_at=ends_at)
        look.go_on(lease)
    return Inspected(admitted=look.admitted, turned_away=look.turned_away, waiting=look.waiting)


def waits() -> bool:
    """Return whether any version waits for inspection."""
    return ModelVersion.objects.filter(state=ModelVersion.State.PENDING).exists()


class _Look:
    """One look at what waits."""

    def __init__(self, reader: Reader, *, now: Callable[[], datetime], ends_at: float | None) -> None:
        self.admitted = 0
        self.turned_away: dict[UUID, str] = {}
        self.waiting: dict[UUID, str] = {}
        self._reader, self._now, self._ends_at = reader, now, ends_at
        self._conf = conf.current()
        self._sound: list[UUID] = []
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._counted: set[UUID] = set()
        self._over = False

    def go_on(self, lease: Lease) -> None:
        while not self._over and lease.owned() and (queues := self._queues()):
            try:
                self._take_turns(queues)
            finally:
                self._record()

    def _queues(self) -> dict[str, list[tuple[ModelVersion, Tried]]]:
        """Return what can be read now, by tenant; what was tried in vain comes last."""
        queues: dict[str, list[tuple[ModelVersion, Tried]]] = defaultdict(list)
        while not queues and (found := _pending(except_for=self.waiting)):
            tried = attempts.of([version.pk for version in found])
            for version in found:
                self._queue(version, tried.get(version.pk, Tried()), queues)
        for queue in queues.values():
            queue.sort(key=lambda each: each[1].times)
        return queues

    def _queue(self, version: ModelVersion, tried: Tried, queues: dict[str, list[tuple[ModelVersion, Tried]]]) -> None:
        tenant = version.registered_model.fleet.tenant
        if tried.times and version.pk not in self._counted:
            # Time that it took in looks before this one: whoever sends what stalls is not first again and again.
            self._counted.add(version.pk)
            self._spent[tenant] += tried.times * self._conf.inspect_reading_seconds
        if tried.is_due(now=self._now(), retry_seconds=self._conf.inspect_retry_seconds):
            queues[tenant].append((version, tried))
        else:
            self.waiting[version.pk] = (
                f"Try {tried.times} of {self._conf.inspect_tries} failed; the next is yet to come."
            )

    def _take_turns(self, queues: dict[str, list[tuple[ModelVersion, Tried]]]) -> None:
        looked_at = time.monotonic()
        while queues and not self._over and time.monotonic() < looked_at + LOOKED_FOR_SECONDS:
            tenant = min(queues, key=lambda each: self._spent[each])
            began = time.monotonic()
            self._decide(*queues[tenant].pop(0))
            self._spent[tenant] += time.monotonic() - began
            if not queues[tenant]:
                del queues[tenant]
            self._over = self._ends_at is not None and time.monotonic() > self._ends_at

    def _decide(self, version: ModelVersion, tried: Tried) -> None:
        try:
            answer = self._answer(version)
        except (StoreUnavailable, ReaderUnavailable):
            raise
        except errors.Unavailable as error:
            # A key or a trainer that is not here says nothing about the version, and must not stop the others.
            logger.warning("%s cannot be inspected: %s", version, error, extra={"code": error.code})
            self.waiting[version.pk] = error.sentence
            return
        if answer.outcome is Outcome.READ:
            self._admit(version)
        elif answer.outcome is Outcome.REFUSED:
            self._turn_away(version, answer.why)
        else:
            self._try_again(version, answer.why, times=tried.times + 1)

    def _answer(self, version: ModelVersion) -> Answer:
        try:
            content = forecasting.content_of(version)
        except errors.Unavailable:
            raise
        except errors.PerennialError as error:
            return Answer(outcome=Outcome.REFUSED, why=error.sentence)
        return self._reader.read(content, trainer=version.trainer, meanwhile=self._record)

    def _admit(self, version: ModelVersion) -> None:
        self._sound.append(version.pk)
        if len(self._sound) >= RECORDED_AT_ONCE:
            self._record()

    def _record(self) -> None:
        if self._sound:
            sound, self._sound = self._sound, []
            self.admitted += len(lifecycle.admit(sound, actor=ACTOR, at=self._now()).changed)

    def _turn_away(self, version: ModelVersion, why: str) -> None:
        lifecycle.turn_away([version.pk], actor=ACTOR, reason=why, at=self._now())
        self.turned_away[version.pk] = why
        logger.warning("%s from elsewhere was turned away: %s", version, why, extra={"version": str(version.pk)})

    def _try_again(self, version: ModelVersion, why: str, *, times: int) -> None:
        most = self._conf.inspect_tries
        if times >= most:
            self._turn_away(version, f"It could not be read in {times} tries; the last time {why}")
            return
        told = f"It could not be read, try {times} of {most}: {why}"
        attempts.record(version, actor=ACTOR, reason=told, at=self._now())
        self.waiting[version.pk] = told
        logger.warning("%s from elsewhere: %s", version, told, extra={"version": str(version.pk)})


def _pending(*, except_for: Mapping[UUID, str]) -> Sequence[ModelVersion]:
    """Return the oldest of each tenant, then the next of each, and so on."""
    rows = ModelVersion.objects.select_related("registered_model__fleet").filter(state=ModelVersion.State.PENDING)
    turn = Window(RowNumber(), partition_by=F("fleet__tenant"), order_by=["created_at", "id"])
    placed = rows.exclude(pk__in=list(except_for)).annotate(turn=turn)
    return list(placed.order_by("turn", "created_at", "id")[:AT_ONCE])


@contextmanager
def _reader() -> Iterator[Reader]:
    reader = Reader(seconds=conf.current().inspect_reading_seconds, limits=limits.stored())
    try:
        yield reader
    finally:
        reader.end()
