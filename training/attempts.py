"""Owns how often the reading of a version from elsewhere was tried in vain: one line of the ledger for each try.

What could not be read for want of time or memory may be sound, so it is tried again, later each time; what a trainer
read and refused is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Max

from registry import history
from registry.lifecycle import states
from registry.models import Event, ModelVersion

FAILED = "registry.version.reading_failed"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """How often a version was tried in vain, and when last."""

    times: int = 0
    last_at: datetime | None = None

    def is_due(self, *, now: datetime, retry_seconds: float) -> bool:
        """Return whether the next try may begin: so many seconds after the first one, twice as many after the next."""
        return self.last_at is None or now >= self.last_at + timedelta(seconds=retry_seconds * self.times)


def of(version_ids: Sequence[UUID]) -> dict[UUID, Tried]:
    """Return the tries of those versions that were tried in vain."""
    lines = Event.objects.filter(to_version__in=list(version_ids), kind=FAILED).order_by()
    counted = lines.values_list("to_version").annotate(Count("id"), Max("at"))
    return {version_id: Tried(times=times, last_at=last_at) for version_id, times, last_at in counted}


@transaction.atomic
def record(version: ModelVersion, *, actor: str, reason: str, at: datetime) -> None:
    """Put down that a version could not be read."""
    heads = history.lock([version.registered_model_id])
    line = history.Line(
        kind=FAILED,
        registered_model_id=version.registered_model_id,
        to_id=version.pk,
        actor=actor,
        cause=states.INSPECTION,
        reason=reason,
        fence=heads[version.registered_model_id].fence,
        at=at,
    )
    history.announce([line], heads=heads)
