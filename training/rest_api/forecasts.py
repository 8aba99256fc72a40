"""The forecast that the champion published: read from its row, never computed here."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import errors
from registry.models import Fleet, ModelVersion, RegisteredModel
from registry.rest_base import parsing, scope, views
from training import clock, publishing
from training.models import Forecast

# Seconds of the pandas offsets that are spans of time; every other alias is a calendar step, a day or longer.
SPANS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
PART = re.compile(r"(\d*\.?\d*)([A-Za-z]+)")
DAY = 86400.0


class NoForecast(errors.NotFound):
    """The champion has published nothing."""

    code = "no_forecast"
    next_step = "Only fleets of kind forecast publish one; retrain the model, or roll back to a version that has one."


class PointSerializer(serializers.Serializer[Any]):
    """One forecast step."""

    time = serializers.CharField(help_text="a date for fleets of daily or coarser frequency, else a UTC instant")
    yhat = serializers.FloatField(allow_null=True)
    lower = serializers.FloatField(allow_null=True)
    upper = serializers.FloatField(allow_null=True)


class ForecastSerializer(serializers.Serializer[Any]):
    """What the champion published last, and how old it is."""

    tenant = serializers.CharField()
    fleet = serializers.CharField()
    entity = serializers.CharField()
    version = serializers.UUIDField()
    number = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]  # the wire name, not DRF's own `label`
    digest = serializers.CharField(help_text="SHA-256 of the artifact that made it")
    frequency = serializers.CharField()
    unit = serializers.CharField()
    cutoff = serializers.CharField(help_text="last observation that it knew")
    published_at = serializers.DateTimeField()
    age_seconds = serializers.IntegerField(help_text="since it was published")
    points = PointSerializer(many=True)


class ChampionForecast(views.ApiView):
    """The forecast of a model's champion."""

    required = {"GET": "viewer"}

    @extend_schema(operation_id="forecast", parameters=[scope.TenantQuery], responses={200: ForecastSerializer})
    def get(self, request: Request, fleet: str, entity: str) -> Response:
        """Show the newest forecast of the champion, with an ETag; else `no_champion` or `no_forecast`."""
        parsing.query(request, scope.TenantQuery)
        model = scope.registered_model(request, fleet, entity)
        champion = scope.champion_of(model)
        newest = publishing.published(model)
        if newest is None:
            raise NoForecast(f"The champion of {model}, version {champion.number}, has published no forecast.")
        return views.conditional(request, written(model, champion, newest, now=clock.now()), apart_from=["age_seconds"])


def written(model: RegisteredModel, champion: ModelVersion, forecast: Forecast, *, now: datetime) -> dict[str, Any]:
    """Return the forecast as it goes over the wire, its times as the fleet counts them."""
    dated = has_dates(model.fleet)
    columns = zip(forecast.time, forecast.yhat, forecast.lower, forecast.upper, strict=True)
    return {
        "tenant": model.fleet.tenant,
        "fleet": model.fleet.name,
        "entity": model.entity_key,
        "version": str(champion.pk),
        "number": champion.number,
        "label": champion.label,
        "digest": champion.artifact_digest,
        "frequency": model.fleet.frequency,
        "unit": model.fleet.unit,
        "cutoff": _time(forecast.cutoff, dated=dated),
        "published_at": _time(forecast.published_at, dated=False),
        "age_seconds": max(0, int((now - forecast.published_at).total_seconds())),
        "points": [
            {"time": _time(time, dated=dated), "yhat": _finite(yhat), "lower": _finite(lower), "upper": _finite(upper)}
            for time, yhat, lower, upper in columns
        ],
    }


def has_dates(fleet: Fleet) -> bool:
    """Whether a step of the fleet is a day or longer, so that its stamps are dates; told without pandas."""
    parts = PART.findall(fleet.frequency)
    if not parts or any(alias not in SPANS for _, alias in parts):
        return True
    return sum(float(count or 1) * SPANS[alias] for count, alias in parts) >= DAY


def _time(instant: datetime, *, dated: bool) -> str:
    in_utc = instant.astimezone(UTC)
    return in_utc.date().isoformat() if dated else in_utc.isoformat().replace("+00:00", "Z")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
