"""The pages of batches and chunks, to be read: how far, counts by state, and the lists behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import display as column
from django.db.models import QuerySet
from django.http import HttpRequest

from registry import display
from registry.admin import base, filters
from registry.admin.extensions import Panel
from training import runs
from training.admin.attached import counts, outcome
from training.admin.outcomes import batch_badge, batch_outcome
from training.models import Batch, Chunk, TrainingRun

SHOWN_RUNS = 30
COUNTED_AT_ONCE = 10_000
ORDER = ("succeeded", "failed", "timed_out", "superseded", "cancelled", "skipped", "running", "dispatched", "queued")
TONES = {"succeeded": "good", "failed": "bad", "timed_out": "bad", "running": "info", "dispatched": "info"}


def progress(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    """Return how far the batch is, as bar and as counts that link to their lists."""
    # Of very many runs the sweep has counted some seconds ago; a page that does it anew each two seconds never ends.
    is_counted = batch.expected > COUNTED_AT_ONCE and bool(batch.counts)
    found = runs.progress(batch, counts=batch.counts if is_counted else None)
    whole = max(found.expected, 1)
    parts = [
        {
            "state": state,
            "number": number,
            "share": f"{100 * number / whole:.2f}",
            "tone": TONES.get(state, "dull"),
            "href": display.listing(TrainingRun, batch__id__exact=batch.pk, state__exact=state),
        }
        for state in ORDER
        if (number := found.counts.get(state, 0))
    ]
    bar = [part for part in parts if part["state"] != "queued"]
    return {
        "progress": found,
        "parts": parts,
        "bar": bar,
        "batch": batch,
        "badge": batch_badge(batch),
        "all": display.listing(TrainingRun, batch__id__exact=batch.pk),
    }


def request_card(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    """Return who asked for the batch, when and for what."""
    rows = [
        ("Fleet", display.link(batch.fleet)),
        ("Policy", display.link(batch.policy)),
        ("Nominal slot", display.instant(batch.slot) if batch.slot else "none: asked for by hand"),
        ("Trigger", f"{batch.reason.trigger} by {batch.reason.actor or 'nobody named'}"),
        ("Reason", batch.reason.sentence or display.NOTHING),
        ("Asked for", display.instant(batch.requested_at, seconds=True)),
        ("Ended", display.instant(batch.finished_at, seconds=True)),
        ("Took", display.span(batch.finished_at - batch.requested_at) if batch.finished_at else display.NOTHING),
        ("Queue", batch.queue),
        ("Look-back", f"{batch.look_back_days} days" if batch.look_back_days else "as the policy says"),
        ("Snapshot", display.link(batch.snapshot)),
    ]
    if batch.code:
        rows += [("Code", display.code(batch.code)), ("What happened", batch.sentence), ("Next step", batch.next_step)]
    return {"rows": rows}


def batch_runs(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    """Return the first runs of the batch: those that need a look before the others."""
    rows = (
        TrainingRun.objects.filter(batch=batch)
        .select_related("registered_model__fleet", "version")
        .defer("report", "reasons")
    )
    shown = sorted(
        rows.order_by("id")[:200], key=lambda run: (run.state not in ("failed", "timed_out"), run.state == "skipped")
    )[:SHOWN_RUNS]
    listed = [
        (
            display.link(run, run.registered_model.entity_key),
            f"{run.percent} % {run.phase}".strip(),
            display.link(run.version, f"v{run.version.number}") if run.version else display.NOTHING,
            outcome(run),
        )
        for run in shown
    ]
    more = display.listing(TrainingRun, batch__id__exact=batch.pk) if batch.expected > SHOWN_RUNS else ""
    return {
        "heads": ("Model", "Progress", "Version", "Outcome"),
        "rows": listed,
        "more": more,
        "more_text": f"All {batch.expected} runs",
        "empty": "It ended without a run."
        if batch.state == Batch.State.DONE
        else "Its source is being read; runs appear once its entities are known.",
    }


class ByIdMixin:
    """Lets links filter by one batch, model or version without offering a list of all of them."""

    linked_by: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in self.linked_by or super().lookup_allowed(lookup, value, request)  # type: ignore[misc]  # a mixin of admins


@admin.register(Batch)
class BatchAdmin(ByIdMixin, base.ScopedAdmin):
    """One firing of a policy, or one request."""

    always_readonly = True
    linked_by = ("policy__id__exact", "finished_at__gte")
    list_display = ("asked", "fleet_link", "policy", "trigger", "state_badge", "counted", "slot_time")
    list_filter = (filters.FleetFilter, "state", "kind", "halted", "requested_at")
    list_select_related = ("fleet", "policy__fleet")
    search_fields = ("fleet__name", "code")
    ordering = ("-id",)
    panels = (
        Panel(title="Progress", template="training/admin/progress.html", build=progress),
        Panel(title="Request", template="registry/admin/facts.html", build=request_card),
        Panel(title="Runs", template="registry/admin/table.html", build=batch_runs, wide=True),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("fleet", "policy__fleet", "snapshot__source")

    def is_live(self, obj: Any) -> bool:
        return bool(obj.state == Batch.State.OPEN)

    @column(description="asked for", ordering="id")
    def asked(self, batch: Batch) -> Any:
        return display.instant(batch.requested_at, seconds=True)

    @column(description="fleet")
    def fleet_link(self, batch: Batch) -> Any:
        return display.link(batch.fleet)

    @column(description="trigger")
    def trigger(self, batch: Batch) -> str:
        return batch.reason.trigger

    @column(description="state", ordering="state")
    def state_badge(self, batch: Batch) -> Any:
        return batch_outcome(batch)

    @column(description="runs")
    def counted(self, batch: Batch) -> Any:
        return display.linked(
            counts(batch.counts) or f"{batch.expected} expected",
            display.listing(TrainingRun, batch__id__exact=batch.pk),
        )

    @column(description="nominal slot", ordering="slot")
    def slot_time(self, batch: Batch) -> Any:
        return display.instant(batch.slot)


@admin.register(Chunk)
class ChunkAdmin(ByIdMixin, base.ScopedAdmin):
    """The runs that one worker takes at once."""

    tenant_path = "batch__fleet__tenant"
    always_readonly = True
    linked_by = ("batch__id__exact",)
    list_display = ("id", "batch", "kind", "state_badge", "queue", "worker", "attempt", "lease")
    list_filter = ("state", "queue", "kind")
    list_select_related = ("batch__fleet",)
    search_fields = ("worker",)
    ordering = ("-id",)

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        return ()

    @column(description="state", ordering="state")
    def state_badge(self, chunk: Chunk) -> Any:
        return display.badge(chunk.state)

    @column(description="lease until")
    def lease(self, chunk: Chunk) -> Any:
        return display.instant(chunk.lease_until, seconds=True)
