"""Filters of the lists: only what the user may see is offered, and never a whole table."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from registry.admin import base
from registry.models import Fleet

MOST_CHOICES = 200


class FleetFilter(SimpleListFilter):
    """The fleets of the user's tenants; a subclass says how a row leads to its fleet."""

    title = "fleet"
    parameter_name = "fleet"
    path = "fleet"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        fleets = base.scoped(Fleet.objects.all(), request, "tenant")[:MOST_CHOICES]
        return [(fleet.pk, str(fleet)) for fleet in fleets]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        try:
            return queryset.filter(**{f"{self.path}_id": int(self.value() or 0)})
        except ValueError:
            return queryset.none()


def fleet_through(path: str) -> type[FleetFilter]:
    """Return the fleet filter of a table whose rows lead to their fleet by `path`."""
    return type("FleetFilter", (FleetFilter,), {"path": path})


class TenantFilter(SimpleListFilter):
    """The user's tenants."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        found = (
            base.scoped(Fleet.objects.order_by("tenant"), request, "tenant").values_list("tenant", flat=True).distinct()
        )
        return [(name, name) for name in found[:MOST_CHOICES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(tenant=self.value()) if self.value() else queryset


class PlacedFilter(SimpleListFilter):
    """Models by what their pointers say: without champion, or with a challenger that waits."""

    title = "place"
    parameter_name = "place"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [("champion", "has a champion"), ("none", "has no champion"), ("challenger", "a challenger waits")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {
            "champion": {"champion__isnull": False},
            "none": {"champion__isnull": True},
            "challenger": {"challenger__isnull": False},
        }
        return queryset.filter(**wanted.get(self.value() or "", {}))
