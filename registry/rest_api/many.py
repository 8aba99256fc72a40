"""Many versions or models in one call: promote, archive, tag and the like, roll back. A result for each item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.request import Request

from registry import bulk, conf, lifecycle, permissions, timestamps
from registry.bulk import Done, targets, telling
from registry.bulk.tagging import Order
from registry.lifecycle import Verified
from registry.models import Fleet, ModelVersion, RegisteredModel
from registry.rest_api import versions
from registry.rest_api.bulk_shapes import (
    BulkBody,
    BulkSerializer,
    RollBackManyBody,
    RollBackManySerializer,
    TagModelsBody,
    TagModelsSerializer,
)
from registry.rest_base import idempotency, parsing, scope, views


class VersionsBulk(views.ApiView):
    """Does one thing to many versions."""

    required = {"POST": "operator"}

    @extend_schema(
        operation_id="versions_bulk",
        parameters=[idempotency.HEADER],
        request=BulkBody,
        responses={200: BulkSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Promote, archive, restore, quarantine, release, forget or tag many versions, in a few statements.

        What cannot be done to one leaves the others be; its result says why. All but `tag` needs the role approver.
        """
        parsing.query(request, parsing.StrictSerializer)
        given = parsing.body(request, BulkBody)
        _allow(request, given["action"])
        named = given.get("versions") or _found(request, given["filter"])
        bulk.check(len(named))
        own, unknown = bulk.visible(named, tenants=scope.tenants(request))

        def work(verified: Verified) -> idempotency.Answer:
            done = bulk.carry_out(
                given["action"],
                own,
                actor=views.actor(request),
                reason=given["reason"],
                at=timestamps.utc_now(),
                tags=Order(**given["tags"]) if "tags" in given else None,
                rehearsed=given["dry_run"],
                verified=verified,
            )
            return idempotency.Answer(status=200, data=_told(given, named, done, unknown))

        return idempotency.after(
            request, lambda: bulk.verify_for(given["action"], own, rehearsed=given["dry_run"]), work
        ).response()


class FleetRollBack(views.ApiView):
    """Rolls many models of a fleet back."""

    required = {"POST": "approver"}

    @extend_schema(
        operation_id="fleet_rollback",
        parameters=[scope.TenantQuery, idempotency.HEADER],
        request=RollBackManyBody,
        responses={200: RollBackManySerializer},
    )
    def post(self, request: Request, fleet: str) -> HttpResponse:
        """Roll every model that answers the filter back to the champion before its present one, at once.

        With `dry_run` it says from which version each would go to which, and why others cannot and what would do.
        """
        parsing.query(request, scope.TenantQuery)
        owner = scope.fleet(request, fleet)
        given = parsing.body(request, RollBackManyBody)
        models = _models(owner, given["filter"])

        def work(verified: Verified) -> idempotency.Answer:
            steps = bulk.roll_back(
                models,
                actor=views.actor(request),
                reason=given["reason"],
                at=timestamps.utc_now(),
                rehearsed=given["dry_run"],
                verified=verified,
                again=given["again"],
            )
            return idempotency.Answer(status=200, data=telling.rolled_back(steps, dry_run=given["dry_run"]))

        return idempotency.after(request, lambda: lifecycle.verify_returns(models), work).response()


class FleetTags(views.ApiView):
    """Tags many models of a fleet."""

    required = {"POST": "operator"}

    @extend_schema(
        operation_id="fleet_tags",
        parameters=[scope.TenantQuery, idempotency.HEADER],
        request=TagModelsBody,
        responses={200: TagModelsSerializer},
    )
    def post(self, request: Request, fleet: str) -> HttpResponse:
        """Add and remove tags of every registered model that answers the filter; the tags of versions are their own.

        Each that changes gets a line in its ledger. With `dry_run` the answer is the same and nothing is changed.
        """
        parsing.query(request, scope.TenantQuery)
        owner = scope.fleet(request, fleet)
        given = parsing.body(request, TagModelsBody)
        tags = Order(**given["tags"])

        def work() -> idempotency.Answer:
            models = _models(owner, given["filter"])
            done = bulk.tag_models(
                models,
                tags,
                actor=views.actor(request),
                reason=given["reason"],
                at=timestamps.utc_now(),
                rehearsed=given["dry_run"],
            )
            return idempotency.Answer(status=200, data=telling.tagged(models, done, dry_run=given["dry_run"]))

        return idempotency.once(request, work).response()


def _models(fleet: Fleet, given: Mapping[str, Any]) -> list[RegisteredModel]:
    wanted = _wanted(given)
    models = list(targets.models(fleet, wanted)[: conf.current().bulk_items + 1])
    bulk.check(len(models))
    return targets.as_given(models, entities=wanted.entities, entity=lambda each: each.entity_key)


def _allow(request: Request, action: str) -> None:
    needed = bulk.ROLES[action]
    if not permissions.allows(request.user, request.auth, role=needed):
        raise exceptions.PermissionDenied(f"The action {action} needs the role {needed}.")


def _found(request: Request, given: Mapping[str, Any]) -> list[UUID]:
    fleet = scope.fleet(request, given["fleet"], tenant=given.get("tenant"))
    search = versions.wanted(given, fleet=fleet)
    rows = targets.versions(fleet, search, all=given["all"], tenants=scope.tenants(request))
    # An index ends the search at so many; only these are put in order.
    found = ModelVersion.objects.filter(pk__in=rows.values("pk")[: conf.current().bulk_items + 1])
    named = found.order_by("registered_model__entity_key", "number").values_list("pk", "registered_model__entity_key")
    entities = given.get("entities", ())
    return [key for key, _ in targets.as_given(named, entities=entities, entity=itemgetter(1))]


def _wanted(given: Mapping[str, Any]) -> targets.Wanted:
    return targets.Wanted(
        entities=tuple(given.get("entities", ())),
        entity_prefix=given.get("entity_prefix", ""),
        tags=tuple(given.get("tag", ())),
        promoted_since=given.get("promoted_since"),
        cause=given.get("cause", ""),
        all=given["all"],
    )


def _told(given: Mapping[str, Any], named: list[UUID], done: Done, unknown: Done) -> dict[str, Any]:
    whole = replace(done, refused={**done.refused, **unknown.refused})
    results = [{"id": str(each), **telling.outcome(whole, each)} for each in dict.fromkeys(named)]
    return telling.changed(given["action"], whole, results, dry_run=given["dry_run"])
