"""Owns how export folders follow the ledger: a bounded piece of work each time, failures put aside and tried again."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from registry import errors, history
from registry.export import Exported, Job, export, note_failure, root
from registry.models import Bookmark, Export, Fleet, RegisteredModel

logger = logging.getLogger(__name__)

BOOKMARK = "registry.export"
EVENTS_AT_ONCE = 500
DUE_AT_ONCE = 20
MODELS_AT_ONCE = 50
# In the bookmark of a fleet: all its models have been written with its present settings.
WHOLE = 1


@dataclass(kw_only=True)
class Swept:
    """What one sweep did."""

    exported: int = 0
    failed: int = 0


class _Sweep:
    def __init__(self, fleets: Iterable[Fleet], *, at: datetime, seconds: float) -> None:
        self.fleets = {fleet.pk: fleet for fleet in fleets}
        self.job = Job(root=root(), at=at)
        self.done = Swept()
        self._ends_at = time.monotonic() + seconds

    def is_over(self) -> bool:
        return time.monotonic() >= self._ends_at

    def carry_out(self, model_id: int) -> None:
        done = attempt(model_id, self.job)
        self.done.exported += done is not None
        self.done.failed += done is None

    def repeat(self) -> None:
        """Look again at what failed, and at folders that can go by now."""
        rows = Export.objects.filter(due_at__lte=self.job.at, registered_model__fleet__in=self.fleets)
        for model_id in rows.order_by("due_at").values_list("pk", flat=True)[:DUE_AT_ONCE]:
            if self.is_over():
                return
            self.carry_out(model_id)

    def follow(self, bookmark: Bookmark) -> None:
        """Export what events tell of, as far as time allows, and keep the place."""
        while not self.is_over():
            after = history.Cursor(bookmark.txid, bookmark.event_id)
            events, _ = history.read(after, limit=EVENTS_AT_ONCE)
            if not events:
                return
            seen: set[int] = set()
            for event in events:
                model_id = event.registered_model_id
                if model_id is not None and event.fleet_id in self.fleets and model_id not in seen:
                    if self.is_over():
                        break
                    self.carry_out(model_id)
                    seen.add(model_id)
                bookmark.txid, bookmark.event_id = event.txid, event.pk
            bookmark.at = self.job.at
            bookmark.save()

    def fill(self) -> None:
        """Export what stood in a fleet before its export began or changed, as far as time allows."""
        for fleet in self.fleets.values():
            bookmark, _ = Bookmark.objects.get_or_create(name=_name(fleet))
            while bookmark.txid != WHOLE and not self.is_over():
                models = RegisteredModel.objects.filter(fleet=fleet, pk__gt=bookmark.event_id, last_number__gt=0)
                ids = list(models.order_by("pk").values_list("pk", flat=True)[:MODELS_AT_ONCE])
                for model_id in ids:
                    if self.is_over():
                        break
                    self.carry_out(model_id)
                    bookmark.event_id = model_id
                bookmark.txid, bookmark.at = 0 if ids else WHOLE, self.job.at
                bookmark.save()


def sweep(*, at: datetime, seconds: float) -> Swept:
    """Bring the folders of every fleet that asks for it closer to the registry, for about so many seconds."""
    work = _Sweep(Fleet.objects.filter(export__enabled=True), at=at, seconds=seconds)
    names = [_name(fleet) for fleet in work.fleets.values()]
    # A fleet that is switched on again, or asks for other things, is written anew.
    Bookmark.objects.filter(name__startswith=f"{BOOKMARK}.").exclude(name__in=names).delete()
    if not work.fleets:
        Bookmark.objects.filter(name=BOOKMARK).delete()
        return work.done
    bookmark = _bookmark(at)
    for step in _steps(work, bookmark):
        step()
    return work.done


def attempt(model_id: int, job: Job) -> Exported | None:
    """Export one model; a failure is logged and recorded, and None returned: the others do not wait for it."""
    try:
        return export(model_id, job)
    except errors.PerennialError as error:
        failures = note_failure(model_id, code=error.code, sentence=str(error), at=job.at)
        details = {"registered_model": model_id, "code": error.code, "failures": failures}
        logger.log(
            logging.ERROR if failures == 1 else logging.WARNING, "a model was not exported: %s", error, extra=details
        )
        return None


def _steps(work: _Sweep, bookmark: Bookmark) -> tuple[Callable[[], None], ...]:
    # What has just happened comes first, what is old last.
    return (lambda: work.follow(bookmark), work.repeat, work.fill)


def _bookmark(at: datetime) -> Bookmark:
    # Everything before it is written by `fill`.
    newest = history.newest()
    start = {"txid": newest.txid, "event_id": newest.id, "at": at}
    return Bookmark.objects.get_or_create(name=BOOKMARK, defaults=start)[0]


def _name(fleet: Fleet) -> str:
    settings = json.dumps(asdict(fleet.export), sort_keys=True)
    return f"{BOOKMARK}.{fleet.pk}.{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
