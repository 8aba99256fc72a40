"""What is stored of versions: the bundle under seal, predictions in full, feature importance. Reads alone."""

from __future__ import annotations

import base64
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from registry.exchange import handover, seals
from registry.models import ModelVersion
from registry.rest_api.ledger import CsvRenderer, JsonLinesRenderer
from registry.rest_base import parsing, scope, views


class BytesRenderer(JSONRenderer):
    """Lets a caller ask for bytes; what is refused is told in JSON all the same."""

    media_type = "application/octet-stream"
    format = "bundle"
    charset = None


class PartQuery(parsing.StrictSerializer):
    """Which predictions are asked for."""

    part = serializers.ChoiceField(
        choices=handover.PARTS,
        required=False,
        default="test",
        help_text="`test`: of the windows that the scorecard is of; `validation`: of the train part",
    )


class ImportanceSerializer(serializers.Serializer[Any]):
    """How much each feature weighs."""

    version = serializers.UUIDField()
    importance = serializers.DictField(
        child=serializers.FloatField(), help_text="by feature; empty where none is known"
    )


class VersionBundle(views.ApiView):
    """The bundle of a version."""

    required = {"GET": "viewer"}
    renderer_classes = [JSONRenderer, BytesRenderer]

    @extend_schema(
        operation_id="version_bundle", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, 410: None}
    )
    def get(self, request: Request, version: str) -> HttpResponse:
        """Download the bundle of a version, verified, with its digest and the seal that another installation imports.

        409 where it is pending, quarantined or damaged, 410 where it was deleted.
        """
        parsing.query(request, parsing.StrictSerializer)
        found = scope.version(request, version)
        handover.refuse_withheld(found)
        tag = f'"{found.artifact_digest}"'
        if views.has(request, tag):
            return HttpResponse(status=304, headers={"ETag": tag})
        return HttpResponse(
            handover.content(found), content_type=BytesRenderer.media_type, headers=_headers(found, tag)
        )


class _Predictions(views.ApiView):
    """The predictions of a version, never cut."""

    required = {"GET": "viewer"}
    renderer_classes = [JSONRenderer, CsvRenderer, JsonLinesRenderer]

    def answer(self, request: Request, version: str, ending: str) -> StreamingHttpResponse:
        """Stream all rows as an attachment."""
        part = parsing.query(request, PartQuery)["part"]
        found = scope.version(request, version)
        table = handover.predictions(found, part=part)
        lines = handover.as_csv(table) if ending == "csv" else handover.as_json_lines(table)
        return views.attachment(lines, name=f"{found.label}_{part}", ending=ending)


class PredictionsCsv(_Predictions):
    """Predictions as CSV."""

    @extend_schema(
        operation_id="version_predictions_csv",
        parameters=[PartQuery],
        responses={(200, "text/csv"): OpenApiTypes.BINARY, 410: None},
    )
    def get(self, request: Request, version: str) -> StreamingHttpResponse:
        """Stream the stored predictions of a version in full as CSV for spreadsheets: no cell begins a formula."""
        return self.answer(request, version, "csv")


class PredictionsLines(_Predictions):
    """Predictions as JSON lines."""

    @extend_schema(
        operation_id="version_predictions_jsonl",
        parameters=[PartQuery],
        responses={(200, "application/jsonl"): OpenApiTypes.BINARY, 410: None},
    )
    def get(self, request: Request, version: str) -> StreamingHttpResponse:
        """Stream the stored predictions of a version in full as JSON lines."""
        return self.answer(request, version, "jsonl")


class FeatureImportance(views.ApiView):
    """The feature importance of a version."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="version_feature_importance", responses={200: ImportanceSerializer, 410: None})
    def get(self, request: Request, version: str) -> Response:
        """Show how much each feature, or component of a forecast, weighs in a version."""
        parsing.query(request, parsing.StrictSerializer)
        found = scope.version(request, version)
        return Response({"version": str(found.pk), "importance": handover.importance(found)})


def _headers(version: ModelVersion, tag: str) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(version.artifact_digest)).decode()
    return {
        "Content-Disposition": f'attachment; filename="{handover.file_name(version)}"',
        "ETag": tag,
        "Repr-Digest": f"sha-256=:{digest}:",
        "Perennial-Seal": str(seals.seal(version)),
    }
