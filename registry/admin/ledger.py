"""The ledger and the ticks, to be read; neither is ever written here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import display as column
from django.http import HttpRequest

from registry import display
from registry.admin import base, filters, finding
from registry.admin.extensions import Panel
from registry.admin.registered_models import moved
from registry.models import Event, Tick


def line(request: HttpRequest, event: Event) -> dict[str, Any]:
    """Return what happened, to what, by whom and why."""
    return {
        "rows": [
            ("Event", display.code(event.kind)),
            ("Subject", display.link(event.registered_model or event.fleet)),
            ("Versions", moved(event)),
            ("Who", event.actor),
            ("Cause", event.cause),
            ("Reason", event.reason or display.NOTHING),
            ("At", display.instant(event.at, seconds=True)),
            ("Place in its chain", f"{event.count}, fence {event.fence}"),
            ("Hash", display.code(event.hash)),
            ("Hash before", display.code(event.previous_hash)),
        ]
    }


def report(request: HttpRequest, event: Event) -> dict[str, Any] | None:
    """Return the gate report that the event carries; no card where it carries none."""
    return {"report": event.report} if event.report else None


@admin.register(Event)
class EventAdmin(finding.ByEntity, base.ScopedAdmin):
    """The ledger: append-only."""

    always_readonly = True
    list_display = ("at_time", "kind", "subject", "versions", "actor", "cause", "reason")
    list_filter = (filters.of_index("kind"), filters.of_index("cause"))
    list_select_related = ("registered_model__fleet", "fleet", "from_version", "to_version")
    search_fields = ("registered_model__entity_key", "actor", "reason")
    search_help_text = f"{finding.WHERE}; of the newest {finding.NEWEST:,} lines also actor and reason"
    searched_newest = ("actor", "reason")
    ordering = ("-id",)
    sortable_by = ("at_time",)
    hidden_details = ("report",)
    panels = (
        Panel(title="Event", template="registry/admin/facts.html", build=line),
        Panel(title="Gate report", template="registry/admin/gate_report.html", build=report, wide=True),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "registered_model__id__exact" or super().lookup_allowed(lookup, value, request)

    @column(description="at", ordering="id")
    def at_time(self, event: Event) -> Any:
        return display.instant(event.at, seconds=True)

    @column(description="subject")
    def subject(self, event: Event) -> Any:
        return str(event.registered_model or event.fleet)

    @column(description="versions")
    def versions(self, event: Event) -> Any:
        return moved(event)


@admin.register(Tick)
class TickAdmin(base.ScopedAdmin):
    """When each periodic job last ran."""

    tenant_path = ""
    always_readonly = True
    list_display = ("name", "at_time")

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        return ()

    @column(description="last ran", ordering="at")
    def at_time(self, tick: Tick) -> Any:
        return display.instant(tick.at, seconds=True)
