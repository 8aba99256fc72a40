"""The pages of policies: schedule, next slots, last slot and its outcome. Edits act from the next sweep on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display as column
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.enums import ActionVariant

from registry import display, errors, history, ticks, timestamps
from registry.admin import base, filters
from registry.admin.extensions import Action, Done, Order, Panel
from registry.admin.pausing import named
from training import scheduling
from training.admin import schedule
from training.admin.attached import counts
from training.admin.outcomes import batch_badge, batch_outcome
from training.models import Batch, RetrainingPolicy

PERMISSION = "training.pause_retrainingpolicy"
MISSED = {
    "skip": "are skipped",
    "run_latest": "the newest one is caught up",
    "run_all": "are caught up, at most {limit}",
}


def timetable(request: HttpRequest, policy: RetrainingPolicy) -> dict[str, Any]:
    """Return when the policy fires: text, zone, next three slots in both zones, last slot and what came of it."""
    now = timestamps.utc_now()
    upcoming, note = schedule.slots(policy, now=now)
    last = Batch.objects.filter(policy=policy, slot__isnull=False).order_by("-slot").first()
    stopped = policy.paused or not policy.enabled or policy.fleet.paused
    return {
        "policy": policy,
        "state": schedule.state(policy),
        "words": schedule.in_words(policy.cron),
        "slots": upcoming,
        "note": note,
        "stopped": stopped,
        "last": last,
        "last_badge": batch_badge(last) if last else "",
        "last_counts": counts(last.counts) if last else "",
        "tick": ticks.last(),
        "due": schedule.next_due(policy),
    }


def terms(request: HttpRequest, policy: RetrainingPolicy) -> dict[str, Any] | None:
    """Return what the policy does once it fires; no card where the form below says the same."""
    if not policy.managed_by and request.user.has_perm("training.change_retrainingpolicy"):
        return None
    return {
        "rows": [
            ("Fleet", display.link(policy.fleet)),
            ("Source", display.link(policy.source)),
            ("Selects", display.shown(policy.selector)),
            ("Trainers", ", ".join(each.name for each in policy.trainers) or display.NOTHING),
            ("Look-back", f"{policy.look_back_days} days" if policy.look_back_days else "the default of the frequency"),
            ("Then", policy.get_action_display()),
            ("Promotes", policy.get_promote_mode_display()),
            ("Missed slots", MISSED[policy.misfire].format(limit=policy.misfire_limit)),
            ("Gate limits", display.shown(policy.gate_limits)),
        ]
    }


def recent(request: HttpRequest, policy: RetrainingPolicy) -> dict[str, Any]:
    """Return the newest batches of the policy."""
    batches = Batch.objects.filter(policy=policy).order_by("-id")[:8]
    rows = [
        (
            display.linked(display.instant(batch.slot or batch.requested_at), display.address(batch)),
            batch_outcome(batch),
            batch.reason.trigger,
            counts(batch.counts) or f"{batch.expected} runs",
        )
        for batch in batches
    ]
    more = display.listing(Batch, policy__id__exact=policy.pk)
    return {
        "heads": ("Slot", "State", "Trigger", "Runs"),
        "rows": rows,
        "more": more,
        "empty": "It has not fired yet.",
    }


def _switch(*, paused: bool) -> Callable[[Order], Done]:
    @transaction.atomic
    def carry_out(order: Order) -> Done:
        changed = [policy for policy in _locked(order.targets) if policy.paused != paused]
        for policy in changed:
            if paused:
                scheduling.pause(policy)
            else:
                scheduling.resume(policy, now=order.at)
        kind = "training.policy.paused" if paused else "training.policy.resumed"
        history.announce([_line(policy, kind, order) for policy in changed])
        address = display.address(order.targets[0]) if len(order.targets) == 1 else display.listing(RetrainingPolicy)
        return Done(sentence=f"{'Paused' if paused else 'Resumed'}: {named(changed) or 'nothing'}.", address=address)

    return carry_out


def _locked(policies: Sequence[Any]) -> QuerySet[RetrainingPolicy]:
    rows = RetrainingPolicy.objects.select_for_update(no_key=True, of=("self",)).select_related("fleet")
    return rows.filter(pk__in=[each.pk for each in policies]).order_by("pk")


def _line(policy: RetrainingPolicy, kind: str, order: Order) -> history.Line:
    return history.Line(
        kind=kind,
        fleet_id=policy.fleet_id,
        actor=order.actor,
        cause="manual",
        reason=f"{policy.name}: {order.reason}",
        at=order.at,
    )


PAUSE = Action(
    name="pause",
    title="Pause",
    icon="pause_circle",
    permission=PERMISSION,
    bulk=True,
    variant=ActionVariant.WARNING,
    ask=lambda policies: (
        f"Pause {named(policies)}? No slot fires until it is resumed; runs asked for by people still run."
    ),
    perform=_switch(paused=True),
    applies=lambda policy: not policy.paused,
)
RESUME = Action(
    name="resume",
    title="Resume",
    icon="play_circle",
    permission=PERMISSION,
    bulk=True,
    variant=ActionVariant.PRIMARY,
    ask=lambda policies: f"Resume {named(policies)}? It fires again from its next slot on.",
    perform=_switch(paused=False),
    applies=lambda policy: policy.paused,
)


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Refuses a schedule that never comes true, with the sentence of the scheduler."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        try:
            scheduling.check(cron=cleaned.get("cron", ""), time_zone=cleaned.get("time_zone", ""))
        except errors.Invalid as error:
            raise ValidationError({error.field or "cron": str(error)}) from error
        fleet, source = cleaned.get("fleet") or self.instance.fleet, cleaned.get("source")
        if source is not None and source.tenant != fleet.tenant:
            raise ValidationError(
                {"source": f"Source {source} belongs to tenant {source.tenant}, the fleet to {fleet.tenant}."}
            )
        return cleaned


@admin.register(RetrainingPolicy)
class RetrainingPolicyAdmin(base.ScopedAdmin):
    """When models of a fleet are retrained, how, and what follows."""

    form = PolicyForm
    exclude = ("managed_by", "paused", "next_due_at", "last_slot")
    fixed_fields = ("fleet", "name")
    list_display = ("name", "fleet_link", "state_badge", "cron", "time_zone", "due", "action")
    list_filter = (filters.FleetFilter, "enabled", "paused", "action")
    list_select_related = ("fleet", "source")
    search_fields = ("name", "fleet__name")
    autocomplete_fields = ("fleet", "source")
    hidden_details = ("next_due_at",)
    page_actions = (RESUME, PAUSE)
    fieldsets = (
        (None, {"fields": ("fleet", "name", "source", "enabled")}),
        ("Schedule", {"fields": ("cron", "time_zone", "misfire", "misfire_limit", "jitter_seconds", "triggers")}),
        ("How", {"fields": ("selector", "trainers", "look_back_days", "strategy", "refit", "tuning", "expectations")}),
        ("Then", {"fields": ("action", "promote_mode", "gate_limits", "caps")}),
    )
    panels = (
        Panel(title="Schedule", template="training/admin/timetable.html", build=timetable),
        Panel(title="Terms", template="registry/admin/facts.html", build=terms),
        Panel(title="Recent batches", template="registry/admin/table.html", build=recent, wide=True),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("fleet", "source")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.enabled and not obj.paused:
            scheduling.plan(obj, now=timestamps.utc_now())

    @column(description="fleet", ordering="fleet")
    def fleet_link(self, policy: RetrainingPolicy) -> Any:
        return display.link(policy.fleet)

    @column(description="state", ordering="enabled")
    def state_badge(self, policy: RetrainingPolicy) -> Any:
        return schedule.state(policy)

    @column(description="next slot", ordering="next_due_at")
    def due(self, policy: RetrainingPolicy) -> Any:
        return schedule.next_due(policy)
