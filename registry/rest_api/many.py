"""Many versions or models in one call: promote, archive, tag and the like, and rolling back. A result for each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from registry import bulk, comparison, conf, errors, permissions, timestamps
from registry.bulk import Done, Step, targets
from registry.bulk.tagging import Order
from registry.comparison import Search
from registry.models import ModelVersion
from registry.rest_api.bulk_shapes import BulkBody, BulkSerializer, RollBackManyBody, RollBackManySerializer
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
    def post(self, request: Request) -> Response:
        """Promote, archive, restore, quarantine, release, forget or tag many versions, in a few statements.

        What cannot be done to one leaves the others be; its result says why. All but `tag` needs the role approver.
        """
        parsing.query(request, parsing.StrictSerializer)
        given = parsing.body(request, BulkBody)
        _allow(request, given["action"])
        named = given.get("versions") or _found(request, given["filter"])
        bulk.check(len(named))
        own, unknown = bulk.visible(named, tenants=scope.tenants(request))

        def work() -> idempotency.Answer:
            done = bulk.carry_out(
                given["action"],
                own,
                actor=views.actor(request),
                reason=given["reason"],
                at=timestamps.utc_now(),
                tags=Order(**given["tags"]) if "tags" in given else None,
                rehearsed=given["dry_run"],
            )
            return idempotency.Answer(status=200, data=_told(given, named, done, unknown))

        return idempotency.once(request, work).response()


class FleetRollBack(views.ApiView):
    """Rolls many models of a fleet back."""

    required = {"POST": "approver"}

    @extend_schema(
        operation_id="fleet_rollback",
        parameters=[scope.TenantQuery, idempotency.HEADER],
        request=RollBackManyBody,
        responses={200: RollBackManySerializer},
    )
    def post(self, request: Request, fleet: str) -> Response:
        """Roll every model that answers the filter back to the champion before its present one, at once.

        With `dry_run` it says from which version each would go to which, and why others cannot and what would do.
        """
        parsing.query(request, scope.TenantQuery)
        owner = scope.fleet(request, fleet)
        given = parsing.body(request, RollBackManyBody)
        wanted = _wanted(given["filter"])
        models = list(targets.models(owner, wanted)[: conf.current().bulk_items + 1])

        def work() -> idempotency.Answer:
            steps = bulk.roll_back(
                models,
                actor=views.actor(request),
                reason=given["reason"],
                at=timestamps.utc_now(),
                rehearsed=given["dry_run"],
            )
            return idempotency.Answer(status=200, data=_walked(given["dry_run"], steps))

        return idempotency.once(request, work).response()


def _allow(request: Request, action: str) -> None:
    needed = bulk.ROLES[action]
    if not permissions.allows(request.user, request.auth, role=needed):
        raise exceptions.PermissionDenied(f"The action {action} needs the role {needed}.")


def _found(request: Request, given: Mapping[str, Any]) -> list[UUID]:
    fleet = scope.fleet(request, given["fleet"], tenant=given.get("tenant"))
    rows = comparison.search(
        Search(
            fleet=fleet,
            entity=given.get("entity", ""),
            states=tuple(given.get("state", ())),
            trainer=given.get("trainer", ""),
            tags=tuple(given.get("tag", ())),
            since=given.get("since"),
            until=given.get("until"),
        ),
        tenants=scope.tenants(request),
    )
    return list(rows.values_list("pk", flat=True)[: conf.current().bulk_items + 1])


def _wanted(given: Mapping[str, Any]) -> targets.Wanted:
    return targets.Wanted(
        entities=tuple(given.get("entities", ())),
        prefix=given.get("entity_prefix", ""),
        tags=tuple(given.get("tag", ())),
        promoted_since=given.get("promoted_since"),
        cause=given.get("cause", ""),
        all=given["all"],
    )


def _told(given: Mapping[str, Any], named: list[UUID], done: Done, unknown: Done) -> dict[str, Any]:
    refused = {**done.refused, **unknown.refused}
    items = dict.fromkeys(named)
    return {
        "action": given["action"],
        "dry_run": given["dry_run"],
        "changed": len(done.changed),
        "unchanged": len(done.unchanged),
        "refused": len(refused),
        "results": [{"id": str(each), **_outcome(each, done, refused)} for each in items],
    }


def _outcome(version_id: UUID, done: Done, refused: Mapping[UUID, errors.PerennialError]) -> dict[str, Any]:
    if error := refused.get(version_id):
        return {"outcome": "refused", **_why(error)}
    return {"outcome": "changed" if version_id in done.changed else "unchanged"}


def _walked(dry_run: bool, steps: list[Step]) -> dict[str, Any]:
    back = sum(each.to is not None for each in steps)
    results = [_step(each) for each in steps]
    return {"dry_run": dry_run, "rolled_back": back, "refused": len(steps) - back, "results": results}


def _step(step: Step) -> dict[str, Any]:
    named = {"entity": step.registered_model.entity_key, "before": _version(step.registered_model.champion)}
    if step.to is not None:
        return {**named, "outcome": "rolled_back", "to": _version(step.to)}
    return {**named, "outcome": "refused", **(_why(step.refusal) if step.refusal else {})}


def _version(version: ModelVersion | None) -> dict[str, Any] | None:
    return {"id": str(version.pk), "number": version.number, "label": version.label} if version else None


def _why(error: errors.PerennialError) -> dict[str, str]:
    return {"code": error.code, "detail": error.sentence, "next_step": error.next_step}
