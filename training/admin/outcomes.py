"""How runs ended, in the words of the screens: one condition for figures and the lists behind them."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from training.models import TrainingRun

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
LISTED = {**OUTCOMES, "open": Q(state__in=TrainingRun.OPEN)}


class OutcomeFilter(SimpleListFilter):
    """Runs by how they ended."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in LISTED]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(LISTED.get(self.value() or "", Q()))
