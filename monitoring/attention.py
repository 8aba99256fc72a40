"""What needs a look, the most urgent first: silent processes, failed work, late policies. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count
from django.http import HttpRequest

from registry import counting, display, identifiers, ownership, ticks, timestamps
from registry.admin import base
from registry.models import Export, Fleet, ModelVersion, RegisteredModel
from registry.upkeep import store_watch
from training import conf, workers
from training.admin import schedule
from training.admin.outcomes import FAILED, FAILED_BATCH
from training.models import Batch, RetrainingPolicy, TrainingRun, Worker

RECENT = timedelta(hours=24)
WEEK = timedelta(days=7)
NEEDED_QUEUES = ("interactive", "training")
BEAT_SILENT = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that needs a look: how urgent, what, since when, where to look and what to do."""

    urgency: str  # critical, warning or info
    what: str
    count: int | counting.Count
    address: str
    next_step: str
    since: datetime | None = None


def since(at: datetime) -> UUID:
    """Return an id below that of every run made at or after an instant: ids are UUIDv7, in time's order."""
    return identifiers.lowest(at)


def badge(request: HttpRequest) -> str:
    """Return how many things need attention, for the sidebar."""
    return str(len(find(request, now=timestamps.utc_now())))


def find(request: HttpRequest, *, now: datetime) -> list[Item]:
    """Return what needs a look, the most urgent first; asked once for each request, since the sidebar asks too."""
    known: list[Item] | None = getattr(request, "attention_items", None)
    if known is None:
        checks: Iterable[Callable[[HttpRequest, datetime], Iterable[Item]]] = (
            _processes,
            _stores,
            _batches,
            _runs,
            _versions,
            _exports,
            _policies,
            _challengers,
        )
        known = [item for check in checks for item in check(request, now)]
        known.sort(key=lambda item: ("critical", "warning", "info").index(item.urgency))
        request.attention_items = known  # type: ignore[attr-defined]  # lives as long as the request
    return known


def _processes(request: HttpRequest, now: datetime) -> Iterable[Item]:
    beat = ticks.last()
    if beat is None or now - beat > BEAT_SILENT:
        yield Item(
            urgency="critical",
            what="Beat is silent: no schedule fires and no run is handed out.",
            count=1,
            since=beat,
            address=display.listing(RetrainingPolicy),
            next_step="Start it: manage.py up, or celery -A config beat.",
        )
    for queue in workers.unserved(NEEDED_QUEUES):
        yield Item(
            urgency="critical",
            what=f"No live worker serves the queue {queue}.",
            count=1,
            address=display.listing(Worker),
            next_step=f"Start one: manage.py up, or celery -A config worker -Q {queue}.",
        )
    if not conf.current().enabled:
        yield Item(
            urgency="warning",
            what="The switch of the installation is off: no policy fires.",
            count=1,
            address=display.listing(RetrainingPolicy),
            next_step="Set PERENNIAL_TRAINING_ENABLED=1 and restart.",
        )


def _stores(request: HttpRequest, now: datetime) -> Iterable[Item]:
    for each in store_watch.troubles(now=now):
        yield Item(
            urgency="critical" if each.purpose == ownership.ARTIFACTS else "warning",
            what=f"{each.sentence} ({each.code})",
            count=1,
            since=each.since,
            # The workers of the queue `maintenance` look at the stores; these have no page of their own.
            address=display.listing(Worker),
            next_step=each.next_step,
        )


def _batches(request: HttpRequest, now: datetime) -> Iterable[Item]:
    ended = (now - RECENT).replace(microsecond=0)  # as the address carries it
    # The bound on ids spares the whole history: every page asks this, and no batch is open for a week.
    failed = seen_batches(request).filter(FAILED_BATCH, id__gte=since(now - WEEK), finished_at__gte=ended).count()
    if failed:
        yield Item(
            urgency="critical",
            what="Batches failed in the last 24 hours: their sources could not be read.",
            count=failed,
            address=display.listing(Batch, halted__exact=1, state__exact="done", finished_at__gte=iso(ended)),
            next_step="Each says why, and what to do next. Nothing of it was retrained.",
        )


