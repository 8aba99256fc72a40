"""Two versions against each other, and the catalogue that says which way each metric gets better. Reads alone."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import comparison, metrics
from registry.models import ModelVersion
from registry.rest_api import shapes
from registry.rest_base import parsing, scope, views


class ReferencesQuery(scope.TenantQuery):
    """Which two versions of a model."""

    first = serializers.CharField(max_length=64, help_text=scope.REFERENCE)
    second = serializers.CharField(max_length=64, help_text=scope.REFERENCE)


class IdsQuery(parsing.StrictSerializer):
    """Which two versions."""

    first = serializers.CharField(max_length=64, help_text="id")
    second = serializers.CharField(max_length=64, help_text="id")


class MetricsQuery(scope.TenantQuery):
    """Whose catalogue."""

    fleet = serializers.CharField(required=False, max_length=63, help_text="with the metrics that it declares itself")


class ComparedSerializer(shapes.PointedSerializer):
    """One of two versions that are compared."""

    entity = serializers.CharField(source="registered_model.entity_key", read_only=True)
    quarantined = serializers.SerializerMethodField(help_text="why it is quarantined; null where it is not")
    pointers = serializers.SerializerMethodField(help_text="which of champion, challenger and anchor lead to it")

    class Meta:
        model = ModelVersion
        fields = ["id", "entity", "number", "label", "url", "state", "quarantined", "pointers", "trainer", "created_at"]
        read_only_fields = fields

    @extend_schema_field(shapes.QuarantineSerializer(allow_null=True))
    def get_quarantined(self, version: ModelVersion) -> dict[str, Any] | None:
        """Return why it is quarantined."""
        return shapes.quarantine(version)

    def get_pointers(self, version: ModelVersion) -> list[str]:
        """Return the pointers that lead to it."""
        return version.pointers


class ScoreSerializer(serializers.Serializer[Any]):
    """One metric of both."""

    name = serializers.CharField()
    first = serializers.FloatField(allow_null=True)
    second = serializers.FloatField(allow_null=True)
    difference = serializers.FloatField(allow_null=True, help_text="second minus first")
    relative = serializers.FloatField(allow_null=True, help_text="the difference over the size of the first")
    direction = serializers.ChoiceField(choices=list(metrics.Direction), allow_null=True)
    winner = serializers.ChoiceField(choices=["first", "second", "neither", "unknown"])
    reason = serializers.CharField(help_text="why a value is missing, or why there is no winner")


class PairSerializer(serializers.Serializer[Any]):
    """One fact of both."""

    name = serializers.CharField()
    first = shapes.PlainField()
    second = shapes.PlainField()
    differs = serializers.BooleanField()


class DimensionSerializer(serializers.Serializer[Any]):
    """The facts of one kind, what differs first."""

    name = serializers.CharField()
    pairs = PairSerializer(many=True)


class ComparisonSerializer(serializers.Serializer[Any]):
    """Two versions side by side."""

    first = ComparedSerializer()
    second = ComparedSerializer()
    primary = serializers.CharField(help_text="the metric that the fleet goes by")
    metrics = ScoreSerializer(many=True)
    dimensions = DimensionSerializer(many=True)
    features_added = serializers.ListField(child=serializers.CharField(), help_text="of the second, not of the first")
    features_removed = serializers.ListField(child=serializers.CharField())
    warnings = serializers.ListField(
        child=serializers.CharField(),
        help_text="why the numbers are not to be compared one to one, and which of both cannot be placed",
    )


class ModelComparison(views.ApiView):
    """Two versions of a model."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="compare", parameters=[ReferencesQuery], responses={200: ComparisonSerializer})
    def get(self, request: Request, fleet: str, entity: str) -> Response:
        """Set two versions of a model against each other, metric by metric and fact by fact, differences first."""
        model = scope.registered_model(request, fleet, entity)
        given = parsing.query(request, ReferencesQuery)
        found = comparison.compare(
            scope.version_of(model, given["first"]),
            scope.version_of(model, given["second"]),
        )
        return Response(ComparisonSerializer(found).data)


class VersionComparison(views.ApiView):
    """Any two versions of a fleet."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="versions_compare", parameters=[IdsQuery], responses={200: ComparisonSerializer})
    def get(self, request: Request) -> Response:
        """Set any two versions of one fleet against each other; those of two models with a warning."""
        given = parsing.query(request, IdsQuery)
        found = comparison.compare(scope.version(request, given["first"]), scope.version(request, given["second"]))
        return Response(ComparisonSerializer(found).data)


class MetricSerializer(serializers.Serializer[Any]):
    """One metric of the catalogue."""

    name = serializers.CharField()
    direction = serializers.ChoiceField(choices=list(metrics.Direction), help_text="which way it gets better")
    meaning = serializers.CharField()
    origin = serializers.ChoiceField(choices=["built-in", "plug-in", "fleet"])


class CatalogueSerializer(serializers.Serializer[Any]):
    """All metrics that are known, by name."""

    results = MetricSerializer(many=True)


class Catalogue(views.ApiView):
    """The catalogue of metrics."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="metrics", parameters=[MetricsQuery], responses={200: CatalogueSerializer})
    def get(self, request: Request) -> Response:
        """List the metrics, which way each gets better, and what it means; with `fleet` also those of the fleet."""
        given = parsing.query(request, MetricsQuery)
        known = metrics.catalogue()
        if "fleet" in given:
            known = metrics.catalogue_of(scope.fleet(request, given["fleet"]).metric_settings)
        rows = [{**_plain(known[name]), "origin": _origin(name)} for name in sorted(known)]
        return Response(CatalogueSerializer({"results": rows}).data)


def _plain(metric: metrics.Metric) -> dict[str, str]:
    return {"name": metric.name, "direction": metric.direction, "meaning": metric.meaning}


def _origin(name: str) -> str:
    return "built-in" if name in metrics.BUILT_IN else "plug-in" if name in metrics.catalogue() else "fleet"
