"""The pages of sources, their snapshots, and published forecasts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display as column
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from registry import display, errors, timestamps
from registry.admin import base, filters, finding
from registry.admin.extensions import Panel
from training.admin.batches import ByIdMixin
from training.models import Forecast, RetrainingPolicy, Snapshot, Source


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Refuses a zone that does not exist."""

    def clean_time_zone(self) -> str:
        zone: str = self.cleaned_data["time_zone"]
        try:
            if zone:
                timestamps.find_zone(zone)
        except errors.Invalid as error:
            raise ValidationError(str(error)) from error
        return zone


def reads(request: HttpRequest, source: Source) -> dict[str, Any] | None:
    """Return where the series come from and which column is what; no card where the form below says the same."""
    if not source.managed_by and request.user.has_perm("training.change_source"):
        return None
    return {
        "rows": [
            ("Kind", source.get_kind_display()),
            ("Options", display.shown(source.options)),
            ("Columns", display.shown(source.columns)),
            ("Zone of naive stamps", source.time_zone or "none declared: naive stamps are refused"),
            ("Duplicates", source.get_duplicates_display()),
            ("Gaps", source.get_gaps_display()),
        ]
    }


def snapshots(request: HttpRequest, source: Source) -> dict[str, Any]:
    """Return the newest readings of a source."""
    rows = [
        (
            display.link(each, each.digest[:12]),
            display.number(each.rows),
            each.entities,
            display.instant(each.window_end),
            display.instant(each.created_at),
        )
        for each in Snapshot.objects.filter(source=source).select_related("source")[:8]
    ]
    more = display.listing(Snapshot, source__id__exact=source.pk)
    return {
        "heads": ("Digest", "Rows", "Entities", "Data to", "Read"),
        "rows": rows,
        "more": more,
        "empty": "It was never read.",
    }


def used_by(request: HttpRequest, source: Source) -> dict[str, Any]:
    """Return the policies that read a source."""
    policies = RetrainingPolicy.objects.filter(source=source).select_related("fleet")[:20]
    return {
        "heads": ("Policy", "Fleet"),
        "rows": [(display.link(each), display.link(each.fleet)) for each in policies],
        "empty": "No policy reads it.",
    }


@admin.register(Source)
class SourceAdmin(base.ScopedAdmin):
    """Where series come from."""

    tenant_path = "tenant"
    form = SourceForm
    exclude = ("managed_by",)
    fixed_fields = ("tenant", "name", "kind")
    list_display = ("name", "tenant", "kind", "time_zone", "duplicates", "gaps")
    list_filter = (filters.TenantFilter, "kind")
    search_fields = ("name", "tenant")
    panels = (
        Panel(title="Reads", template="registry/admin/facts.html", build=reads),
        Panel(title="Policies", template="registry/admin/table.html", build=used_by),
        Panel(title="Snapshots", template="registry/admin/table.html", build=snapshots, wide=True),
    )


@admin.register(Snapshot)
class SnapshotAdmin(ByIdMixin, base.ScopedAdmin):
    """The rows of one reading."""

    tenant_path = "source__tenant"
    always_readonly = True
    linked_by = ("source__id__exact",)
    list_display = ("short_digest", "source", "rows", "entities", "window_start", "window_end", "read_at")
    list_select_related = ("source",)
    search_fields = ("digest", "source__name")
    ordering = ("-id",)

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        return ()

    @column(description="digest")
    def short_digest(self, snapshot: Snapshot) -> Any:
        return display.code(snapshot.digest[:12])

    @column(description="read", ordering="id")
    def read_at(self, snapshot: Snapshot) -> Any:
        return display.instant(snapshot.created_at)


@admin.register(Forecast)
class ForecastAdmin(finding.ByEntity, ByIdMixin, base.ScopedAdmin):
    """What a version published."""

    tenant_path = "version__registered_model__fleet__tenant"
    always_readonly = True
    linked_by = ("version__id__exact",)
    list_display = ("version", "steps", "cutoff_time", "published")
    list_select_related = ("version__registered_model__fleet",)
    search_fields = ("version__registered_model__entity_key",)
    search_help_text = finding.WHERE
    entity_path = "version__registered_model"
    ordering = ("-id",)
    sortable_by = ("published",)
    hidden_details = ("time", "yhat", "lower", "upper")
    panels = (
        Panel(
            title="Values",
            template="registry/admin/table.html",
            build=lambda request, forecast: {
                "heads": ("For", "Forecast", "Lower", "Upper"),
                "rows": [
                    (display.instant(time), display.number(value), display.number(low), display.number(high))
                    for time, value, low, high in zip(
                        forecast.time, forecast.yhat, forecast.lower, forecast.upper, strict=True
                    )
                ],
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("version__registered_model__fleet")

    @column(description="steps")
    def steps(self, forecast: Forecast) -> int:
        return len(forecast.time)

    @column(description="knows data to")
    def cutoff_time(self, forecast: Forecast) -> Any:
        return display.stamp(forecast.cutoff)

    @column(description="published", ordering="id")
    def published(self, forecast: Forecast) -> Any:
        return display.instant(forecast.published_at)
