"""Retention: the policy in force, what it would let go, and pruning by hand. What a call marks is bounded."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import deadlines, reasons, retention, timestamps
from registry.rest_base import idempotency, paging, parsing, scope, views
from registry.retention import selection
from registry.retention.selection import Key, Scope

# What a request can mark within a deadline of seconds; the cursor of its answer goes on.
MARKED_MOST = 1000
KEY = (int, int)  # what a cursor holds: model and number
# Some 500,000 versions; a larger fleet is told of in part here, and in full by `manage.py prune`.
PREVIEW_SECONDS = 3.0


class RetentionPolicySerializer(serializers.Serializer[Any]):
    """What is kept of each model, besides what a pointer leads to or a hold keeps."""

    keep = serializers.IntegerField(help_text="newest ready versions")
    champions = serializers.IntegerField(help_text="last versions that were champion, the present one counted")
    younger_than_days = serializers.IntegerField()
    served_within_days = serializers.IntegerField()
    grace_days = serializers.IntegerField(help_text="between mark and sweep")


class TallySerializer(serializers.Serializer[Any]):
    """How many versions of how many models, and the bytes of their artifacts."""

    models = serializers.IntegerField()
    versions = serializers.IntegerField()
    bytes = serializers.IntegerField(source="size")


class WaitingSerializer(serializers.Serializer[Any]):
    """Marked versions whose grace is not over."""

    versions = serializers.IntegerField()
    bytes = serializers.IntegerField(source="size")
    first_at = serializers.DateTimeField(allow_null=True, help_text="when the first of them may be swept")
    last_at = serializers.DateTimeField(allow_null=True)


class DueSerializer(serializers.Serializer[Any]):
    """What the next sweep takes."""

    versions = serializers.IntegerField()
    bytes_freed = serializers.IntegerField(source="freed", help_text="of objects that no other version needs")


class RetentionSerializer(serializers.Serializer[Any]):
    """What pruning a fleet now would do, and what earlier marks still will."""

    policy = RetentionPolicySerializer()
    marked = TallySerializer(help_text="what the next mark would take")
    kept = serializers.DictField(child=TallySerializer(), help_text="by the first reason that keeps it")
    waiting = WaitingSerializer()
    due = DueSerializer()
    complete = serializers.BooleanField(
        source="is_whole", help_text="false: the answer took too long, and the counts are those of what came first"
    )
    looked_at = serializers.IntegerField(help_text="models that `marked` and `kept` count")


class CandidateSerializer(serializers.Serializer[Any]):
    """A version that the policy does not keep."""

    id = serializers.UUIDField()
    entity = serializers.CharField(source="entity_key")
    number = serializers.IntegerField()
    bytes = serializers.IntegerField(source="size")
    created_at = serializers.DateTimeField()


class CandidateQuery(paging.PageQuery, scope.TenantQuery):
    """What the list of candidates takes."""


class PruneBody(parsing.StrictSerializer):
    """Whether to mark or only to tell, and why."""

    dry_run = serializers.BooleanField(default=False, help_text="tell what would be marked and change nothing")
    reason = serializers.CharField(
        max_length=500, required=False, default="", allow_blank=True, help_text="required unless `dry_run`"
    )
    cursor = serializers.CharField(
        required=False, max_length=paging.CURSOR_LENGTH, help_text="`next_cursor` of the answer before"
    )

    def validate_cursor(self, cursor: str) -> str:
        """Refuse what no answer of this route gave. Raises ValidationError, which names a place in the body."""
        try:
            paging.decode(cursor, KEY)
        except paging.CursorMalformed as error:
            raise serializers.ValidationError([paging.NO_CURSOR]) from error
        return cursor


class PruneSerializer(serializers.Serializer[Any]):
    """What a call marked, or would mark."""

    dry_run = serializers.BooleanField()
    versions = CandidateSerializer(many=True, help_text=f"at most {MARKED_MOST}")
    next_cursor = serializers.CharField(allow_null=True, help_text="send it to go on; null where nothing is left")


class FleetRetention(views.ApiView):
    """The retention of a fleet."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="retention", parameters=[scope.TenantQuery], responses={200: RetentionSerializer})
    def get(self, request: Request, fleet: str) -> Response:
        """Show the policy in force, what the next mark would take, what stays and why, and what waits to be swept."""
        parsing.query(request, scope.TenantQuery)
        found = scope.fleet(request, fleet)
        seen = retention.preview(found, at=timestamps.utc_now(), until=deadlines.after(PREVIEW_SECONDS))
        return Response(RetentionSerializer(seen).data)