def _runs(request: HttpRequest, now: datetime) -> Iterable[Item]:
    recent = seen_runs(request).filter(id__gte=since(now - RECENT), state__in=FAILED)
    failed = counting.of(recent)
    quarantined = counting.of(recent.filter(code="quarantined")) if failed.number else failed
    if quarantined.number:
        yield Item(
            urgency="critical",
            what="Runs were quarantined: they ended their worker again and again.",
            count=counting.plain(quarantined),
            address=display.listing(TrainingRun, code="quarantined", requested_at__gte=iso(now - RECENT)),
            next_step="Read their data and the worker's log before you retrain by hand.",
        )
    if failed.number > quarantined.number:
        yield Item(
            urgency="critical",
            what="Runs failed in the last 24 hours.",
            count=counting.plain(failed),
            address=display.listing(TrainingRun, outcome="failed", requested_at__gte=iso(now - RECENT)),
            next_step="Each says why, and what to do next.",
        )


def _versions(request: HttpRequest, now: datetime) -> Iterable[Item]:
    rows = base.scoped(ModelVersion.objects.all(), request, "registered_model__fleet__tenant")
    distrusted = rows.filter(state=ModelVersion.State.QUARANTINED)
    served, refused = (counting.of(distrusted.filter(promoted_at__isnull=never)) for never in (False, True))
    if served.number:
        yield Item(
            urgency="critical",
            what="Versions that serve, or once did, are quarantined.",
            count=counting.plain(served),
            address=display.listing(ModelVersion, state__exact="quarantined", promoted_at__isnull="False"),
            next_step="Their pages say why. Roll back; restore a damaged file, then release its version.",
        )
    if refused.number:
        yield Item(
            urgency="info",
            what="Versions that never served are quarantined.",
            count=counting.plain(refused),
            address=display.listing(ModelVersion, state__exact="quarantined", promoted_at__isnull="True"),
            next_step="Their pages say why. What nobody will mend can go: POST versions/bulk, action forget.",
        )


def _exports(request: HttpRequest, now: datetime) -> Iterable[Item]:
    rows = base.scoped(Export.objects.all(), request, "registered_model__fleet__tenant")
    # What failed is due again: without that bound every page would look at each model's row.
    failed = rows.filter(due_at__isnull=False, failures__gt=0, registered_model__fleet__export__enabled=True)
    # Those that are due first: where very many failed, the page of the fleet tells of all.
    newest = RegisteredModel.objects.filter(pk__in=failed.order_by("due_at").values("pk")[: counting.BOUND])
    fleets = newest.values_list("fleet_id", "fleet__name").order_by()
    for fleet_id, name, count in fleets.annotate(number=Count("pk")).order_by("-number", "fleet_id")[:5]:
        yield Item(
            urgency="critical",
            what=f"Models of {name} could not be exported: their folders are behind.",
            count=count,
            address=display.address(Fleet(pk=fleet_id)),
            next_step="The page of the fleet says why. They are tried again by themselves.",
        )


def _policies(request: HttpRequest, now: datetime) -> Iterable[Item]:
    late = base.scoped(RetrainingPolicy.objects.all(), request, "fleet__tenant").filter(
        enabled=True, paused=False, next_due_at__lt=now - schedule.grace()
    )
    oldest = late.order_by("next_due_at").values_list("next_due_at", flat=True)[:100]
    if oldest:
        yield Item(
            urgency="critical",
            what="Policies are late: their slot passed and nothing fired.",
            count=len(oldest),
            since=oldest[0],
            address=display.listing(
                RetrainingPolicy, next_due_at__lt=iso(now - schedule.grace()), enabled__exact=1, paused__exact=0
            ),
            next_step="Look whether beat and a control worker run.",
        )


def _challengers(request: HttpRequest, now: datetime) -> Iterable[Item]:
    waiting = counting.of(seen_models(request).filter(challenger__isnull=False))
    if waiting.number:
        yield Item(
            urgency="warning",
            what="Challengers wait: the gate held them, or their policy asks an approver.",
            count=counting.plain(waiting),
            address=display.listing(RegisteredModel, place="challenger"),
            next_step="Read the gate report, then promote or leave it.",
        )


def seen_models(request: HttpRequest) -> Any:
    """Return the models that this user may see."""
    return base.scoped(RegisteredModel.objects.all(), request, "fleet__tenant")


def seen_batches(request: HttpRequest) -> Any:
    """Return the batches that this user may see."""
    return base.scoped(Batch.objects.all(), request, "fleet__tenant")


def seen_runs(request: HttpRequest) -> Any:
    """Return the runs that this user may see."""
    return base.scoped(TrainingRun.objects.all(), request, "registered_model__fleet__tenant")


def iso(at: datetime) -> str:
    """Return an instant as the addresses of lists carry it."""
    return at.replace(microsecond=0).isoformat().replace("+00:00", "Z")
