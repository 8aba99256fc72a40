"""The champion: who it is, who it was, and the two moves that people make at once. Each move needs a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from registry import history, lifecycle, timestamps
from registry.lifecycle import Verified, succession
from registry.models import Event, ModelVersion, RegisteredModel
from registry.rest_api import shapes, texts
from registry.rest_base import idempotency, parsing, scope, views
from registry.rest_base.fields import PastField

Target = TypeVar("Target", ModelVersion, ModelVersion | None)


class ChampionQuery(scope.TenantQuery):
    """Which champion is asked for."""

    at = PastField(
        required=False,
        help_text="who served then, by the ledger: ISO 8601 with an offset, or a date (UTC); not to come",
    )


class MoveSerializer(serializers.Serializer[Any]):
    """What a move of the champion pointer did."""

    event = shapes.EventSerializer()
    champion = shapes.VersionSerializer()


class PromoteBody(parsing.StrictSerializer):
    """Which version is to serve, and why."""

    version = serializers.CharField(max_length=64, help_text="id, number, label, `challenger` or `latest`")
    reason = serializers.CharField(max_length=500)


class RollBackBody(parsing.StrictSerializer):
    """Where to go back to, and why."""

    to = serializers.CharField(
        required=False, max_length=64, help_text="id, number or label; without it the champion before"
    )
    reason = serializers.CharField(max_length=500)


class Champion(views.ApiView):
    """The champion of a model."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="champion", parameters=[ChampionQuery], responses={200: shapes.VersionSerializer})
    def get(self, request: Request, fleet: str, entity: str) -> HttpResponse:
        """Show the champion, now or at a time. Answers with an ETag; `no_champion` where there is or was none."""
        given = parsing.query(request, ChampionQuery)
        model = scope.registered_model(request, fleet, entity)
        found = _at(model, given["at"]).pk if "at" in given else model.champion_id
        if found is None:
            raise succession.NoChampion(f"{model} has no champion.")
        return views.conditional_text(request, texts.version(found))


def _at(model: RegisteredModel, at: datetime) -> ModelVersion:
    found = history.champion_at(model, at)
    if found is None:
        listed = reverse("model-champions", args=[model.fleet.name, model.entity_key])
        raise succession.NoChampion(
            f"{model} had no champion at {timestamps.readable(at)}: nothing was promoted before.",
            next_step=f"GET {listed} lists who served when.",
        )
    return found


class Promote(views.ApiView):
    """Makes a version champion by hand."""

    required = {"POST": "approver"}

    @extend_schema(
        operation_id="promote",
        parameters=[scope.TenantQuery, idempotency.HEADER],
        request=PromoteBody,
        responses={200: MoveSerializer},
    )
    def post(self, request: Request, fleet: str, entity: str) -> HttpResponse:
        """Make a version champion at once, without a gate and without a worker. The ledger keeps who and why."""
        model, given = _asked(request, fleet, entity, PromoteBody)

        def prepare() -> tuple[ModelVersion, Verified]:
            version = scope.version_of(model, given["version"])
            return version, lifecycle.verify_versions([version])

        def move(version: ModelVersion, **said: Any) -> Event:
            return lifecycle.promote_by_hand(registered_model=model, version=version, **said)

        return _carried_out(request, given["reason"], prepare, move)


class RollBack(views.ApiView):
    """Makes an earlier version champion again."""

    required = {"POST": "approver"}

    @extend_schema(
        operation_id="rollback",
        parameters=[scope.TenantQuery, idempotency.HEADER],
        request=RollBackBody,
        responses={200: MoveSerializer},
    )
    def post(self, request: Request, fleet: str, entity: str) -> HttpResponse:
        """Go back to the champion before, or to a named version, at once and without a worker."""
        model, given = _asked(request, fleet, entity, RollBackBody)

        def prepare() -> tuple[ModelVersion | None, Verified]:
            if "to" not in given:
                return None, lifecycle.verify_returns([model])
            to = scope.version_of(model, given["to"])
            return to, lifecycle.verify_versions([to])

        def move(to: ModelVersion | None, **said: Any) -> Event:
            return lifecycle.roll_back(registered_model=model, to=to, **said)

        return _carried_out(request, given["reason"], prepare, move)


def _asked(
    request: Request, fleet: str, entity: str, body: type[parsing.StrictSerializer]
) -> tuple[RegisteredModel, dict[str, Any]]:
    parsing.query(request, scope.TenantQuery)
    given = parsing.body(request, body)
    return scope.registered_model(request, fleet, entity), given


def _carried_out(
    request: Request, reason: str, prepare: Callable[[], tuple[Target, Verified]], move: Callable[..., Event]
) -> HttpResponse:
    """Find and verify what is to serve, outside a transaction, then move there once; answer with the new champion."""

    def work(prepared: tuple[Target, Verified]) -> idempotency.Answer:
        target, verified = prepared
        event = move(target, verified=verified, actor=views.actor(request), reason=reason, at=timestamps.utc_now())
        champion = json.loads(texts.version(cast(UUID, event.to_version_id)))
        return idempotency.Answer(status=200, data={"event": shapes.event(event), "champion": champion})

    return idempotency.after(request, prepare, work).response()
