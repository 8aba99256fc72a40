"""The pages of runs: how far, on which worker, why it ended as it did, and what to do next. History is read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display as column
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.enums import ActionVariant

from registry import display
from registry.admin import base, filters, finding, placing
from registry.admin.extensions import Action, Done, Order, Panel
from training import runs
from training.admin.attached import outcome
from training.admin.batches import ByIdMixin
from training.admin.outcomes import AskedFilter, OutcomeFilter
from training.models import RunLog, TrainingRun

SHOWN_LINES = 200
State = TrainingRun.State


def state(request: HttpRequest, run: TrainingRun) -> dict[str, Any]:
    """Return how far the run is or how it ended, with code, sentence and next step."""
    waits = run.version is not None and run.version_id == run.registered_model.challenger_id
    return {
        "run": run,
        "promote": placing.offer(request, run.version) if waits else "",
        "open": run.state in TrainingRun.OPEN,
        "worker": run.chunk.worker if run.chunk else "",
        "joined": run.joined,
    }


def request_card(request: HttpRequest, run: TrainingRun) -> dict[str, Any]:
    """Return who asked for the run and when it went through which state."""
    reasons = [f"{each.trigger} by {each.actor or 'nobody named'}: {each.sentence}" for each in run.reasons]
    return {
        "rows": [
            ("Model", display.link(run.registered_model)),
            ("Batch", display.link(run.batch)),
            ("Policy", display.link(run.policy)),
            ("Reasons", display.shown(reasons)),
            ("Asked for", display.instant(run.requested_at, seconds=True)),
            ("Not before", display.instant(run.not_before)),
            ("Handed out", display.instant(run.dispatched_at, seconds=True)),
            ("Began", display.instant(run.started_at, seconds=True)),
            ("Ended", display.instant(run.finished_at, seconds=True)),
            ("Id, also of its version", display.code(run.pk)),
        ]
    }


def used(request: HttpRequest, run: TrainingRun) -> dict[str, Any] | None:
    """Return what the run used and found; no card before it has ended."""
    found = run.details
    if run.started_at is None or run.state in TrainingRun.OPEN:
        return None
    return {
        "rows": [
            ("Version", display.link(run.version, f"v{run.version.number}") if run.version else display.NOTHING),
            ("Trainer", found.trainer or display.NOTHING),
            ("Parameters", display.shown(found.params)),
            ("Metrics", display.shown(found.metrics)),
            ("Days used", display.number(found.days)),
            (
                "Rows",
                " ".join(
                    (
                        display.number(found.rows),
                        f"({display.number(found.train_rows)} train,",
                        f"{display.number(found.test_rows)} test)",
                    )
                ),
            ),
            ("Features", display.shown(found.features)),
            ("Seconds of work", display.number(found.seconds)),
        ]
    }


def gate_report(request: HttpRequest, run: TrainingRun) -> dict[str, Any] | None:
    """Return the gate's report; no card for a run that is still open."""
    return None if run.state in TrainingRun.OPEN else {"report": run.report, "empty": "The run ended before the gate."}


def log(request: HttpRequest, run: TrainingRun) -> dict[str, Any]:
    """Return the newest lines of the run's log, oldest first."""
    newest = list(RunLog.objects.filter(run=run).order_by("-id")[: SHOWN_LINES + 1])
    return {"lines": newest[:SHOWN_LINES][::-1], "cut": len(newest) > SHOWN_LINES}


def _ask_cancel(some: Any) -> str:
    run: TrainingRun = some[0]
    more = f" and {len(some) - 1} others" if len(some) > 1 else ""
    what = f"{run.kind} of {run.registered_model}, which is {run.state}{more}"
    return f"Cancel the {what}. Nothing it fits from now on is promoted."


def _cancel(order: Order) -> Done:
    for run in order.targets:
        runs.cancel(run_id=run.pk, actor=f"{order.actor} ({order.reason})", at=order.at)
    address = (
        display.address(order.targets[0])
        if len(order.targets) == 1
        else display.listing(TrainingRun, state__exact="cancelled")
    )
    return Done(sentence=f"Cancelled: {len(order.targets)}.", address=address)


def _ask_delete(some: Any) -> str:
    run: TrainingRun = some[0]
    what = f"{run.kind} of {run.registered_model} ({run.get_state_display()})"
    return f"Delete the record of the {what}, with its log lines. This cannot be undone."


