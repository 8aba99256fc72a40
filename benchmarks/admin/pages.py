"""Owns which pages there are: every list with each filter, order and search, every kind of page, every action."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.messages.storage.fallback import FallbackStorage
from django.db.models import Model
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import reverse

from benchmarks.admin.stock import Stock
from registry.admin import base

# By table: the beginning of what names a row, and a part of it.
SEARCHED = {
    "registeredmodel": ("entity-77", "ity-7777"),
    "modelversion": ("entity-77", "ity-7777"),
    "event": ("entity-77", "ity-7777"),
    "hold": ("entity-77", "audit"),
    "trainingrun": ("entity-77", "ity-7777"),
    "forecast": ("entity-77", "ity-7777"),
    "runlog": ("Read", "30 rows"),
}
CHOSEN = dict.fromkeys(("registeredmodel", "modelversion", "hold", "trainingrun"), "entity-777")
NOWHERE = "nothing-is-called-so"
LINKED = {
    "modelversion": {"registered_model__id__exact": "model"},
    "event": {"registered_model__id__exact": "model"},
    "trainingrun": {"batch__id__exact": "batch", "registered_model__id__exact": "model"},
    "chunk": {"batch__id__exact": "batch"},
    "forecast": {"version__id__exact": "version"},
    "runlog": {"run__id__exact": "run"},
}
TYPED = {"modelversion": ("max=4.0001", "tag=none")}
COMPLETED = (
    ("registry", "registeredmodel", "fleet"),
    ("registry", "hold", "version"),
    ("training", "retrainingpolicy", "source"),
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page: its address, and what is sent where it is asked for with a form."""

    name: str
    address: str
    form: dict[str, Any] = field(default_factory=dict)


def every(stock: Stock) -> Iterator[Page]:
    """Return every page of the admin."""
    yield Page(name="dashboard", address=reverse("admin:index"))
    for model, table in sorted(admin.site._registry.items(), key=lambda each: each[0]._meta.label_lower):
        if isinstance(table, base.ScopedAdmin):
            yield from _lists(stock, model, table)
    for name, row in stock.rows.items():
        yield from _of_row(name, row)
    for app, model_name, field_name in COMPLETED:
        for term in ("", "small", "ity-77"):
            query = urlencode({"app_label": app, "model_name": model_name, "field_name": field_name, "term": term})
            yield Page(name=f"autocomplete {model_name}.{field_name} {term!r}", address=f"/admin/autocomplete/?{query}")


def _lists(stock: Stock, model: type[Model], table: base.ScopedAdmin) -> Iterator[Page]:
    at, name = table.page_address("changelist"), model._meta.model_name or ""
    seen = table.get_changelist_instance(_request(stock, at))
    yield Page(name=f"{name} list", address=at)
    if seen.paginator.num_pages > 1:
        yield Page(name=f"{name} page {seen.paginator.num_pages}", address=f"{at}?p={seen.paginator.num_pages}")
    yield from _filtered(name, at, seen)
    yield from _sorted(name, at, seen)
    for term in (*SEARCHED.get(name, ("small-1", "mall")), NOWHERE) if table.search_fields else ():
        yield Page(name=f"{name} search {term!r}", address=f"{at}?{urlencode({'q': term})}")
    for lookup, row in LINKED.get(name, {}).items():
        yield Page(name=f"{name} of one {row}", address=f"{at}?{lookup}={stock.rows[row].pk}")
    if table.has_add_permission(_request(stock, at)):
        yield Page(name=f"{name} add", address=table.page_address("add"))
    yield from _chosen(name, at, seen, table)


def _filtered(name: str, at: str, seen: Any) -> Iterator[Page]:
    for spec in seen.filter_specs:
        for choice in list(spec.choices(seen))[1:8]:
            if query := choice.get("query_string"):
                yield Page(name=f"{name} {spec.title}: {choice['display']}", address=at + query)
    for query in TYPED.get(name, ()):
        yield Page(name=f"{name} {query}", address=f"{at}?{query}")


def _sorted(name: str, at: str, seen: Any) -> Iterator[Page]:
    for place, column in enumerate(seen.list_display):
        if place and seen.get_ordering_field(column):
            for order in (f"{place}", f"-{place}"):
                yield Page(name=f"{name} order {order} ({column})", address=f"{at}?o={order}")


def _chosen(name: str, at: str, seen: Any, table: base.ScopedAdmin) -> Iterator[Page]:
    # All that a search found, not only those of the page.
    chosen = {"_selected_action": [str(row.pk) for row in seen.queryset[:1]], "select_across": "1"}
    for action in table.get_page_actions():
        if action.bulk:
            narrow = f"{at}?{urlencode({'q': CHOSEN.get(name, 'small-1')})}"
            yield Page(name=f"{name} asks {action.name} of all", address=narrow, form={**chosen, "action": action.name})


def _of_row(name: str, row: Model) -> Iterator[Page]:
    table = admin.site._registry[type(row)]
    assert isinstance(table, base.ScopedAdmin)
    yield Page(name=f"page of {name}", address=table.page_address("change", row.pk))
    yield Page(name=f"history of {name}", address=table.page_address("history", row.pk))
    for action in table.get_page_actions():
        if action.name != "prune" and action.applies(row):
            yield Page(name=f"{name} asks {action.name}", address=table.page_address("act", row.pk, action.name))


def _request(stock: Stock, address: str) -> HttpRequest:
    request = RequestFactory().get(address)
    request.user = stock.user
    # As the middleware sets them: a session that keeps nothing, to which messages fall back.
    vars(request).update(session={})
    vars(request).update(_messages=FallbackStorage(request))
    return request
