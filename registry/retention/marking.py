"""Owns the periodic mark: through all fleets in several runs, each going on where the one before had to end.

What fails in one fleet, such as a policy that the database cannot read, is logged and does not keep the others waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from django.db import DatabaseError, connection

from registry import errors, retention, ticks
from registry.models import Fleet
from registry.retention import Marked
from registry.retention.selection import Scope

logger = logging.getLogger(__name__)

FLEET, MODEL = "retention-fleet", "retention"
"""Bookmarks: the fleet that is being marked, and the model of it behind which to go on."""


def go_on(*, actor: str, at: datetime) -> Iterator[Marked]:
    """Mark what no rule keeps, from where the last run ended to the last fleet; works as it is consumed."""
    reached, after = ticks.reached(FLEET), ticks.reached(MODEL)
    for fleet_id in Fleet.objects.filter(pk__gte=reached).order_by("pk").values_list("pk", flat=True):
        _keep(fleet_id, after if fleet_id == reached else 0, at=at)
        yield from _mark(fleet_id, actor=actor, at=at, after=after if fleet_id == reached else 0)
    _keep(0, 0, at=at)


def _mark(fleet_id: int, *, actor: str, at: datetime, after: int) -> Iterator[Marked]:
    try:
        for step in retention.mark(Scope(fleet_id=fleet_id), actor=actor, at=at, after=after):
            ticks.keep(MODEL, step.resume, at=at)
            yield step
    except (DatabaseError, errors.PerennialError):
        logger.exception("fleet %s could not be marked; the other fleets are", fleet_id)
        connection.close_if_unusable_or_obsolete()


def _keep(fleet_id: int, model_id: int, *, at: datetime) -> None:
    ticks.keep(FLEET, fleet_id, at=at)
    ticks.keep(MODEL, model_id, at=at)