def _delete(order: Order) -> Done:
    for run in order.targets:
        runs.delete(run_id=run.pk)
    return Done(sentence=f"Deleted: {len(order.targets)} run record.", address=display.listing(TrainingRun))


CANCEL = Action(
    name="cancel",
    title="Cancel run",
    icon="block",
    permission="training.cancel_trainingrun",
    variant=ActionVariant.DANGER,
    bulk=True,
    ask=_ask_cancel,
    perform=_cancel,
    applies=lambda run: run.state in TrainingRun.OPEN,
)
DELETE = Action(
    name="delete-record",
    title="Delete record",
    icon="delete",
    permission="training.delete_trainingrun",
    variant=ActionVariant.DANGER,
    ask=_ask_delete,
    perform=_delete,
    applies=lambda run: run.state not in TrainingRun.OPEN and run.version_id is None,
)


@admin.register(TrainingRun)
class TrainingRunAdmin(finding.ByEntity, ByIdMixin, base.ScopedAdmin):
    """One attempt for one model."""

    tenant_path = "registered_model__fleet__tenant"
    always_readonly = True
    linked_by = (
        "batch__id__exact",
        "registered_model__id__exact",
        "policy__id__exact",
        "requested_at__gte",
        "finished_at__gte",
    )
    list_display = ("asked", "model_link", "kind", "state_badge", "ended", "version_link", "code", "took")
    list_filter = (
        filters.fleet_through("registered_model__fleet"),
        OutcomeFilter,
        "state",
        filters.of_words("verdict", "passed", "held", "failed"),
        "kind",
        ("requested_at", AskedFilter),
    )
    list_select_related = ("registered_model__fleet", "version")
    search_fields = ("registered_model__entity_key", "code")
    search_help_text = f"{finding.WHERE}; of the newest {finding.NEWEST:,} runs also the code"
    searched_newest = ("code",)
    ordering = ("-id",)
    sortable_by = ("asked",)
    page_actions = (CANCEL, DELETE)
    hidden_details = ("report", "reasons", "details", "sentence", "next_step")
    panels = (
        Panel(title="Run", template="training/admin/run_state.html", build=state),
        Panel(title="Request", template="registry/admin/facts.html", build=request_card),
        Panel(title="Gate report", template="registry/admin/gate_report.html", build=gate_report, wide=True),
        Panel(title="Used and found", template="registry/admin/facts.html", build=used),
        Panel(title="Log", template="training/admin/run_log.html", build=log),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.select_related(
            "registered_model__fleet", "batch__fleet", "policy__fleet", "chunk", "version", "joined"
        )

    def is_live(self, obj: Any) -> bool:
        return obj.state in TrainingRun.OPEN

    @column(description="asked for", ordering="id")
    def asked(self, run: TrainingRun) -> Any:
        return display.instant(run.requested_at, seconds=True)

    @column(description="model")
    def model_link(self, run: TrainingRun) -> Any:
        return display.link(run.registered_model)

    @column(description="state")
    def state_badge(self, run: TrainingRun) -> Any:
        return display.badge(run.state)

    @column(description="outcome")
    def ended(self, run: TrainingRun) -> Any:
        return outcome(run)

    @column(description="version")
    def version_link(self, run: TrainingRun) -> Any:
        return display.link(run.version, f"v{run.version.number}") if run.version else display.NOTHING

    @column(description="took")
    def took(self, run: TrainingRun) -> str:
        return display.span(run.finished_at - run.started_at) if run.finished_at and run.started_at else display.NOTHING


@admin.register(RunLog)
class RunLogAdmin(finding.ByEntity, ByIdMixin, base.ScopedAdmin):
    """Lines that runs wrote; read on the page of their run."""

    tenant_path = "run__registered_model__fleet__tenant"
    always_readonly = True
    linked_by = ("run__id__exact",)
    list_display = ("at", "level", "run", "message")
    list_filter = (filters.of_words("level", "info", "warning", "error"),)
    list_select_related = ("run__registered_model__fleet",)
    search_fields = ("run__registered_model__entity_key", "message")
    search_help_text = f"{finding.WHERE}; of the newest {finding.NEWEST:,} lines also the message"
    entity_path = "run__registered_model"
    searched_newest = ("message",)
    ordering = ("-id",)
    sortable_by = ()
