"""Versions: those of one model, those of all that the caller may see, and one in full. Reads alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from registry import comparison, metrics
from registry.comparison import Search
from registry.models import Fleet, ModelVersion, RegisteredModel
from registry.rest_api import shapes, texts
from registry.rest_base import paging, parsing, scope, views
from registry.rest_base.fields import InstantField

BOUNDS = ("min", "max")
ANY = [("any", "any")]
UNFILTERED = frozenset({"limit", "cursor", "tenant"})


class VersionQuery(paging.PageQuery, scope.TenantQuery):
    """Filters of versions; each metric that the fleet knows has a `min_` and a `max_`."""

    repeatable = frozenset({"state", "tag"})
    further = ("min_ and max_ of every metric that GET /api/v1/metrics lists",)

    trainer = serializers.CharField(required=False, max_length=64)
    state = serializers.ListField(
        required=False,
        child=serializers.ChoiceField(choices=[*ModelVersion.State.choices, *ANY]),
        help_text="one or several; without it all but archived and deleted",
    )
    tag = serializers.ListField(
        required=False,
        child=serializers.CharField(max_length=64),
        help_text="one or several, all of which the version has",
    )
    since = InstantField(required=False, help_text="registered then or later: ISO 8601 with an offset, or a date (UTC)")
    until = InstantField(required=False, help_text="registered before: ISO 8601 with an offset, or a date (UTC)")
    pointer = serializers.ChoiceField(
        required=False, choices=["champion", "challenger"], help_text="only versions that this pointer leads to"
    )

    own: ClassVar[tuple[str, ...]] = ()
    """Metrics that a fleet declares itself."""

    def get_fields(self) -> Any:
        """Return the declared fields and the bounds on metrics: the allow-list of what may reach a query."""
        bounds = (f"{bound}_{name}" for name in (*metrics.catalogue(), *self.own) for bound in BOUNDS)
        return {**super().get_fields(), **{name: serializers.FloatField(required=False) for name in bounds}}


class SearchQuery(VersionQuery):
    """Filters of all versions that the caller may see."""

    repeatable = VersionQuery.repeatable | {"model_state", "model_tag"}

    fleet = serializers.CharField(required=False, max_length=63)
    entity = serializers.CharField(required=False, max_length=128, help_text="of this entity alone")
    entity_prefix = serializers.CharField(
        required=False, max_length=128, help_text="of the entities whose key begins with it"
    )
    model_state = serializers.ListField(
        required=False,
        child=serializers.ChoiceField(choices=[*RegisteredModel.State.choices, *ANY]),
        help_text="one or several; without it all but retired",
    )
    model_tag = serializers.ListField(
        required=False, child=serializers.CharField(max_length=64), help_text="all of which the model has"
    )
    text = serializers.CharField(
        required=False, max_length=128, help_text="part of the entity's key, or the beginning of the label"
    )


def described() -> QuerySet[ModelVersion]:
    """Return the versions with the model and the fleet that their shape names."""
    return ModelVersion.objects.select_related("registered_model__fleet")


def wanted(given: Mapping[str, Any], *, fleet: Fleet | None = None, model: RegisteredModel | None = None) -> Search:
    """Return the search that validated parameters describe."""
    return Search(
        fleet=fleet,
        registered_model=model,
        entities=(given["entity"],) if "entity" in given else tuple(given.get("entities", ())),
        entity_prefix=given.get("entity_prefix", ""),
        model_tags=tuple(given.get("model_tag", ())),
        model_states=tuple(given.get("model_state", ())),
        states=tuple(given.get("state", ())),
        trainer=given.get("trainer", ""),
        tags=tuple(given.get("tag", ())),
        since=given.get("since"),
        until=given.get("until"),
        minimum=_bounds(given, "min_"),
        maximum=_bounds(given, "max_"),
        pointer=given.get("pointer", ""),
        text=given.get("text", ""),
    )


def _kind(query: type[VersionQuery], fleet: Fleet | None) -> type[VersionQuery]:
    own = tuple(sorted(fleet.metric_settings.directions)) if fleet is not None else ()
    return _extended(query, own) if own else query


@lru_cache(maxsize=128)
def _extended(query: type[VersionQuery], own: tuple[str, ...]) -> type[VersionQuery]:
    return type(query.__name__, (query,), {"own": own})


def _bounds(given: Mapping[str, Any], which: str) -> dict[str, float]:
    return {name.removeprefix(which): value for name, value in given.items() if name.startswith(which)}


class VersionSearch(views.ApiView):
    """The versions of every fleet."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("-created_at", "-id")

    @extend_schema(
        operation_id="versions_list",
        parameters=[SearchQuery],
        responses={200: paging.shape_of(shapes.VersionSerializer)},
    )
    def get(self, request: Request) -> HttpResponse:
        """Search the versions that you may see, the newest first, each with the pointers that lead to it.

        What is archived, deleted or of a retired model is left out unless its state is asked for. Metrics that a fleet
        declares itself can be searched for where `fleet` names it.
        """
        name = request.query_params.get("fleet")
        fleet = scope.fleet(request, name) if name else None
        given = parsing.query(request, _kind(SearchQuery, fleet))
        mine = scope.tenants(request)
        if "tenant" in given:
            mine = frozenset({given["tenant"]} if given["tenant"] in mine else ())
        rows = comparison.search(wanted(given, fleet=fleet), tenants=mine)
        return self.pages.written(request, rows, texts.VersionText(), given)


class VersionList(views.ApiView):
    """The versions of a model."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("-number")

    @extend_schema(
        operation_id="model_versions_list",
        parameters=[VersionQuery],
        responses={200: paging.shape_of(shapes.VersionSerializer)},
    )
    def get(self, request: Request, fleet: str, entity: str) -> HttpResponse:
        """List the versions of a model, the newest first; archived and deleted ones where their state is asked for."""
        model = scope.registered_model(request, fleet, entity)
        given = parsing.query(request, _kind(VersionQuery, model.fleet))
        if given.keys() <= UNFILTERED:
            return self._newest(request, model, given)
        rows = comparison.search(wanted(given, fleet=model.fleet, model=model))
        return self.pages.written(request, rows, texts.VersionText(), given)

    def _newest(self, request: Request, model: RegisteredModel, given: Mapping[str, Any]) -> HttpResponse:
        """Return what the search without a filter finds: asked for far more often than all others together."""
        size = given.get("limit") or paging.default_size()
        [before] = self.pages.after(ModelVersion, given["cursor"]) if given.get("cursor") else [None]
        found = texts.newest(model, states=comparison.SHOWN, before=before, limit=size + 1)
        return self.pages.told(request, found, size=size)


class ModelVersionDetail(views.ApiView):
    """One version of a model."""

    required = {"GET": "viewer"}

    @extend_schema(
        operation_id="model_version", parameters=[scope.TenantQuery], responses={200: shapes.VersionSerializer}
    )
    def get(self, request: Request, fleet: str, entity: str, reference: str) -> HttpResponse:
        """Show a version by id, number, label, `champion`, `challenger`, `anchor` or `latest` (newest ready)."""
        parsing.query(request, scope.TenantQuery)
        found = scope.version_of(scope.registered_model(request, fleet, entity), reference)
        return views.text(texts.version(found.pk))


class VersionDetail(views.ApiView):
    """One version by its id."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="version", responses={200: shapes.VersionSerializer})
    def get(self, request: Request, version: str) -> HttpResponse:
        """Show a version by its id."""
        parsing.query(request, parsing.StrictSerializer)
        found = scope.version(request, version)
        return views.text(texts.version(found.pk))
