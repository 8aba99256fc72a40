"""What the first page shows: what needs attention first, then outcomes, then workers and queues. Reads only, writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.http import HttpRequest

from registry import ticks, timestamps
from registry import display
from registry.admin import base, charts
from registry.models import Fleet, ModelVersion, RegisteredModel
from training import conf, workers
from training.admin import schedule
from training.admin.attached import outcome
from training.admin.workers import condition
from training.models import Chunk, RetrainingPolicy, TrainingRun, Worker

RECENT = timedelta(hours=24)
OUTCOME_DAYS = 30
SHOWN = 8
QUEUES = ("control", "interactive", "training", "monitoring")
NEEDED_QUEUES = ("interactive", "training")
BEAT_SILENT = timedelta(seconds=60)
State = TrainingRun.State
FAILED = (State.FAILED, State.TIMED_OUT)
OUTCOMES: dict[str, Q] = {
    "promoted": Q(state=State.SUCCEEDED, verdict="passed"),
    "held": Q(state=State.SUCCEEDED, verdict="held"),
    "refused": Q(state=State.SUCCEEDED, verdict="failed"),
    "kept": Q(state=State.SUCCEEDED, verdict=""),
    "failed": Q(state__in=FAILED),
    "other": Q(state__in=(State.SKIPPED, State.CANCELLED, State.SUPERSEDED)),
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that needs a look: how urgent, what, since when, where to look and what to do."""

    urgency: str  # critical, warning or info
    what: str
    count: int
    address: str
    next_step: str
    since: datetime | None = None


