"""Holds on a version: who needs it kept, and why. Placing and lifting ask for a reason and stand in the ledger."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import errors, holding, timestamps
from registry.models import Hold, ModelVersion
from registry.rest_base import idempotency, paging, parsing, scope, views
from registry.rest_base.fields import InstantField


class HoldUnknown(errors.NotFound):
    """The version has no such hold."""

    code = "hold_unknown"
    next_step = "GET /api/v1/versions/{id}/holds lists the holds of a version."


class HoldSerializer(serializers.ModelSerializer[Hold]):
    """A reason to keep a version."""

    class Meta:
        model = Hold
        fields = ["id", "version", "placed_by", "actor", "reason", "until", "created_at"]
        read_only_fields = fields


class HoldBody(parsing.StrictSerializer):
    """Why, and until when."""

    reason = serializers.CharField(max_length=500)
    until = InstantField(
        required=False,
        allow_null=True,
        help_text="ISO 8601 with an offset, or a date (UTC); without it the hold ends when it is lifted",
    )


class LiftQuery(parsing.StrictSerializer):
    """Why a hold is lifted."""

    reason = serializers.CharField(max_length=500)


class HoldList(views.ApiView):
    """The holds of a version."""

    required = {"GET": "viewer", "POST": "operator"}
    pages = paging.KeysetPagination("-id")

    @extend_schema(
        operation_id="holds_list", parameters=[paging.PageQuery], responses={200: paging.shape_of(HoldSerializer)}
    )
    def get(self, request: Request, version: str) -> Response:
        """List the holds of a version, also those that are over, the newest first."""
        given = parsing.query(request, paging.PageQuery)
        rows = Hold.objects.filter(version=scope.version(request, version))
        return self.pages.respond(request, rows, HoldSerializer, given)

    @extend_schema(
        operation_id="hold", parameters=[idempotency.HEADER], request=HoldBody, responses={201: HoldSerializer}
    )
    def post(self, request: Request, version: str) -> HttpResponse:
        """Hold a version: no retention, archive or delete takes it until the hold is lifted or over."""
        parsing.query(request, parsing.StrictSerializer)
        given = parsing.body(request, HoldBody)
        found = scope.version(request, version)

        def work() -> idempotency.Answer:
            hold = _place(request, found, given)
            return idempotency.Answer(status=201, data=HoldSerializer(Hold.objects.get(pk=hold.pk)).data)

        return idempotency.once(request, work).response()


class HoldDetail(views.ApiView):
    """One hold of a version."""

    required = {"DELETE": "approver"}

    @extend_schema(operation_id="hold_lift", parameters=[LiftQuery], responses={204: None})
    def delete(self, request: Request, version: str, hold: str) -> Response:
        """Lift a hold; `?reason=` says why."""
        found = scope.version(request, version)
        given = parsing.query(request, LiftQuery)
        held = Hold.objects.filter(version=found, pk=int(hold)).first() if hold.isdecimal() and len(hold) < 19 else None
        if held is None:
            raise HoldUnknown(f"Version {found.number} has no hold {hold!r}.")
        holding.lift([held.pk], actor=views.actor(request), reason=given["reason"], at=timestamps.utc_now())
        return Response(status=204)


def _place(request: Request, version: ModelVersion, given: dict[str, Any]) -> Hold:
    done = holding.place(
        [version.pk],
        placed_by=Hold.PlacedBy.USER,
        reason=given["reason"],
        until=given.get("until"),
        actor=views.actor(request),
        at=timestamps.utc_now(),
    )
    for error in done.refused.values():
        raise error
    return done.holds[0]
