"""The pages of fleets. State changes by actions alone: pause and resume."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import display as column
from django.db import connection
from django.http import HttpRequest

from registry import counting, display
from registry.admin import base, exports, extensions, filters, pausing, retention
from registry.admin.extensions import Action, Panel
from registry.models import Fleet, RegisteredModel


def overview(request: HttpRequest, fleet: Fleet) -> dict[str, Any]:
    """Return the figures of a fleet, each with the list behind it."""
    models = RegisteredModel.objects.filter(fleet=fleet)
    counts = {
        "all": counting.of(models),
        "champions": counting.of(models.filter(champion__isnull=False)),
        "challengers": counting.of(models.filter(challenger__isnull=False)),
        "paused": counting.of(models.filter(state="paused")),
    }
    listed = {
        "all": {},
        "champions": {"place": "champion"},
        "challengers": {"place": "challenger"},
        "paused": {"state__exact": "paused"},
    }
    words = {"all": "models", "champions": "with a champion", "challengers": "challengers waiting", "paused": "paused"}
    return {
        "figures": [
            (
                counting.plain(counts[name]),
                words[name],
                display.listing(RegisteredModel, fleet=fleet.pk, **listed[name]),
            )
            for name in words
        ],
        "rows": [
            ("State", display.badge("paused" if fleet.paused else "active")),
            ("Kind", fleet.get_kind_display()),
            ("Frequency", f"{fleet.frequency}, horizon {fleet.horizon}, season {fleet.season_length} steps"),
            ("Zone", fleet.time_zone),
            ("Unit", fleet.unit or display.NOTHING),
            ("Tags", display.shown(fleet.tags)),
        ],
    }


# Up to a bound for each fleet of the page. The order makes the index lead: where nearly all models are of one fleet,
# the database expects as many of each.
_COUNTS = """
SELECT fleet,
    (SELECT count(*) FROM (
        SELECT FROM registry_registeredmodel WHERE fleet_id = fleet ORDER BY entity_key LIMIT %(most)s) AS first),
    (SELECT count(*) FROM (
        SELECT FROM registry_registeredmodel WHERE fleet_id = fleet AND champion_id IS NOT NULL
        ORDER BY entity_key LIMIT %(most)s) AS first)
FROM unnest(%(fleets)s::bigint[]) AS fleet
"""


def _counts(fleets: list[int]) -> dict[int, dict[str, str]]:
    """Return how many models, and with a champion, each fleet has; one query for all of them."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"fleets": fleets, "most": counting.BOUND + 1})
        found = cursor.fetchall()
    return {key: {"models": _words(models), "champions": _words(champions)} for key, models, champions in found}


def _words(number: int) -> str:
    return f"{number:,}" if number <= counting.BOUND else f"over {counting.BOUND:,}"


@admin.register(Fleet)
class FleetAdmin(base.ScopedAdmin):
    """Models that are managed alike."""

    tenant_path = "tenant"
    fixed_fields = ("tenant", "name", "kind", "paused", "managed_by")
    exclude = ("managed_by", "paused")
    list_display = ("name", "tenant", "kind", "model_count", "champion_count", "state_badge", "frequency", "horizon")
    list_filter = (filters.TenantFilter, "kind", "paused")
    search_fields = ("name", "tenant")

    def get_page_actions(self) -> Iterable[Action]:
        return (*extensions.FLEET_ACTIONS, *pausing.FLEET_ACTIONS, retention.PRUNE)

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        return (
            Panel(title="Fleet", template="registry/admin/fleet.html", build=overview),
            *extensions.FLEET_PANELS,
            retention.PANEL,
            exports.PANEL,
        )

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        counts = _counts([fleet.pk for fleet in found.result_list])
        for fleet in found.result_list:
            fleet.counted = counts[fleet.pk]
        return found

    @column(description="models")
    def model_count(self, fleet: Any) -> Any:
        return display.linked(fleet.counted["models"], display.listing(RegisteredModel, fleet=fleet.pk))

    @column(description="with champion")
    def champion_count(self, fleet: Any) -> Any:
        return display.linked(
            fleet.counted["champions"], display.listing(RegisteredModel, fleet=fleet.pk, place="champion")
        )

    @column(description="state", ordering="paused")
    def state_badge(self, fleet: Fleet) -> Any:
        return display.badge("paused" if fleet.paused else "active")
