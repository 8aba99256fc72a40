"""Policies: when they fire next, and the switch that people have. Fleet files make and change them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import errors
from registry.rest_base import idempotency, paging, parsing, scope, views
from training import clock, scheduling
from training.models import RetrainingPolicy
from training.rest_api import shapes


class PolicyUnknown(errors.NotFound):
    """The fleet has no policy of that name."""

    code = "policy_unknown"
    next_step = "GET /api/v1/policies lists the policies that you may see."


class PolicyQuery(paging.PageQuery, scope.TenantQuery):
    """Filters of the policies."""

    fleet = serializers.CharField(required=False, max_length=63)


class PolicyDetailSerializer(serializers.Serializer[Any]):
    """A policy and its next slots."""

    policy = shapes.PolicySerializer()
    next_slots = serializers.ListField(
        child=serializers.DateTimeField(), help_text="the next three; none while it is off"
    )


def found(request: Request, fleet: str, policy: str) -> RetrainingPolicy:
    """Return a policy of a fleet of the caller. Raises Malformed, FleetUnknown, FleetAmbiguous, PolicyUnknown."""
    owner = scope.fleet(request, fleet)
    rows = RetrainingPolicy.objects.select_related("fleet", "source")
    row = rows.filter(fleet=owner, name=scope.slug(policy, "policy")).first()
    if row is None:
        raise PolicyUnknown(f"Fleet {owner.name} has no policy {policy!r}.")
    return row


def written(policy: RetrainingPolicy) -> dict[str, Any]:
    """Return a policy with its next slots, as they go over the wire."""
    is_on = policy.enabled and not policy.paused and policy.triggers.schedule
    slots = scheduling.next_slots(policy, after=clock.now(), count=3) if is_on else []
    data: dict[str, Any] = PolicyDetailSerializer({"policy": policy, "next_slots": slots}).data
    return data


class PolicyList(views.ApiView):
    """The policies that the caller may see."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("fleet__tenant", "fleet__name", "name")

    @extend_schema(
        operation_id="policies_list",
        parameters=[PolicyQuery],
        responses={200: paging.shape_of(shapes.PolicySerializer)},
    )
    def get(self, request: Request) -> Response:
        """List the policies that you may see, by tenant, fleet and name."""
        given = parsing.query(request, PolicyQuery)
        rows = scope.visible(request, RetrainingPolicy.objects.select_related("fleet", "source"), "fleet__tenant")
        if "tenant" in given:
            rows = rows.filter(fleet__tenant=given["tenant"])
        if "fleet" in given:
            rows = rows.filter(fleet__name=given["fleet"])
        return self.pages.respond(request, rows, shapes.PolicySerializer, given)


class PolicyDetail(views.ApiView):
    """One policy."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="policy", parameters=[scope.TenantQuery], responses={200: PolicyDetailSerializer})
    def get(self, request: Request, fleet: str, policy: str) -> Response:
        """Show one policy with its cron text, zone, next three slots and last slot."""
        parsing.query(request, scope.TenantQuery)
        return Response(written(found(request, fleet, policy)))


class Pause(views.ApiView):
    """Stops the schedule of a policy."""

    required = {"POST": "operator"}

    @extend_schema(
        operation_id="policy_pause",
        request=None,
        parameters=[scope.TenantQuery, idempotency.HEADER],
        responses={200: PolicyDetailSerializer},
    )
    def post(self, request: Request, fleet: str, policy: str) -> HttpResponse:
        """Stop the schedule until it is resumed. Runs that people ask for still run."""
        parsing.query(request, scope.TenantQuery)
        parsing.body(request, parsing.StrictSerializer)
        row = found(request, fleet, policy)

        def work() -> idempotency.Answer:
            scheduling.pause(row)
            return idempotency.Answer(status=200, data=written(row))

        return idempotency.once(request, work).response()


class Resume(views.ApiView):
    """Starts the schedule of a policy again."""

    required = {"POST": "operator"}

    @extend_schema(
        operation_id="policy_resume",
        request=None,
        parameters=[scope.TenantQuery, idempotency.HEADER],
        responses={200: PolicyDetailSerializer},
    )
    def post(self, request: Request, fleet: str, policy: str) -> HttpResponse:
        """Start the schedule again, from its next slot; what was missed stays missed."""
        parsing.query(request, scope.TenantQuery)
        parsing.body(request, parsing.StrictSerializer)
        row = found(request, fleet, policy)

        def work() -> idempotency.Answer:
            scheduling.resume(row, now=clock.now())
            return idempotency.Answer(status=200, data=written(row))

        return idempotency.once(request, work).response()
