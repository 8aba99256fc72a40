"""Owns how export folders follow the ledger: a bounded piece of work each time, failures put aside and tried again.

The time of a sweep is shared: what just happened, what failed or can go by now, what stood before, and whether the
pointers are still those of the registry. Each gets on, however much the others have to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from registry import errors, history, ticks
from registry.export import Exported, Job, choosing, export, folders, note_failure, place, pointer, root
from registry.export.choosing import Choice
from registry.models import Bookmark, Event, Export, Fleet, RegisteredModel

logger = logging.getLogger(__name__)

BOOKMARK = "registry.export"
COMPARED = "export-compared"
EVENTS_AT_ONCE = 500
DUE_AT_ONCE = 20
MODELS_AT_ONCE = 50
POINTERS_AT_ONCE = 200
# In the bookmark of a fleet: all its models have been written with its present settings.
WHOLE = 1
COMPARED_EVERY = timedelta(minutes=1)
UNFORESEEN = "internal_error"


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

    def carry_out(self, model_id: int) -> None:
        done = attempt(model_id, self.job)
        self.done.exported += done is not None
        self.done.failed += done is None

    def follow(self, bookmark: Bookmark) -> Generator[None]:
        """Export what events tell of, and keep the place."""
        while events := history.read(history.Cursor(bookmark.txid, bookmark.event_id), limit=EVENTS_AT_ONCE)[0]:
            try:
                yield from self._read(events, bookmark)
            finally:
                bookmark.at = self.job.at
                bookmark.save()

    def _read(self, events: Sequence[Event], bookmark: Bookmark) -> Iterator[None]:
        seen: set[int] = set()
        for event in events:
            model_id = event.registered_model_id
            if model_id is not None and event.fleet_id in self.fleets and model_id not in seen:
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
            while bookmark.txid != WHOLE:
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
        bookmark.txid = 0 if ids else WHOLE

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
                if (_is_known(choice) or not has_late) and not _is_right(choice):
                    # Whoever writes there, or what was lost there, should be known.
                    details = {"registered_model": model.pk, "code": "export_differed"}
                    logger.warning("the pointer of %s is not what it should be: written again", model, extra=details)
                    self.carry_out(model.pk)
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
    is_followed = _work(work.follow(bookmark), until=begun + 0.5 * seconds)
    _work(work.repeat(), until=begun + 0.7 * seconds)
    is_filled = _work(work.fill(), until=begun + 0.9 * seconds)
    _work(work.compare(has_late=not (is_followed and is_filled)), until=begun + seconds)
    if not is_followed and time.monotonic() < begun + seconds:
        _work(work.follow(bookmark), until=begun + seconds)
    return work.done


def attempt(model_id: int, job: Job) -> Exported | None:
    """Export one model; a failure is logged and recorded, and None returned: the others do not wait for it."""
    try:
        return export(model_id, job)
    except errors.PerennialError as error:
        _note(model_id, job, error, code=error.code, sentence=str(error))
    except Exception as error:
        # Nobody foresaw it, and without a note the next sweep would stop at the same model.
        sentence = f"The export ended with {type(error).__name__}: {str(error)[:300]}. Report this with the log."
        _note(model_id, job, error, code=UNFORESEEN, sentence=sentence)
    return None


def _note(model_id: int, job: Job, error: Exception, *, code: str, sentence: str) -> None:
    failures = note_failure(model_id, code=code, sentence=sentence, at=job.at)
    details = {"registered_model": model_id, "code": code, "failures": failures}
    level = logging.ERROR if failures == 1 else logging.WARNING
    trace = error if code == UNFORESEEN else None
    logger.log(level, "a model was not exported: %s", sentence, extra=details, exc_info=trace)


def _work(steps: Generator[None], *, until: float) -> bool:
    """Carry out steps until the time is over, and one in any case: nobody starves behind a slow store.

    Returns whether they came to their end.
    """
    with contextlib.closing(steps):
        for _ in steps:
            if time.monotonic() >= until:
                return False
    return True


def _is_time_to_compare(at: datetime) -> bool:
    last = Bookmark.objects.filter(name=COMPARED).values_list("at", flat=True).first()
    return last is None or at - last >= COMPARED_EVERY


def _is_known(choice: Choice) -> bool:
    """Whether the pointer was written as it should be, as far as this installation knows."""
    row = getattr(choice.model, "export", None)
    return row is not None and row.version_id == (choice.use and choice.use.pk)


def _is_right(choice: Choice) -> bool:
    # What is wrong with the folder itself is said when it is written.
    with contextlib.suppress(OSError), folders.root(root()) as top, top.found(*place(choice.model)) as folder:
        return folder is not None and pointer.is_right(folder, choice)
    return False


def _bookmark(at: datetime) -> Bookmark:
    # Everything before it is written by `fill`.
    newest = history.newest()
    start = {"txid": newest.txid, "event_id": newest.id, "at": at}
    return Bookmark.objects.get_or_create(name=BOOKMARK, defaults=start)[0]


def _name(fleet: Fleet) -> str:
    settings = json.dumps(asdict(fleet.export), sort_keys=True)
    return f"{BOOKMARK}.{fleet.pk}.{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