def since(at: datetime) -> UUID:
    """Return an id below that of every run made at or after an instant: ids are UUIDv7 and lead the primary key by time."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def context(request: HttpRequest, found: dict[str, Any]) -> dict[str, Any]:
    """Fill the context of the first page (Unfold's DASHBOARD_CALLBACK)."""
    now = timestamps.utc_now()
    found.update(
        items=attention(request, now=now), figures=figures(request, now=now), troubled=troubled(request, now=now),
        outcomes=outcomes(request, now=now), workers=worker_rows(), queues=queue_rows(), last_tick=ticks.last(),
        switched_off=not conf.current().enabled, title="Dashboard",
    )  # fmt: skip
    return found


def badge(request: HttpRequest) -> str:
    """Return how many things need attention, for the sidebar."""
    return str(len(attention(request, now=timestamps.utc_now())))


def attention(request: HttpRequest, *, now: datetime) -> list[Item]:
    """Return what needs a look, the most urgent first; asked once for each request, since the sidebar asks too."""
    known: list[Item] | None = getattr(request, "attention_items", None)
    if known is None:
        checks: Iterable[Callable[[HttpRequest, datetime], Iterable[Item]]] = (_processes, _runs, _versions, _policies, _challengers)
        known = [item for check in checks for item in check(request, now)]
        known.sort(key=lambda item: ("critical", "warning", "info").index(item.urgency))
        request.attention_items = known  # type: ignore[attr-defined]  # lives as long as the request
    return known


def _processes(request: HttpRequest, now: datetime) -> Iterable[Item]:
    beat = ticks.last()
    if beat is None or now - beat > BEAT_SILENT:
        yield Item(
            urgency="critical", what="Beat is silent: no schedule fires and no run is handed out.", count=1, since=beat,
            address=display.listing(RetrainingPolicy), next_step="Start it: manage.py up, or celery -A config beat.",
        )  # fmt: skip
    for queue in workers.unserved(NEEDED_QUEUES):
        yield Item(
            urgency="critical", what=f"No live worker serves the queue {queue}.", count=1,
            address=display.listing(Worker), next_step=f"Start one: manage.py up, or celery -A config worker -Q {queue}.",
        )  # fmt: skip
    if not conf.current().enabled:
        yield Item(
            urgency="warning", what="The switch of the installation is off: no policy fires.", count=1,
            address=display.listing(RetrainingPolicy), next_step="Set PERENNIAL_TRAINING_ENABLED=1 and restart.",
        )  # fmt: skip


def _runs(request: HttpRequest, now: datetime) -> Iterable[Item]:
    recent = _seen_runs(request).filter(id__gte=since(now - RECENT), state__in=FAILED)
    counts = recent.aggregate(all=Count("pk"), quarantined=Count("pk", filter=Q(code="quarantined")))
    if counts["quarantined"]:
        yield Item(
            urgency="critical", what="Runs were quarantined: they ended their worker again and again.", count=counts["quarantined"],
            address=display.listing(TrainingRun, code="quarantined", requested_at__gte=_iso(now - RECENT)),
            next_step="Read their data and the worker's log before you retrain by hand.",
        )  # fmt: skip
    failed = counts["all"] - counts["quarantined"]
    if failed:
        yield Item(
            urgency="critical", what="Runs failed in the last 24 hours.", count=failed,
            address=display.listing(TrainingRun, outcome="failed", requested_at__gte=_iso(now - RECENT)),
            next_step="Each says why, and what to do next.",
        )  # fmt: skip


def _versions(request: HttpRequest, now: datetime) -> Iterable[Item]:
    rows = base.scoped(ModelVersion.objects.all(), request, "registered_model__fleet__tenant")
    quarantined = rows.filter(state=ModelVersion.State.QUARANTINED).count()
    if quarantined:
        yield Item(
            urgency="critical", what="Versions are quarantined: their artifacts do not hold.", count=quarantined,
            address=display.listing(ModelVersion, state__exact="quarantined"), next_step="Roll back, then restore the file from a backup.",
        )  # fmt: skip


def _policies(request: HttpRequest, now: datetime) -> Iterable[Item]:
    late = base.scoped(RetrainingPolicy.objects.all(), request, "fleet__tenant").filter(
        enabled=True, paused=False, next_due_at__lt=now - schedule.grace()
    )
    oldest = late.order_by("next_due_at").values_list("next_due_at", flat=True)[:100]
    if oldest:
        yield Item(
            urgency="critical", what="Policies are late: their slot passed and nothing fired.", count=len(oldest), since=oldest[0],
            address=display.listing(RetrainingPolicy, next_due_at__lt=_iso(now - schedule.grace()), enabled__exact=1, paused__exact=0),
            next_step="Look whether beat and a control worker run.",
        )  # fmt: skip


def _challengers(request: HttpRequest, now: datetime) -> Iterable[Item]:
    waiting = _seen_models(request).filter(challenger__isnull=False).count()
    if waiting:
        yield Item(
            urgency="warning", what="Challengers wait: the gate held them, or their policy asks an approver.", count=waiting,
            address=display.listing(RegisteredModel, place="challenger"), next_step="Read the gate report, then promote or leave it.",
        )  # fmt: skip


def figures(request: HttpRequest, *, now: datetime) -> list[tuple[Any, str, str]]:
    """Return the numbers at the head of the page as (number, word, address of the list behind it)."""
    models = _seen_models(request).aggregate(all=Count("pk"), champions=Count("champion"))
    runs = _seen_runs(request)
    open_runs = runs.filter(state__in=TrainingRun.OPEN).count()
    recent = runs.filter(id__gte=since(now - RECENT)).aggregate(all=Count("pk"), promoted=Count("pk", filter=OUTCOMES["promoted"]))
    day = {"requested_at__gte": _iso(now - RECENT)}
    return [
        (base.scoped(Fleet.objects.all(), request, "tenant").count(), "fleets", display.listing(Fleet)),
        (models["all"], "models", display.listing(RegisteredModel)),
        (models["champions"], "with a champion", display.listing(RegisteredModel, place="champion")),
        (open_runs, "runs open now", display.listing(TrainingRun, outcome="open")),
        (recent["all"], "runs in 24 hours", display.listing(TrainingRun, **day)),
        (recent["promoted"], "promoted in 24 hours", display.listing(TrainingRun, outcome="promoted", **day)),
    ]


def troubled(request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Return the newest runs that failed or were held."""
    wanted = _seen_runs(request).filter(id__gte=since(now - timedelta(days=7)))
    rows = wanted.filter(OUTCOMES["failed"] | OUTCOMES["held"]).select_related("registered_model__fleet").defer("report", "details")
    listed = [
        (display.instant(run.requested_at), display.link(run.registered_model), outcome(run), run.next_step or display.NOTHING)
        for run in rows.order_by("-id")[:SHOWN]
    ]
    return {"heads": ("Asked for", "Model", "What happened", "Next step"), "rows": listed, "empty": "No run failed or was held in the last 7 days."}


def outcomes(request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Return how the runs of the last 30 days ended, by day."""
    first = (now - timedelta(days=OUTCOME_DAYS - 1)).date()
    rows = _seen_runs(request).filter(id__gte=since(now - timedelta(days=OUTCOME_DAYS)), finished_at__date__gte=first)
    counted = {name: Count("pk", filter=condition) for name, condition in OUTCOMES.items()}
    by_day = {row["day"]: row for row in rows.values(day=TruncDate("finished_at")).annotate(**counted)}
    days = [first + timedelta(days=offset) for offset in range(OUTCOME_DAYS)]
    parts = {name: [by_day.get(day, {}).get(name, 0) for day in days] for name in OUTCOMES}
    totals = [
        (sum(counts), name, display.listing(TrainingRun, outcome=name, requested_at__gte=f"{first.isoformat()}T00:00:00Z"))
        for name, counts in parts.items()
        if any(counts)
    ]
    if not totals:
        return {"empty": "No run ended in the last 30 days."}
    return {"chart": charts.stacks(labels=[f"{day:%d %b}" for day in days], parts=parts, description="Outcomes of runs by day"), "totals": totals}


def worker_rows() -> dict[str, Any]:
    """Return the workers that are alive or were lately."""
    newest = Worker.objects.filter(Q(stopped_at=None)).order_by("-seen_at")[:SHOWN]
    rows = [
        (display.link(worker), display.badge(condition(worker)), ", ".join(worker.queues), worker.slots, display.instant(worker.seen_at, seconds=True))
        for worker in newest
    ]
    return {"heads": ("Worker", "State", "Queues", "Slots", "Last seen"), "rows": rows, "more": display.listing(Worker), "more_text": "All workers", "empty": "No worker has reported itself."}


def queue_rows() -> dict[str, Any]:
    """Return what waits in each queue and who serves it."""
    open_chunks = Chunk.objects.filter(state__in=("queued", "dispatched", "running")).values_list("queue", "state").annotate(number=Count("pk"))
    waiting: Counter[tuple[str, str]] = Counter({(queue, state): number for queue, state, number in open_chunks})
    served: Counter[str] = Counter()
    for worker in workers.live():
        served.update({queue: worker.slots for queue in worker.queues})
    rows = [(queue, *(_chunks(queue, state, waiting) for state in ("queued", "dispatched", "running")), _served(served[queue])) for queue in QUEUES]
    return {"heads": ("Queue", "Waiting", "Handed out", "Running", "Served by"), "rows": rows, "note": "In chunks: the runs that one worker takes at once."}


def _chunks(queue: str, state: str, waiting: Counter[tuple[str, str]]) -> Any:
    return display.linked(waiting[queue, state], display.listing(Chunk, queue=queue, state__exact=state))


def _served(slots: int) -> Any:
    return f"{slots} slot{'s' if slots != 1 else ''}" if slots else display.badge("silent", "nobody")


def _seen_models(request: HttpRequest) -> Any:
    return base.scoped(RegisteredModel.objects.all(), request, "fleet__tenant")


def _seen_runs(request: HttpRequest) -> Any:
    return base.scoped(TrainingRun.objects.all(), request, "registered_model__fleet__tenant")


def _iso(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat().replace("+00:00", "Z")


