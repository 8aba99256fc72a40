"""The first page: what needs attention, then outcomes, then workers and queues. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q
from django.http import HttpRequest

from monitoring import attention, endings
from registry import counting, display, ticks, timestamps
from registry.admin import base
from registry.models import Fleet, RegisteredModel
from training import conf, workers
from training.admin.attached import outcome
from training.admin.outcomes import FAILED, FAILED_BATCH, OUTCOMES, batch_badge
from training.admin.workers import condition
from training.models import Chunk, TrainingRun, Worker

RECENT = timedelta(hours=24)
SHOWN = 8
WORKERS_FOR = timedelta(hours=1)  # a worker that fell silent is shown for so long
QUEUES = ("control", "export", "maintenance", "interactive", "training", "monitoring")
NEEDED_QUEUES = ("interactive", "training")
BEAT_SILENT = timedelta(seconds=60)


def context(request: HttpRequest, found: dict[str, Any]) -> dict[str, Any]:
    """Fill the context of the first page (Unfold's DASHBOARD_CALLBACK)."""
    now = timestamps.utc_now()
    found.update(
        items=attention.find(request, now=now),
        figures=figures(request, now=now),
        troubled=troubled(request, now=now),
        outcomes=endings.card(request, now=now),
        workers=worker_rows(now=now),
        queues=queue_rows(),
        last_tick=ticks.last(),
        switched_off=not conf.current().enabled,
        title="Dashboard",
    )
    return found


def figures(request: HttpRequest, *, now: datetime) -> list[tuple[Any, str, str]]:
    """Return the numbers at the head of the page as (number, word, address of the list behind it)."""
    models, runs = attention.seen_models(request), attention.seen_runs(request)
    recent = runs.filter(id__gte=attention.since(now - attention.RECENT))
    day = {"requested_at__gte": attention.iso(now - attention.RECENT)}
    counted: list[tuple[Any, str, str]] = [
        (base.scoped(Fleet.objects.all(), request, "tenant"), "fleets", display.listing(Fleet)),
        (models, "models", display.listing(RegisteredModel)),
        (models.filter(champion__isnull=False), "with a champion", display.listing(RegisteredModel, place="champion")),
        (runs.filter(state__in=TrainingRun.OPEN), "runs open now", display.listing(TrainingRun, outcome="open")),
        (recent, "runs in 24 hours", display.listing(TrainingRun, **day)),
        (
            recent.filter(OUTCOMES["promoted"]),
            "promoted in 24 hours",
            display.listing(TrainingRun, outcome="promoted", **day),
        ),
    ]
    return [(counting.plain(counting.of(rows)), word, address) for rows, word, address in counted]


def troubled(request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Return the newest runs that failed or were held, and the newest batches that failed, in one list."""
    first = attention.since(now - attention.WEEK)
    found = [*_troubled_runs(request, first), *_failed_batches(request, first)]
    found.sort(key=lambda each: each[0], reverse=True)
    return {
        "heads": ("Asked for", "Model or fleet", "What happened", "Next step"),
        "rows": [(display.instant(at), *cells) for at, *cells in found[:SHOWN]],
        "empty": "Nothing failed or was held in the last 7 days.",
    }


def _troubled_runs(request: HttpRequest, first: UUID) -> Iterable[tuple[datetime, Any, Any, str]]:
    rows = attention.seen_runs(request).filter(id__gte=first).select_related("registered_model__fleet")
    # Each by its index: of all together those of the week would be read until enough are found.
    for each in (*(Q(state=state) for state in FAILED), OUTCOMES["held"]):
        for run in rows.filter(each).defer("report", "details").order_by("-id")[:SHOWN]:
            yield run.requested_at, display.link(run.registered_model), outcome(run), run.next_step or display.NOTHING


def _failed_batches(request: HttpRequest, first: UUID) -> Iterable[tuple[datetime, Any, Any, str]]:
    wanted = attention.seen_batches(request).filter(FAILED_BATCH, id__gte=first)
    for batch in wanted.select_related("fleet").order_by("-id")[:SHOWN]:
        pill = display.linked(batch_badge(batch), display.address(batch))
        told = display.spread(display.joined(pill, batch.sentence))
        yield batch.requested_at, display.link(batch.fleet, batch.fleet.name), told, batch.next_step or display.NOTHING


def worker_rows(*, now: datetime) -> dict[str, Any]:
    """Return the workers that are alive or were lately."""
    newest = Worker.objects.filter(stopped_at=None, seen_at__gte=now - WORKERS_FOR).order_by("-seen_at")[:SHOWN]
    rows = [
        (
            display.tight(display.link(worker)),
            display.badge(condition(worker)),
            ", ".join(worker.queues),
            display.instant(worker.seen_at),
        )
        for worker in newest
    ]
    return {
        "heads": ("Worker", "State", "Queues", "Last seen"),
        "rows": rows,
        "more": display.listing(Worker),
        "more_text": "All workers",
        "empty": "No worker has reported itself.",
    }


def queue_rows() -> dict[str, Any]:
    """Return what waits in each queue and who serves it."""
    open_chunks = (
        Chunk.objects.filter(state__in=("queued", "dispatched", "running"))
        .values_list("queue", "state")
        .annotate(number=Count("pk"))
    )
    waiting: Counter[tuple[str, str]] = Counter({(queue, state): number for queue, state, number in open_chunks})
    served: Counter[str] = Counter()
    for worker in workers.live():
        served.update({queue: worker.slots for queue in worker.queues})
    rows = [
        (
            queue,
            *(_chunks(queue, state, waiting) for state in ("queued", "dispatched", "running")),
            _served(served[queue]),
        )
        for queue in QUEUES
    ]
    return {
        "heads": ("Queue", "Waiting", "Handed out", "Running", "Served by"),
        "rows": rows,
        "note": "In chunks: the runs that one worker takes at once.",
    }


def _chunks(queue: str, state: str, waiting: Counter[tuple[str, str]]) -> Any:
    return display.linked(waiting[queue, state], display.listing(Chunk, queue=queue, state__exact=state))


def _served(slots: int) -> Any:
    return f"{slots} slot{'s' if slots != 1 else ''}" if slots else display.badge("silent", "nobody")
