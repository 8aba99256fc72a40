"""Fleets and their registered models. Reads alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import comparison
from registry.models import Fleet, RegisteredModel
from registry.rest_api import shapes
from registry.rest_base import paging, parsing, scope, views

PLACED = {"champion": Q(champion__isnull=False), "none": Q(champion=None), "challenger": Q(challenger__isnull=False)}
NOT_RETIRED = ~Q(registered_models__state=RegisteredModel.State.RETIRED)


class FleetQuery(paging.PageQuery, scope.TenantQuery):
    """Filters of the fleets."""

    tag = serializers.CharField(required=False, max_length=64)


class ModelQuery(paging.PageQuery, scope.TenantQuery):
    """Filters of the models of a fleet."""

    repeatable = frozenset({"tag"})

    tag = serializers.ListField(
        required=False,
        child=serializers.CharField(max_length=64),
        help_text="one or several, all of which the model has",
    )
    state = serializers.ChoiceField(required=False, choices=RegisteredModel.State.choices)
    entity_prefix = serializers.CharField(
        required=False, max_length=128, help_text="of the entities whose key begins with it"
    )
    placed = serializers.ChoiceField(
        required=False, choices=list(PLACED), help_text="with a champion, with none, or with a challenger that waits"
    )


def counted() -> QuerySet[Fleet]:
    """Return the fleets with the number of their models."""
    return Fleet.objects.annotate(models=Count("registered_models", filter=NOT_RETIRED))


class FleetList(views.ApiView):
    """The fleets that the caller may see."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("tenant", "name")

    @extend_schema(
        operation_id="fleets_list", parameters=[FleetQuery], responses={200: paging.shape_of(shapes.FleetSerializer)}
    )
    def get(self, request: Request) -> Response:
        """List the fleets that you may see, by tenant and name."""
        given = parsing.query(request, FleetQuery)
        rows = scope.visible(request, counted(), "tenant")
        if "tenant" in given:
            rows = rows.filter(tenant=given["tenant"])
        if "tag" in given:
            rows = rows.filter(tags__contains=[given["tag"]])
        return self.pages.respond(request, rows, shapes.FleetSerializer, given)


class FleetDetail(views.ApiView):
    """One fleet."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="fleet", parameters=[scope.TenantQuery], responses={200: shapes.FleetSerializer})
    def get(self, request: Request, fleet: str) -> Response:
        """Show one fleet."""
        parsing.query(request, scope.TenantQuery)
        found = scope.fleet(request, fleet)
        return Response(shapes.FleetSerializer(counted().get(pk=found.pk)).data)


class ModelList(views.ApiView):
    """The models of a fleet."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("entity_key")

    @extend_schema(
        operation_id="models_list",
        parameters=[ModelQuery],
        responses={200: paging.shape_of(shapes.RegisteredModelSerializer)},
    )
    def get(self, request: Request, fleet: str) -> Response:
        """List the models of a fleet by entity, with what their pointers lead to."""
        given = parsing.query(request, ModelQuery)
        rows = RegisteredModel.objects.filter(chosen(given), fleet=scope.fleet(request, fleet))
        if "state" in given:
            rows = rows.filter(state=given["state"])
        related = rows.select_related("fleet", "champion", "challenger", "anchor")
        return self.pages.respond(request, related, shapes.RegisteredModelSerializer, given)


def chosen(given: Mapping[str, Any]) -> Q:
    """Return the condition on models that validated parameters describe, apart from their state."""
    found = Q(tags__contains=given["tag"]) if "tag" in given else Q()
    if "entity_prefix" in given:
        found &= Q(entity_key__startswith=given["entity_prefix"])
    return found & PLACED[given["placed"]] if "placed" in given else found


class LatestList(views.ApiView):
    """The newest version and the champion of every model of a fleet."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("entity_key")

    @extend_schema(
        operation_id="fleet_latest",
        parameters=[ModelQuery],
        responses={200: paging.shape_of(shapes.NewestSerializer)},
    )
    def get(self, request: Request, fleet: str) -> Response:
        """List what is newest and what serves, by entity; retired models where their state is asked for."""
        given = parsing.query(request, ModelQuery)
        states = {"states": (given["state"],)} if "state" in given else {}
        rows = comparison.latest(scope.fleet(request, fleet), **states).filter(chosen(given))
        return self.pages.respond(request, rows, shapes.NewestSerializer, given)


class ModelDetail(views.ApiView):
    """One model."""

    required = {"GET": "viewer"}

    @extend_schema(
        operation_id="model", parameters=[scope.TenantQuery], responses={200: shapes.RegisteredModelSerializer}
    )
    def get(self, request: Request, fleet: str, entity: str) -> Response:
        """Show one model with the numbers of its champion, challenger and anchor."""
        parsing.query(request, scope.TenantQuery)
        model = scope.registered_model(request, fleet, entity)
        pointed = RegisteredModel.objects.select_related("fleet", "champion", "challenger", "anchor")
        return Response(shapes.RegisteredModelSerializer(pointed.get(pk=model.pk)).data)
