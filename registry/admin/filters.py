"""Filters of the lists: only what the user may see is offered, and never a whole table."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db import connection
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


class IndexFilter(SimpleListFilter):
    """The values of a column, found by stepping through the index that begins with it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        table, column = (connection.ops.quote_name(name) for name in (self.table, self.parameter_name or ""))
        with connection.cursor() as cursor:
            cursor.execute(_STEPS.format(table=table, column=column, most=MOST_CHOICES))
            return [(value, value) for (value,) in cursor.fetchall() if value]

    table = ""

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        self.table = model._meta.db_table
        super().__init__(request, params, model, model_admin)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


# DISTINCT would read every row.
_STEPS = """
WITH RECURSIVE found AS (
    (SELECT {column} FROM {table} ORDER BY {column} LIMIT 1)
    UNION ALL
    SELECT (SELECT {column} FROM {table} WHERE {column} > found.{column} ORDER BY {column} LIMIT 1)
    FROM found WHERE found.{column} IS NOT NULL
)
SELECT {column} FROM found WHERE {column} IS NOT NULL LIMIT {most}
"""


def of_index(name: str) -> type[IndexFilter]:
    """Return the filter of a text column that an index of its table begins with."""
    return type("IndexFilter", (IndexFilter,), {"title": name, "parameter_name": name})


class WordFilter(SimpleListFilter):
    """A text column by the words that it may hold."""

    words: tuple[str, ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(word, word) for word in self.words]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


def of_words(name: str, *words: str) -> type[WordFilter]:
    """Return the filter of a column that holds one of these words."""
    return type("WordFilter", (WordFilter,), {"title": name, "parameter_name": name, "words": words})


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
