"""Fields of strict input that several modules take. Refuses an instant that could mean several."""

from __future__ import annotations

import re
from datetime import datetime

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry import timestamps

# In a query `+` is a space, so that an offset arrives without its sign.
LOST_PLUS = re.compile(r".*T.* \d{2}:?\d{2}")
LONGEST = 40


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantField(serializers.Field[datetime, str, str, datetime]):
    """An instant: ISO 8601 with an offset, or a date, which is its midnight in UTC."""

    def to_internal_value(self, data: str) -> datetime:
        """Return the instant in UTC. Raises ValidationError saying how to write one."""
        text = str(data)[:LONGEST]
        if LOST_PLUS.fullmatch(text):
            raise serializers.ValidationError(f"{text!r} has lost the + of its offset: write %2B, or the time in UTC.")
        try:
            return timestamps.parse(text, zone="UTC" if len(text) == len("2026-03-01") else None)
        except timestamps.TimestampInvalid as error:
            raise serializers.ValidationError(str(error)) from error
