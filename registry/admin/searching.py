"""The filters of the list of versions, each answered by an index; none counts or reads the whole table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ListFilter, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextInputWidget

from registry import comparison, permissions
from registry.admin import base
from registry.models import Fleet, MetricSettings, ModelVersion, metric_value

RECENT = 500  # versions whose trainers are offered: those of the whole table would be read one by one


def of_tenants(rows: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
    """Return the versions that this user may see.

    By the numbers of the fleets and no join: the database then knows how many versions they have, and takes the right
    index.
    """
    if base.tenants(request) is permissions.ALL:
        return rows
    known = vars(request)
    if "visible_fleets" not in known:
        # One query a request, however many filters ask.
        fleets = base.scoped(Fleet.objects.all(), request, "tenant")
        known["visible_fleets"] = list(fleets.values_list("pk", flat=True))
    return rows.filter(fleet_id__in=known["visible_fleets"])


class StateFilter(SimpleListFilter):
    """States of versions; without a choice all but archived and deleted."""

    title = "state"
    parameter_name = "state__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [*ModelVersion.State.choices, (comparison.ANY, "Any")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        unset, *states = super().choices(changelist)
        yield {**unset, "display": "All but archived and deleted"}
        yield from states

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.value()
        if wanted == comparison.ANY:
            return queryset
        return queryset.filter(state__in=[wanted] if wanted else comparison.SHOWN)


class TrainerFilter(SimpleListFilter):
    """Trainers of the newest versions."""

    title = "trainer"
    parameter_name = "trainer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        newest = of_tenants(ModelVersion.objects.order_by("-created_at", "-id"), request)
        found = {*newest.values_list("trainer", flat=True)[:RECENT], self.value() or ""} - {""}
        return [(name, name) for name in sorted(found)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(trainer=self.value()) if self.value() else queryset


class InputFilter(ListFilter):
    """A filter whose values are typed; a subclass names its parameters and what each asks for."""

    template = "registry/admin/filter_input.html"
    parameters: Mapping[str, str] = {}
    beside: Sequence[str] = ()
    """Parameters of filters that are links: the form, which all typed filters share, would lose them."""

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.kept = [(name, request.GET[name]) for name in self.beside if request.GET.get(name)]
        for name in self.parameters:
            values = params.pop(name, [""])
            if text := str(values[-1] if isinstance(values, list) else values).strip():
                self.used_parameters[name] = text

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        form = forms.Form(data=dict(self.used_parameters))
        for name, asked in self.parameters.items():
            widget = UnfoldAdminTextInputWidget(attrs={"placeholder": asked, "aria-label": f"{self.title}: {asked}"})
            form.fields[name] = forms.CharField(required=False, widget=widget)
        yield {"form": form, "kept": self.kept, "selected": bool(self.used_parameters)}


class TagFilter(InputFilter):
    """Versions that have a tag."""

    title = "tag"
    parameters = {"tag": "tag"}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        tag = self.used_parameters.get("tag")
        return queryset.filter(tags__contains=[tag]) if tag else queryset


class PrimaryFilter(InputFilter):
    """Versions by the metric that the chosen fleet goes by; without a fleet by MAE."""

    parameters = {"min": "at least", "max": "at most"}
    beside = ("fleet", "state__exact", "trainer", "registered_model__id__exact")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        self.metric = _primary(request)
        self.title = self.metric
        super().__init__(request, params, model, model_admin)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        texts = {name: str(text) for name, text in self.used_parameters.items()}
        given = {name: _finite(text) for name, text in texts.items()}
        unread = [texts[name] for name, value in given.items() if value is None]
        if unread:
            messages.error(request, f"{unread[0]!r} is not a number, so nothing can be compared with it.")
            return queryset.none()
        bounds = Q(**{f"primary__{'gte' if name == 'min' else 'lte'}": value for name, value in given.items()})
        return queryset.alias(primary=metric_value(self.metric)).filter(bounds) if given else queryset


def _primary(request: HttpRequest) -> str:
    chosen = request.GET.get("fleet", "")
    if not chosen.isdecimal() or len(chosen) > 18:
        return MetricSettings().primary
    fleets = base.scoped(Fleet.objects.filter(pk=int(chosen)), request, "tenant")
    found = fleets.values_list("metric_settings", flat=True).first()
    return (found or MetricSettings()).primary


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
