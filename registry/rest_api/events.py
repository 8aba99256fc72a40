"""The ledger: the history of one model, and the feed of all events for programs that follow. Reads alone."""

from __future__ import annotations

from django.db.models import prefetch_related_objects
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry import conf, history, permissions
from registry.models import Event
from registry.rest_api import shapes
from registry.rest_base import paging, parsing, scope, views


class HistoryQuery(paging.PageQuery, scope.TenantQuery):
    """What the history of a model takes."""


class History(views.ApiView):
    """The events of one model."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("-count")

    @extend_schema(
        operation_id="history_list", parameters=[HistoryQuery], responses={200: paging.shape_of(shapes.EventSerializer)}
    )
    def get(self, request: Request, fleet: str, entity: str) -> Response:
        """List what happened to a model, the newest first, each with actor, cause, reason and gate report."""
        given = parsing.query(request, HistoryQuery)
        model = scope.registered_model(request, fleet, entity)
        rows = Event.objects.filter(registered_model=model).select_related("registered_model", "fleet")
        return self.pages.respond(request, rows, shapes.EventSerializer, given)


class Feed(views.ApiView):
    """All events in the order in which they were committed."""

    required = {"GET": "viewer"}

    @extend_schema(
        operation_id="events_list",
        parameters=[paging.PageQuery],
        responses={200: paging.shape_of(shapes.EventSerializer)},
    )
    def get(self, request: Request) -> Response:
        """Read events after a cursor, the oldest first. `next_cursor` is never null: keep it and ask again later.

        An event that is still being committed is left out until it is certain that nothing before it can appear.
        """
        given = parsing.query(request, paging.PageQuery)
        after = history.Cursor(*paging.decode(given["cursor"], (int, int))) if "cursor" in given else None
        tenants = scope.tenants(request)
        found, following = history.read(
            after,
            limit=given.get("limit") or conf.current().page_size,
            tenants=None if tenants is permissions.ALL else tenants,
        )
        prefetch_related_objects(found, "registered_model", "fleet")
        rows = shapes.EventSerializer(found, many=True).data
        return paging.listing(request, list(rows), paging.encode([following.txid, following.id]))
