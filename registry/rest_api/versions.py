"""Versions: newest first, by metric, and one in full. Reads alone; the bytes have no address."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from django.db.models import FloatField, QuerySet
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import metrics
from registry.models import ModelVersion
from registry.rest_api import shapes
from registry.rest_base import paging, parsing, scope, views

BOUNDS = {"min": "gte", "max": "lte"}


class FiniteField(serializers.FloatField):
    """A number that a metric may be compared with."""

    def to_internal_value(self, data: Any) -> float:
        """Return the number. Raises ValidationError for NaN and the infinities."""
        number = super().to_internal_value(data)
        if not math.isfinite(number):
            raise serializers.ValidationError("This is not a finite number.")
        return number


class VersionQuery(paging.PageQuery, scope.TenantQuery):
    """Filters of versions; each metric of the catalogue has a `min_` and a `max_`."""

    trainer = serializers.CharField(required=False, max_length=64)
    state = serializers.ChoiceField(required=False, choices=ModelVersion.State.choices)

    def get_fields(self) -> Any:
        """Return the declared fields and the bounds on metrics: the allow-list of what may reach a query."""
        fields = super().get_fields()
        for name in metrics.catalogue():
            fields |= {f"{bound}_{name}": FiniteField(required=False) for bound in BOUNDS}
        return fields


def described() -> QuerySet[ModelVersion]:
    """Return the versions with the model and the fleet that their shape names."""
    return ModelVersion.objects.select_related("registered_model__fleet")


def within(rows: QuerySet[ModelVersion], given: Mapping[str, Any]) -> QuerySet[ModelVersion]:
    """Return the versions whose metrics lie in the bounds; a version without the metric is left out."""
    for place, name in enumerate(metrics.catalogue()):
        score = Cast(KeyTextTransform(name, KeyTransform("metrics", "scorecard")), FloatField())
        for bound, lookup in BOUNDS.items():
            limit = given.get(f"{bound}_{name}")
            if limit is not None:
                rows = rows.alias(**{f"score_{place}": score}).filter(**{f"score_{place}__{lookup}": limit})
    return rows


class VersionList(views.ApiView):
    """The versions of a model."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("-number")

    @extend_schema(
        operation_id="model_versions_list",
        parameters=[VersionQuery],
        responses={200: paging.shape_of(shapes.VersionSerializer)},
    )
    def get(self, request: Request, fleet: str, entity: str) -> Response:
        """List the versions of a model, the newest first."""
        given = parsing.query(request, VersionQuery)
        rows = described().filter(registered_model=scope.registered_model(request, fleet, entity))
        rows = rows.filter(**{name: given[name] for name in ("trainer", "state") if name in given})
        return self.pages.respond(request, within(rows, given), shapes.VersionSerializer, given)


class ModelVersionDetail(views.ApiView):
    """One version of a model."""

    required = {"GET": "viewer"}

    @extend_schema(
        operation_id="model_version", parameters=[scope.TenantQuery], responses={200: shapes.VersionSerializer}
    )
    def get(self, request: Request, fleet: str, entity: str, reference: str) -> Response:
        """Show a version by id, number, label, `champion`, `challenger`, `anchor` or `latest` (newest ready)."""
        parsing.query(request, scope.TenantQuery)
        found = scope.version_of(scope.registered_model(request, fleet, entity), reference)
        return Response(shapes.VersionSerializer(described().get(pk=found.pk)).data)


class VersionDetail(views.ApiView):
    """One version by its id."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="version", responses={200: shapes.VersionSerializer})
    def get(self, request: Request, version: str) -> Response:
        """Show a version by its id."""
        parsing.query(request, parsing.StrictSerializer)
        found = scope.version(request, version)
        return Response(shapes.VersionSerializer(described().get(pk=found.pk)).data)
