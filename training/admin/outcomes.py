"""How runs ended, in the words of the screens: one condition for figures and the lists behind them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.admin import DateFieldListFilter, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from registry import display, identifiers
from training.models import Batch, TrainingRun

State = TrainingRun.State
CLOCKS_APART = timedelta(hours=1)
FAILED = (State.FAILED, State.TIMED_OUT)
OUTCOMES: dict[str, Q] = {
    "promoted": Q(state=State.SUCCEEDED, verdict="passed"),
    "held": Q(state=State.SUCCEEDED, verdict="held"),
    "refused": Q(state=State.SUCCEEDED, verdict="failed"),
    "kept": Q(state=State.SUCCEEDED, verdict=""),
    "failed": Q(state__in=FAILED),
    "other": Q(state__in=(State.SKIPPED, State.CANCELLED, State.SUPERSEDED)),
}
LISTED = {**OUTCOMES, "open": Q(state__in=TrainingRun.OPEN)}
FAILED_BATCH = Q(halted=True, state=Batch.State.DONE)


def batch_badge(batch: Batch) -> Any:
    """Return the state of a batch; one that ended because its source could not be read has failed, not done."""
    if not batch.halted:
        return display.badge(batch.state)
    return display.badge("failed" if batch.state == Batch.State.DONE else "halted")


def batch_outcome(batch: Batch) -> Any:
    """Return the state of a batch, and where it was halted its code, what happened and the next step."""
    pill = batch_badge(batch)
    if not batch.halted:
        return pill
    return display.spread(display.joined(pill, display.code(batch.code), batch.sentence, batch.next_step))


class AskedFilter(DateFieldListFilter):
    """Runs by when they were asked for: a day's are found by their ids, which follow time, and not one by one."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        found = super().queryset(request, queryset)
        since: Any = self.used_parameters.get(self.lookup_kwarg_since) or [""]
        at = parse_datetime(str(since[-1]))
        if found is None or at is None:
            return found
        # An id is made no earlier than its run was asked for, but for the clocks.
        aware = at if timezone.is_aware(at) else timezone.make_aware(at)
        return found.filter(id__gte=identifiers.lowest(aware - CLOCKS_APART))


class OutcomeFilter(SimpleListFilter):
    """Runs by how they ended."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in LISTED]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(LISTED.get(self.value() or "", Q()))
