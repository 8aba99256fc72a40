"""Runs and batches: ask for them, follow, cancel and delete. Writes rows; the dispatcher turns them into work."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import conf as registry_conf
from registry import errors
from registry.models import Fleet
from registry.rest_base import idempotency, paging, parsing, scope, views
from training import clock, conf, runs
from training.models import Batch, TrainingRun
from training.policy_terms import Reason
from training.rest_api import shapes

POLL_SECONDS = 0.25
# A web process has few threads; those that wait must leave some for everybody else.
WAITING = threading.BoundedSemaphore(2)


class BatchUnknown(errors.NotFound):
    """No batch has this id."""

    code = "batch_unknown"


class RunQuery(paging.PageQuery, scope.TenantQuery):
    """Filters of the runs."""

    fleet = serializers.CharField(required=False, max_length=63)
    entity = serializers.CharField(required=False, max_length=128)
    state = serializers.ChoiceField(required=False, choices=TrainingRun.State.choices)
    kind = serializers.ChoiceField(required=False, choices=TrainingRun.Kind.choices)
    batch = serializers.CharField(required=False, max_length=36)


class BatchQuery(paging.PageQuery, scope.TenantQuery):
    """Filters of the batches."""

    fleet = serializers.CharField(required=False, max_length=63)
    state = serializers.ChoiceField(required=False, choices=Batch.State.choices)


class RunBody(parsing.StrictSerializer):
    """What is to be run, and why."""

    fleet = serializers.CharField(max_length=63)
    tenant = serializers.CharField(
        required=False, max_length=63, help_text="where several tenants have a fleet of that name"
    )
    entity = serializers.CharField(required=False, max_length=128, help_text="without it the whole fleet")
    days = serializers.IntegerField(required=False, help_text="look-back in days; without it that of the policy")
    kind = serializers.ChoiceField(required=False, default="retrain", choices=["retrain", "evaluate"])
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)
    background = serializers.BooleanField(
        required=False, default=True, help_text="false: wait a bounded time for the end, then answer with what is known"
    )

    def validate_days(self, days: int) -> int:
        """Hold the limits of the installation. Raises ValidationError."""
        limits = conf.current()
        if not limits.look_back_days_min <= days <= limits.look_back_days_max:
            raise serializers.ValidationError(f"From {limits.look_back_days_min} to {limits.look_back_days_max} days.")
        return days


def described() -> QuerySet[TrainingRun]:
    """Return the runs with what their shape names."""
    return TrainingRun.objects.select_related("registered_model__fleet", "policy")


def found(request: Request, text: str) -> TrainingRun:
    """Return a run of the caller by its id. Raises Malformed, RunUnknown."""
    rows = described().filter(id=scope.identifier(text))
    run = scope.visible(request, rows, "registered_model__fleet__tenant").first()
    if run is None:
        raise runs.RunUnknown(f"There is no run {text}.")
    return run


class RunList(views.ApiView):
    """The runs that the caller may see, and the door to new ones."""

    required = {"GET": "viewer", "POST": "operator"}
    pages = paging.KeysetPagination("-id")

    @extend_schema(
        operation_id="runs_list", parameters=[RunQuery], responses={200: paging.shape_of(shapes.RunSerializer)}
    )
    def get(self, request: Request) -> Response:
        """List runs, the newest first."""
        given = parsing.query(request, RunQuery)
        rows = scope.visible(request, described(), "registered_model__fleet__tenant")
        paths = {"fleet": "registered_model__fleet__name", "tenant": "registered_model__fleet__tenant"}
        paths |= {"entity": "registered_model__entity_key", "state": "state", "kind": "kind"}
        rows = rows.filter(**{path: given[name] for name, path in paths.items() if name in given})
        if "batch" in given:
            rows = rows.filter(batch_id=scope.identifier(given["batch"]))
        return self.pages.respond(request, rows, shapes.RunSerializer, given)

    @extend_schema(
        operation_id="runs_request",
        parameters=[idempotency.HEADER],
        request=RunBody,
        responses={200: shapes.RequestedSerializer, 202: shapes.RequestedSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Ask for one model or a whole fleet to be retrained or evaluated: 202 and addresses to follow.

        A model with an open run gets a row of its own, at once `skipped` with the code `joined`, which names that run.
        With `background=false` the answer waits for the end, a bounded time: 200 when all has ended, else 202.
        """
        parsing.query(request, parsing.StrictSerializer)
        given = parsing.body(request, RunBody)
        fleet = scope.fleet(request, given["fleet"], tenant=given.get("tenant"))
        answer = idempotency.once(request, lambda: _requested(request, fleet, given))
        return answer.response() if given["background"] else _ended(answer)


