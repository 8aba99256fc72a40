"""Owns whether a version from elsewhere may be used: its trainer reads the forecaster, in a process that may die of it.

What is read becomes ready, what is refused is quarantined for good, each told in the ledger as soon as it is known.
What ends or stalls the reading process, or is an error of its code, is tried again before it is turned away; that, and
what is damaged, can be released to wait once more. Where a key, a limit or a trainer here is at fault, it waits.
Tenants share the time: whoever has taken the least of it is next, so that one does not keep another waiting.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from registry import errors, lifecycle, limits, locks
from registry.lifecycle import admission
from registry.locks import Lease
from registry.models import ModelVersion
from registry.store import StoreUnavailable
from training import absences, attempts, conf, forecasting
from training.attempts import Begun, Tried
from training.readers import Reader, ReaderUnavailable, TrainerAbsent
from training.reading import Answer, Outcome

logger = logging.getLogger(__name__)

ACTOR = "inspection"
AT_ONCE = 200
# Recorded in one transaction, where they follow each other quickly.
RECORDED_AT_ONCE = 25
# After that the waiting are looked for again: somebody else may have sent something.
LOOKED_FOR_SECONDS = 5.0
LEASE_SECONDS = 60.0
# Longer than that beyond its clock nobody is at a read: whoever noted it has died.
BEGUN_MARGIN_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """How many versions became ready, why others were turned away, and why some wait for another try, by id."""

    admitted: int = 0
    turned_away: Mapping[UUID, str] = field(default_factory=dict)
    waiting: Mapping[UUID, str] = field(default_factory=dict)


def inspect(*, now: Callable[[], datetime], seconds: float | None = None) -> Inspected:
    """Inspect the versions that wait until none is left that can be read now, or the seconds are over.

    Raises StoreUnavailable, and ReaderUnavailable where no trainer could be started; what was decided before stays.
    """
    # Two at once would read the same versions; what they decide twice is decided once.
    with locks.lease("inspection", seconds=LEASE_SECONDS) as lease, _reader() as reader:
        look = _Look(reader, now=now, seconds=seconds)
        look.go_on(lease)
    return Inspected(admitted=look.admitted, turned_away=look.turned_away, waiting=look.waiting)


def waits() -> bool:
    """Return whether any version waits for inspection."""
    return ModelVersion.objects.filter(state=ModelVersion.State.PENDING).exists()


class _Look:
    """One look at what waits."""

    def __init__(self, reader: Reader, *, now: Callable[[], datetime], seconds: float | None) -> None:
        self.admitted = 0
        self.turned_away: dict[UUID, str] = {}
        self.waiting: dict[UUID, str] = {}
        self._reader, self._now = reader, now
        self._conf = conf.current()
        self._absent: dict[str, errors.Unavailable] = absences.known(now=now())
        self._usable: set[str] = set()
        self._failure: ReaderUnavailable | None = None
        self._ends_at = math.inf if seconds is None else time.monotonic() + seconds
        # Half of the time is for what was not tried before, whoever sent it.
        self._most_charged = math.inf if seconds is None else seconds / 2
        self._charged: defaultdict[str, float] = defaultdict(float)
        self._sound: list[UUID] = []
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._counted: set[UUID] = set()

    def go_on(self, lease: Lease) -> None:
        """Decide what can be decided. Raises StoreUnavailable, ReaderUnavailable."""
        if not lease.held:
            return
        self._count_unfinished()
        ended = False
        while not ended and lease.owned() and (queues := self._queues()):
            try:
                self._take_turns(queues)
            finally:
                self._record()
            ended = self._is_over()
        self._tell_absent()
        if self._failure and not self._usable:
            raise self._failure

    def _is_over(self) -> bool:
        return time.monotonic() > self._ends_at

    def _count_unfinished(self) -> None:
        """Count what took the whole process that read it with it, else it would be read first again, for ever."""
        unfinished = attempts.unfinished()
        rows = ModelVersion.objects.select_related("registered_model__fleet").in_bulk(list(unfinished))
        for version_id, begun in unfinished.items():
            if self._may_be_under_way(begun):
                self.waiting[version_id] = "Another process reads it, or ended while it did."
                continue
            if (version := rows.get(version_id)) and version.state == ModelVersion.State.PENDING:
                self._try_again(version, "the worker that read it was ended.", times=begun.times)
            attempts.settle(version_id)

    def _may_be_under_way(self, begun: Begun) -> bool:
        most = self._conf.inspect_reading_seconds + BEGUN_MARGIN_SECONDS
        return self._now() < begun.at + timedelta(seconds=most)

    def _tell_absent(self) -> None:
        """Say of all that wait for a trainer which is not here why they do."""
        waiting = ModelVersion.objects.filter(state=ModelVersion.State.PENDING, trainer__in=list(self._absent))
        for version_id, trainer in waiting.values_list("pk", "trainer"):
            self.waiting[version_id] = self._absent[trainer].sentence

    def _queues(self) -> dict[str, list[tuple[ModelVersion, Tried]]]:
        """Return what can be read now, by tenant; what was tried in vain comes last."""
        queues: dict[str, list[tuple[ModelVersion, Tried]]] = defaultdict(list)
        while found := _pending(except_for=self.waiting, absent=self._absent):
            tried = attempts.of([version.pk for version in found])
            for version in found:
                self._queue(version, tried.get(version.pk, Tried()), queues)
            if queues or self._is_over():
                break
        for queue in queues.values():
            queue.sort(key=lambda each: each[1].times)
        return queues

    def _queue(self, version: ModelVersion, tried: Tried, queues: dict[str, list[tuple[ModelVersion, Tried]]]) -> None:
        tenant = version.registered_model.fleet.tenant
        if not tried.is_due(now=self._now(), retry_seconds=self._conf.inspect_retry_seconds):
            self.waiting[version.pk] = (
                f"Try {tried.times} of {self._conf.inspect_tries} failed; the next is yet to come."
            )
            return
        if version.pk not in self._counted:
            self._counted.add(version.pk)
            self._charge(tenant, tried.times * self._conf.inspect_reading_seconds)
        queues[tenant].append((version, tried))

    def _charge(self, tenant: str, seconds: float) -> None:
        """Count time of looks before this one: whoever sends what stalls is not first again and again."""
        charged = min(seconds, self._most_charged - self._charged[tenant])
        self._charged[tenant] += charged
        self._spent[tenant] += charged

    def _take_turns(self, queues: dict[str, list[tuple[ModelVersion, Tried]]]) -> None:
        looked_at = time.monotonic()
        while queues and time.monotonic() < looked_at + LOOKED_FOR_SECONDS:
            tenant = min(queues, key=lambda each: self._spent[each])
            began = time.monotonic()
            self._decide(*queues[tenant].pop(0))
            self._spent[tenant] += time.monotonic() - began
            if not queues[tenant]:
                del queues[tenant]
            if self._is_over():
                return

    def _decide(self, version: ModelVersion, tried: Tried) -> None:
        # What has no trainer here is left before its bytes are loaded.
        if not self._has_trainer(version.trainer) or (content := self._content(version)) is None:
            return
        try:
            answer = self._read(version, content, times=tried.times)
        except (TrainerAbsent, ReaderUnavailable) as error:
            self._put_aside(version.trainer, error)
            return
        if answer.outcome is Outcome.READ:
            self._admit(version)
        elif answer.outcome is Outcome.REFUSED:
            self._turn_away(version, answer.why, cause=admission.INSPECTION)
        else:
            self._try_again(version, answer.why, times=tried.times)

    def _has_trainer(self, trainer: str) -> bool:
        if trainer in self._absent:
            return False
        try:
            self._reader.prepare(trainer)
        except (TrainerAbsent, ReaderUnavailable) as error:
            self._put_aside(trainer, error)
            return False
        self._usable.add(trainer)
        return True

    def _put_aside(self, trainer: str, error: TrainerAbsent | ReaderUnavailable) -> None:
        logger.warning("%s cannot read what waits for it: %s", trainer, error, extra={"code": error.code})
        self._absent[trainer] = error
        absences.note(trainer, error, at=self._now())
        if isinstance(error, ReaderUnavailable):
            self._failure = self._failure or error

    def _content(self, version: ModelVersion) -> bytes | None:
        """Return the bytes of a version; None where it was turned away or has to wait, because they do not hold."""
        try:
            return forecasting.content_of(version)
        except StoreUnavailable:
            raise
        except errors.PerennialError as error:
            if forecasting.is_damage(error):
                self._turn_away(version, error.sentence, cause=forecasting.DAMAGED)
                return None
            # A key, a secret or a limit of this installation says nothing about the version.
            logger.warning("%s cannot be inspected: %s", version, error, extra={"code": error.code})
            self.waiting[version.pk] = error.sentence
            return None

    def _read(self, version: ModelVersion, content: bytes, *, times: int) -> Answer:
        with attempts.begun(version, times=times, at=self._now()):
            return self._reader.read(content, trainer=version.trainer, meanwhile=self._record)

    def _admit(self, version: ModelVersion) -> None:
        self._sound.append(version.pk)
        if len(self._sound) >= RECORDED_AT_ONCE:
            self._record()

    def _record(self) -> None:
        if self._sound:
            sound, self._sound = self._sound, []
            self.admitted += len(lifecycle.admit(sound, actor=ACTOR, at=self._now()).changed)

    def _turn_away(self, version: ModelVersion, why: str, *, cause: str) -> None:
        lifecycle.turn_away([version.pk], actor=ACTOR, reason=why, at=self._now(), cause=cause)
        self.turned_away[version.pk] = why
        logger.warning("%s from elsewhere was turned away: %s", version, why, extra={"version": str(version.pk)})

    def _try_again(self, version: ModelVersion, why: str, *, times: int) -> None:
        """Put down one more try in vain beside `times` that were; what has had its tries is turned away."""
        most, tries = self._conf.inspect_tries, times + 1
        if tries >= most:
            told = f"It could not be read in {tries} tries; the last time {why}"
            self._turn_away(version, told, cause=admission.UNREAD)
            return
        told = f"It could not be read, try {tries} of {most}: {why}"
        if not attempts.record(version, times=times, actor=ACTOR, reason=told, at=self._now()):
            self.waiting[version.pk] = "Another process tried to read it at the same time."
            return
        self.waiting[version.pk] = told
        logger.warning("%s from elsewhere: %s", version, told, extra={"version": str(version.pk)})


def _pending(*, except_for: Mapping[UUID, str], absent: Collection[str]) -> Sequence[ModelVersion]:
    """Return the oldest of each tenant, then the next of each, and so on; none whose trainer is absent."""
    rows = ModelVersion.objects.select_related("registered_model__fleet").filter(state=ModelVersion.State.PENDING)
    turn = Window(RowNumber(), partition_by=F("fleet__tenant"), order_by=["created_at", "id"])
    placed = rows.exclude(pk__in=list(except_for)).exclude(trainer__in=list(absent)).annotate(turn=turn)
    return list(placed.order_by("turn", "created_at", "id")[:AT_ONCE])


@contextmanager
def _reader() -> Iterator[Reader]:
    reader = Reader(seconds=conf.current().inspect_reading_seconds, limits=limits.stored())
    try:
        yield reader
    finally:
        reader.end()
