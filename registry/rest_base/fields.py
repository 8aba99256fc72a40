"""Fields of strict input that several modules take. Refuses an instant that could mean several or has not come."""

from __future__ import annotations

from datetime import datetime, timedelta

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry import timestamps

# A caller who asks for its present has a clock of its own.
CLOCKS_APART = timedelta(minutes=1)


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


class PastField(InstantField):
    """An instant of which the ledger can know: nobody has served at one that has not come."""

    def to_internal_value(self, data: str) -> datetime:
        """Return the instant in UTC. Raises ValidationError for one in the future, saying what time it is here."""
        at, now = super().to_internal_value(data), timestamps.utc_now()
        if at > now + CLOCKS_APART:
            raise serializers.ValidationError(
                f"This is in the future: it is {timestamps.readable(now, seconds=True)} here. "
                "Leave it out to ask for now."
            )
        return at