def _requested(request: Request, fleet: Fleet, given: dict[str, Any]) -> idempotency.Answer:
    entity = given.get("entity")
    batch = runs.request(
        fleet=fleet,
        entities=None if entity is None else [entity],
        reason=Reason(trigger="api", sentence=given["reason"], actor=views.actor(request)),
        at=clock.now(),
        kind=given["kind"],
        # A whole fleet must not stand in the way of the one model that somebody waits for.
        queue="training" if entity is None else "interactive",
        look_back_days=given.get("days"),
    )
    return _answer(batch.pk, status=202)


def _answer(batch_id: UUID | str, *, status: int) -> idempotency.Answer:
    batch = Batch.objects.select_related("fleet", "policy").get(pk=batch_id)
    made = list(described().filter(batch=batch).order_by("id")[: registry_conf.current().page_size])
    data = shapes.RequestedSerializer({"batch": batch, "progress": runs.progress(batch), "runs": made}).data
    alone = len(made) == 1 and not batch.discovers
    where = reverse("run", args=[made[0].pk]) if alone else reverse("batch", args=[batch.pk])
    return idempotency.Answer(status=status, data=data, headers={"Location": where})


def _ended(answer: idempotency.Answer) -> HttpResponse:
    batch_id = answer.data["batch"]["id"]
    is_done = _waited(batch_id, seconds=conf.current().wait_seconds)
    now = _answer(batch_id, status=200 if is_done else 202)
    return idempotency.Answer(
        status=now.status, data=now.data, headers=now.headers, replayed=answer.replayed
    ).response()


def _waited(batch_id: str, *, seconds: float) -> bool:
    """Wait for the end of a batch by looking at its row; return whether it came."""
    if not WAITING.acquire(blocking=False):
        return False
    try:
        deadline = time.monotonic() + seconds
        while not Batch.objects.filter(pk=batch_id, state=Batch.State.DONE).exists():
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True
    finally:
        WAITING.release()


class RunDetail(views.ApiView):
    """One run."""

    required = {"GET": "viewer", "DELETE": "approver"}

    @extend_schema(operation_id="run", responses={200: shapes.RunDetailSerializer})
    def get(self, request: Request, run: str) -> Response:
        """Show one run with the report of its gate, what it used and found, and its log."""
        parsing.query(request, parsing.StrictSerializer)
        return Response(shapes.RunDetailSerializer(found(request, run)).data)

    @extend_schema(operation_id="run_delete", responses={204: None})
    def delete(self, request: Request, run: str) -> Response:
        """Delete the record of a run that has ended and left no version; else `run_open` or `run_kept`."""
        parsing.query(request, parsing.StrictSerializer)
        runs.delete(run_id=found(request, run).pk)
        return Response(status=204)


class Cancel(views.ApiView):
    """Ends an open run."""

    required = {"POST": "operator"}

    @extend_schema(
        operation_id="run_cancel",
        request=None,
        parameters=[idempotency.HEADER],
        responses={200: shapes.RunDetailSerializer},
    )
    def post(self, request: Request, run: str) -> HttpResponse:
        """Cancel an open run: from now on no worker can close or promote it. `run_ended` where it has ended."""
        parsing.query(request, parsing.StrictSerializer)
        parsing.body(request, parsing.StrictSerializer)
        run_id = found(request, run).pk

        def work() -> idempotency.Answer:
            runs.cancel(run_id=run_id, actor=views.actor(request), at=clock.now())
            return idempotency.Answer(status=200, data=shapes.RunDetailSerializer(described().get(pk=run_id)).data)

        return idempotency.once(request, work).response()


class BatchList(views.ApiView):
    """The batches that the caller may see."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("-id")

    @extend_schema(
        operation_id="batches_list", parameters=[BatchQuery], responses={200: paging.shape_of(shapes.BatchSerializer)}
    )
    def get(self, request: Request) -> Response:
        """List batches, the newest first, each with its runs by state as last counted."""
        given = parsing.query(request, BatchQuery)
        rows = scope.visible(request, Batch.objects.select_related("fleet", "policy"), "fleet__tenant")
        paths = {"fleet": "fleet__name", "tenant": "fleet__tenant", "state": "state"}
        rows = rows.filter(**{path: given[name] for name, path in paths.items() if name in given})
        return self.pages.respond(request, rows, shapes.BatchSerializer, given)


class BatchDetail(views.ApiView):
    """One batch."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="batch", responses={200: shapes.BatchDetailSerializer})
    def get(self, request: Request, batch: str) -> Response:
        """Show one batch and how far it is, counted now."""
        parsing.query(request, parsing.StrictSerializer)
        rows = Batch.objects.select_related("fleet", "policy").filter(id=scope.identifier(batch))
        found_one = scope.visible(request, rows, "fleet__tenant").first()
        if found_one is None:
            raise BatchUnknown(f"There is no batch {batch}.")
        return Response(shapes.BatchDetailSerializer({"batch": found_one, "progress": runs.progress(found_one)}).data)
