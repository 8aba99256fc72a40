"""Owns who or what served when, as the ledger tells it: of one model over time, or of a whole fleet at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, Q, QuerySet, Subquery

from registry.history import CHAMPION_KINDS
from registry.models import Event, Fleet, RegisteredModel

_CHAMPIONS_AT = """
SELECT m.entity_key, v.id, v.number, v.label, v.state, e.at, later.at, e.actor, e.cause, e.reason, e.count
FROM registry_registeredmodel AS m
CROSS JOIN LATERAL (
    SELECT * FROM registry_event WHERE registered_model_id = m.id AND kind = ANY(%(kinds)s) AND at <= %(at)s
    ORDER BY count DESC LIMIT 1
) AS e
JOIN registry_modelversion AS v ON v.id = e.to_version_id
LEFT JOIN LATERAL (
    SELECT at FROM registry_event
    WHERE registered_model_id = m.id AND kind = ANY(%(kinds)s) AND count > e.count ORDER BY count LIMIT 1
) AS later ON true
WHERE m.fleet_id = %(fleet)s AND m.entity_key > %(after)s ORDER BY m.entity_key LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One stretch of time in which a version was champion: who made it so, and why."""

    entity: str
    version_id: UUID
    number: int
    label: str
    state: str
    """Of the version now."""
    since: datetime
    until: datetime | None
    """None while it serves."""
    actor: str
    cause: str
    reason: str
    count: int
    """The line of the model's ledger that began it."""


def periods(
    registered_model: RegisteredModel, *, since: datetime | None = None, until: datetime | None = None
) -> QuerySet[Any]:
    """Return the lines that made a champion, each with `ended_at`, that overlap the time from `since` up to `until`.

    Unordered: the caller pages by `count`. `served` reads one.
    """
    moves = Event.objects.filter(registered_model=registered_model, kind__in=CHAMPION_KINDS)
    following = Event.objects.filter(
        registered_model=OuterRef("registered_model"), kind__in=CHAMPION_KINDS, count__gt=OuterRef("count")
    )
    rows = moves.annotate(ended_at=Subquery(following.order_by("count").values("at")[:1]))
    if since is not None:
        rows = rows.filter(Q(ended_at=None) | Q(ended_at__gt=since))
    if until is not None:
        rows = rows.filter(at__lt=until)
    return rows.select_related("to_version", "registered_model")


def served(line: Any) -> Served:
    """Return a line of `periods` as what it tells."""
    version = line.to_version
    return Served(
        entity=line.registered_model.entity_key,
        version_id=version.pk,
        number=version.number,
        label=version.label,
        state=version.state,
        since=line.at,
        until=line.ended_at,
        actor=line.actor,
        cause=line.cause,
        reason=line.reason,
        count=line.count,
    )


def champions_at(fleet: Fleet, at: datetime, *, limit: int, after: str = "") -> list[Served]:
    """Return who served at that instant for each entity of a fleet after `after`, by entity, in one statement.

    A model that had no champion then is left out.
    """
    values: Mapping[str, Any] = {
        "kinds": list(CHAMPION_KINDS), "at": at, "fleet": fleet.pk, "after": after, "limit": limit,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_CHAMPIONS_AT, values)
        rows = cursor.fetchall()
    names = ("entity", "version_id", "number", "label", "state", "since", "until", "actor", "cause", "reason", "count")
    return [Served(**dict(zip(names, row, strict=True))) for row in rows]
