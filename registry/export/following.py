"""Owns how export folders follow the ledger: a bounded piece of work each time, failures put aside and tried again.

The time of a sweep is shared: what just happened, what failed or can go by now, what stood before, and whether the
pointers are still those of the registry. Each gets on, however much the others have to do. A store or a root that does
not answer fails for all alike, after its deadline: the first such failure ends the sweep.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from registry import history, ticks
from registry.export import Job, attempts, choosing, files, folders, place, pointer, root
from registry.export.choosing import Choice
from registry.export.pending import Pending, is_known
from registry.models import Bookmark, Event, Export, Fleet, RegisteredModel

logger = logging.getLogger(__name__)

BOOKMARK = "registry.export"
COMPARED = "export-compared"
EVENTS_AT_ONCE = 500
DUE_AT_ONCE = 20
MODELS_AT_ONCE = 50
POINTERS_AT_ONCE = 200
# Of so many models the comparison reads the files of one each minute: all would keep disk and network busy for ever.
EXAMINED_OF = 60
# The place of a fleet all of whose models have been written with its present settings: nothing lies behind it.
WHOLE = 2**63 - 1
COMPARED_EVERY = timedelta(minutes=1)


@dataclass(kw_only=True)
class Swept:
    """What one sweep did."""

    exported: int = 0
    failed: int = 0


class _Sweep:
    """Its steps yield after each piece of work, so that whoever runs them can stop."""

    def __init__(self, fleets: Iterable[Fleet], *, at: datetime) -> None:
        self.fleets = {fleet.pk: fleet for fleet in fleets}
        self.job = Job(root=root(), at=at)
        self.done = Swept()
        self.is_blocked = False
        # The last event of each model that was exported before its turn.
        self.ahead: dict[int, int] = {}

    def work(self, steps: Generator[None], *, until: float) -> bool:
        """Carry out steps until the time is over, and one in any case: nobody starves behind a slow store.

        Returns whether they came to their end.
        """
        if self.is_blocked:
            return False
        with contextlib.closing(steps):
            for _ in steps:
                if self.is_blocked or time.monotonic() >= until:
                    return False
        return True

    def carry_out(self, model_id: int, *, is_thorough: bool = False) -> None:
        outcome = attempts.attempt(model_id, replace(self.job, is_thorough=is_thorough))
        self.done.exported += outcome is attempts.Outcome.DONE
        self.done.failed += outcome is not attempts.Outcome.DONE
        self.is_blocked |= outcome is attempts.Outcome.BLOCKED

    def follow(self, bookmark: Bookmark) -> Generator[None]:
        """Export what events tell of, models with another version in use first, and keep the place."""
        pending = Pending(fleets=self.fleets)
        while True:
            # Asked again before each batch: who is to use another version waits behind no crowd of tags.
            for model_id, event_id in pending.moved(after := history.Cursor(bookmark.txid, bookmark.event_id)).items():
                self.carry_out(model_id)
                self.ahead[model_id] = event_id
                yield
            if not (events := history.read(after, limit=EVENTS_AT_ONCE)[0]):
                return
            try:
                yield from self._read(events, bookmark, pending)
            finally:
                bookmark.at = self.job.at
                bookmark.save()

    def _read(self, events: Sequence[Event], bookmark: Bookmark, pending: Pending) -> Iterator[None]:
        seen: set[int] = set()
        for event in events:
            model_id = event.registered_model_id
            is_done = model_id in seen or event.pk <= self.ahead.get(model_id or 0, 0)
            if model_id is not None and not is_done and pending.shows(event):
                self.carry_out(model_id)
                seen.add(model_id)
            bookmark.txid, bookmark.event_id = event.txid, event.pk
            yield

    def repeat(self) -> Generator[None]:
        """Look again at what failed, and at folders that can go by now."""
        rows = Export.objects.filter(due_at__lte=self.job.at, registered_model__fleet__in=self.fleets)
        for model_id in rows.order_by("due_at").values_list("pk", flat=True)[:DUE_AT_ONCE]:
            self.carry_out(model_id)
            yield

    def fill(self) -> Generator[None]:
        """Export what stood in a fleet before its export began or changed."""
        for fleet in self.fleets.values():
            bookmark, _ = Bookmark.objects.get_or_create(name=_name(fleet))
            while bookmark.event_id != WHOLE:
                try:
                    yield from self._fill(fleet, bookmark)
                finally:
                    bookmark.at = self.job.at
                    bookmark.save()

    def _fill(self, fleet: Fleet, bookmark: Bookmark) -> Iterator[None]:
        models = RegisteredModel.objects.filter(fleet=fleet, pk__gt=bookmark.event_id, last_number__gt=0)
        ids = list(models.order_by("pk").values_list("pk", flat=True)[:MODELS_AT_ONCE])
        for model_id in ids:
            self.carry_out(model_id)
            bookmark.event_id = model_id
            yield
        if not ids:
            bookmark.event_id = WHOLE

    def compare(self, *, has_late: bool) -> Generator[None]:
        """Hold the next pointers against the champions, and write anew what differs.

        Where the other steps have work left, what was never written right is theirs.
        """
        reached = ticks.reached(COMPARED)
        if not reached and not _is_time_to_compare(self.job.at):
            return
        models = RegisteredModel.objects.filter(fleet__in=self.fleets, pk__gt=reached, champion__isnull=False)
        # What failed has a time of its own when it is tried again.
        models = models.exclude(export__failures__gt=0).select_related("fleet", "champion", "export").order_by("pk")
        try:
            for model in (found := models[:POINTERS_AT_ONCE]):
                choice = choosing.choose(model)
                is_examined = model.pk % EXAMINED_OF == self.job.at.minute % EXAMINED_OF
                if (is_known(choice) or not has_late) and not _is_right(choice, is_examined=is_examined):
                    # Whoever writes there, or what was lost there, should be known.
                    details = {"registered_model": model.pk, "code": "export_differed"}
                    logger.warning("the folder of %s is not what it should be: written again", model, extra=details)
                    self.carry_out(model.pk, is_thorough=True)
                reached = model.pk
                yield
            reached = reached if len(found) == POINTERS_AT_ONCE else 0
        finally:
            ticks.keep(COMPARED, reached, at=self.job.at)


def sweep(*, at: datetime, seconds: float) -> Swept:
    """Bring the folders of every fleet that asks for it closer to the registry, for about so many seconds."""
    work = _Sweep(Fleet.objects.filter(export__enabled=True), at=at)
    names = [_name(fleet) for fleet in work.fleets.values()]
    # A fleet that is switched on again, or asks for other things, is written anew.
    Bookmark.objects.filter(name__startswith=f"{BOOKMARK}.").exclude(name__in=names).delete()
    if not work.fleets:
        Bookmark.objects.filter(name=BOOKMARK).delete()
        return work.done
    bookmark, begun = _bookmark(at), time.monotonic()
    # What has just happened comes first, what is old last; what one leaves of its share is for those behind it.
    is_followed = work.work(work.follow(bookmark), until=begun + 0.5 * seconds)
    work.work(work.repeat(), until=begun + 0.7 * seconds)
    is_filled = work.work(work.fill(), until=begun + 0.9 * seconds)
    work.work(work.compare(has_late=not (is_followed and is_filled)), until=begun + seconds)
    if not is_followed and time.monotonic() < begun + seconds:
        work.work(work.follow(bookmark), until=begun + seconds)
    return work.done


def _is_time_to_compare(at: datetime) -> bool:
    last = Bookmark.objects.filter(name=COMPARED).values_list("at", flat=True).first()
    return last is None or at - last >= COMPARED_EVERY


def _is_right(choice: Choice, *, is_examined: bool) -> bool:
    use = choice.use
    # What is wrong with the folder itself is said when it is written.
    with contextlib.suppress(OSError), folders.root(root()) as top, top.found(*place(choice.model)) as folder:
        if folder is None or not pointer.is_right(folder, choice):
            return False
        return not is_examined or use is None or files.is_whole(folder, use)
    return False


def _bookmark(at: datetime) -> Bookmark:
    # Everything before it is written by `fill`.
    newest = history.newest()
    start = {"txid": newest.txid, "event_id": newest.id, "at": at}
    return Bookmark.objects.get_or_create(name=BOOKMARK, defaults=start)[0]


def _name(fleet: Fleet) -> str:
    settings = json.dumps(asdict(fleet.export), sort_keys=True)
    return f"{BOOKMARK}.{fleet.pk}.{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