class CandidateList(views.ApiView):
    """What the policy of a fleet does not keep."""

    required = {"GET": "viewer"}

    @extend_schema(
        operation_id="retention_candidates_list",
        parameters=[CandidateQuery],
        responses={200: paging.shape_of(CandidateSerializer)},
    )
    def get(self, request: Request, fleet: str) -> Response:
        """List the versions that the next mark would take, by model and number."""
        given = parsing.query(request, CandidateQuery)
        wanted = Scope(fleet_id=scope.fleet(request, fleet).pk)
        size = given.get("limit") or paging.default_size()
        at = timestamps.utc_now()
        found = selection.candidates(wanted, at=at, after=_after(given), limit=size + 1)
        following = _cursor(found[size - 1].key) if len(found) > size else None
        return paging.listing(request, list(CandidateSerializer(found[:size], many=True).data), following)


class PruneModel(views.ApiView):
    """Prunes one model."""

    required = {"POST": "approver"}

    @extend_schema(
        operation_id="prune_model",
        parameters=[scope.TenantQuery, idempotency.HEADER],
        request=PruneBody,
        responses={200: PruneSerializer},
    )
    def post(self, request: Request, fleet: str, entity: str) -> HttpResponse:
        """Mark what the policy does not keep of a model, and answer which versions that are.

        Marked versions are archived; `restore` takes them back until their grace is over.
        """
        parsing.query(request, scope.TenantQuery)
        given = parsing.body(request, PruneBody)
        model = scope.registered_model(request, fleet, entity)
        return _prune(request, Scope(registered_model_id=model.pk), given)


class PruneFleet(views.ApiView):
    """Prunes a fleet."""

    required = {"POST": "approver"}

    @extend_schema(
        operation_id="prune_fleet",
        parameters=[scope.TenantQuery, idempotency.HEADER],
        request=PruneBody,
        responses={200: PruneSerializer},
    )
    def post(self, request: Request, fleet: str) -> HttpResponse:
        """Mark what the policy does not keep of a fleet, at most 1,000 versions in one call; the cursor goes on."""
        parsing.query(request, scope.TenantQuery)
        given = parsing.body(request, PruneBody)
        return _prune(request, Scope(fleet_id=scope.fleet(request, fleet).pk), given)


def _prune(request: Request, wanted: Scope, given: dict[str, Any]) -> HttpResponse:
    at, after = timestamps.utc_now(), _after(given)
    reason = "" if given["dry_run"] else reasons.given(given["reason"])

    def work() -> idempotency.Answer:
        if given["dry_run"]:
            found = selection.candidates(wanted, at=at, after=after, limit=MARKED_MOST)
            return _told(found, found[-1].key if len(found) == MARKED_MOST else None, dry_run=True)
        done = retention.mark_page(
            wanted, actor=views.actor(request), reason=reason, at=at, after=after, limit=MARKED_MOST
        )
        return _told(done.versions, done.following, dry_run=False)

    return idempotency.once(request, work).response()


def _told(versions: Any, following: Key | None, *, dry_run: bool) -> idempotency.Answer:
    cursor = None if following is None else _cursor(following)
    told = {"dry_run": dry_run, "versions": versions, "next_cursor": cursor}
    return idempotency.Answer(status=200, data=PruneSerializer(told).data)


def _after(given: dict[str, Any]) -> Key:
    return Key(*paging.decode(given["cursor"], KEY)) if "cursor" in given else selection.START


def _cursor(key: Key) -> str:
    return paging.encode(list(key))
