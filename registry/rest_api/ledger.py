"""Who served when, and the ledger as a file. Reads alone; files are streamed and never held."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from registry import conf, strict_json, timestamps
from registry.history import ledger_export, service_record
from registry.history.ledger_export import Wanted
from registry.rest_api import shapes
from registry.rest_base import paging, parsing, scope, views
from registry.rest_base.fields import InstantField, PastField

INSTANT = "ISO 8601 with an offset, or a date (UTC)"


class SpanQuery(scope.TenantQuery):
    """A time, from one instant up to another."""

    since = InstantField(required=False, help_text=f"{INSTANT}; included")
    until = InstantField(required=False, help_text=f"{INSTANT}; left out")


class PeriodsQuery(SpanQuery, paging.PageQuery):
    """What the champions of a model take."""


class ChampionsQuery(scope.TenantQuery, paging.PageQuery):
    """What the champions of a fleet take."""

    at = PastField(required=False, help_text=f"{INSTANT}, not to come; without it now")


class ServedSerializer(serializers.Serializer[Any]):
    """One stretch of time in which a version was champion."""

    entity = serializers.CharField()
    version = serializers.UUIDField(source="version_id")
    number = serializers.IntegerField()
    url = serializers.SerializerMethodField()
    state = serializers.CharField(help_text="of the version now")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True, help_text="null while it serves")
    actor = serializers.CharField(help_text="who made it champion")
    cause = serializers.CharField()
    reason = serializers.CharField()
    count = serializers.IntegerField(help_text="the line of the model's history that began it")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the label, whose name every serializer has for itself."""
        return {**super().get_fields(), "label": serializers.CharField()}

    def get_url(self, served: service_record.Served) -> str:
        """Return the address of the version."""
        return shapes.version_address(served.version_id)


class ModelChampions(views.ApiView):
    """Who served when, of one model."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("-count")

    @extend_schema(
        operation_id="model_champions_list",
        parameters=[PeriodsQuery],
        responses={200: paging.shape_of(ServedSerializer)},
    )
    def get(self, request: Request, fleet: str, entity: str) -> Response:
        """List the periods in which a version was champion, the newest first, with who made it so and why."""
        given = parsing.query(request, PeriodsQuery)
        model = scope.registered_model(request, fleet, entity)
        rows = service_record.periods(model, since=given.get("since"), until=given.get("until"))
        found, following = self.pages.page(rows, limit=given.get("limit"), cursor=given.get("cursor"))
        shown = ServedSerializer([service_record.served(row) for row in found], many=True).data
        return paging.listing(request, list(shown), following)


class FleetChampions(views.ApiView):
    """Who serves, or served at an instant, of a whole fleet."""

    required = {"GET": "viewer"}

    @extend_schema(
        operation_id="fleet_champions_list",
        parameters=[ChampionsQuery],
        responses={200: paging.shape_of(ServedSerializer)},
    )
    def get(self, request: Request, fleet: str) -> Response:
        """List the champion of every model at an instant, by entity. Models that had none then are left out."""
        given = parsing.query(request, ChampionsQuery)
        after = paging.decode(given["cursor"], (str,))[0] if "cursor" in given else ""
        strict_json.check_text(after)
        found = service_record.champions_at(
            scope.fleet(request, fleet),
            given.get("at") or timestamps.utc_now(),
            limit=(size := given.get("limit") or conf.current().page_size) + 1,
            after=after,
        )
        following = paging.encode([found[size - 1].entity]) if len(found) > size else None
        return paging.listing(request, list(ServedSerializer(found[:size], many=True).data), following)


class CsvRenderer(JSONRenderer):
    """Lets a caller ask for CSV; what is refused is told in JSON all the same."""

    media_type = "text/csv"
    format = "csv"


class JsonLinesRenderer(JSONRenderer):
    """Lets a caller ask for JSON lines."""

    media_type = "application/jsonl"
    format = "jsonl"


class _FileView(views.ApiView):
    """The ledger as a file."""

    required = {"GET": "viewer"}
    renderer_classes = [JSONRenderer, CsvRenderer, JsonLinesRenderer]

    def answer(self, request: Request, fleet: str, entity: str | None, ending: str) -> StreamingHttpResponse:
        """Stream the lines that were asked for, as an attachment."""
        given = parsing.query(request, SpanQuery)
        model = scope.registered_model(request, fleet, entity) if entity is not None else None
        owner = model.fleet if model else scope.fleet(request, fleet)
        wanted = Wanted(fleet=owner, registered_model=model, since=given.get("since"), until=given.get("until"))
        pieces = ledger_export.as_csv(wanted) if ending == "csv" else ledger_export.as_json_lines(wanted)
        return views.attachment(pieces, name=f"{owner.name}-history", ending=ending)


class ModelHistoryCsv(_FileView):
    """The ledger of one model as CSV."""

    @extend_schema(
        operation_id="history_csv", parameters=[SpanQuery], responses={(200, "text/csv"): OpenApiTypes.BINARY}
    )
    def get(self, request: Request, fleet: str, entity: str) -> StreamingHttpResponse:
        """Stream what happened to a model as CSV for spreadsheets: no cell begins a formula."""
        return self.answer(request, fleet, entity, "csv")


class ModelHistoryLines(_FileView):
    """The ledger of one model as JSON lines."""

    @extend_schema(
        operation_id="history_jsonl",
        parameters=[SpanQuery],
        responses={(200, "application/jsonl"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, fleet: str, entity: str) -> StreamingHttpResponse:
        """Stream what happened to a model as JSON lines, with which its chain can be verified."""
        return self.answer(request, fleet, entity, "jsonl")


class FleetHistoryCsv(_FileView):
    """The ledger of a fleet as CSV."""

    @extend_schema(
        operation_id="fleet_history_csv", parameters=[SpanQuery], responses={(200, "text/csv"): OpenApiTypes.BINARY}
    )
    def get(self, request: Request, fleet: str) -> StreamingHttpResponse:
        """Stream what happened to a fleet and all its models as CSV, model by model."""
        return self.answer(request, fleet, None, "csv")


class FleetHistoryLines(_FileView):
    """The ledger of a fleet as JSON lines."""

    @extend_schema(
        operation_id="fleet_history_jsonl",
        parameters=[SpanQuery],
        responses={(200, "application/jsonl"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, fleet: str) -> StreamingHttpResponse:
        """Stream what happened to a fleet and all its models as JSON lines, model by model."""
        return self.answer(request, fleet, None, "jsonl")
