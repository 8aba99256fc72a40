"""Fields of strict input that several modules take. Refuses an instant that could mean several."""

from __future__ import annotations

from datetime import datetime

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry import timestamps


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantField(serializers.Field[datetime, str, str, datetime]):
    """An instant: ISO 8601 with an offset, or a date, which is its midnight in UTC."""

    def to_internal_value(self, data: str) -> datetime:
        """Return the instant in UTC. Raises ValidationError saying how to write one."""
        if not isinstance(data, str):
            raise serializers.ValidationError("An instant is a text, such as 2026-03-01T18:30:00Z.")
        try:
            return timestamps.instant(data)
        except timestamps.TimestampInvalid as error:
            raise serializers.ValidationError(str(error)) from error
