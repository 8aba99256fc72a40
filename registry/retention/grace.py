"""Owns what was marked and waits to be swept: how much, until when, what is due, and what its sweep would free.

Reads only. Due is what is overdue and neither pointed to nor held; `registry.lifecycle` looks again when it forgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from registry import deadlines
from registry.deadlines import Deadline

PAGE = 2000

_GOES = """
{v}.state = 'archived' AND {v}.sweep_after <= %(at)s AND NOT EXISTS (
    SELECT 1 FROM registry_registeredmodel AS m WHERE m.id = {v}.registered_model_id
    AND {v}.id IN (m.champion_id, m.challenger_id, m.anchor_id, m.previous_champion_id)
) AND NOT EXISTS (
    SELECT 1 FROM registry_hold AS h WHERE h.version_id = {v}.id AND (h.until IS NULL OR h.until > %(at)s)
)
"""
_WAITING = """
SELECT count(*), COALESCE(sum(artifact_size), 0)::bigint, min(sweep_after), max(sweep_after) FROM (
    SELECT artifact_size, sweep_after FROM registry_modelversion
    WHERE fleet_id = %s AND state = 'archived' AND sweep_after > %s ORDER BY sweep_after, id LIMIT %s
) AS first
"""
# Each page reads its own rows of an index alone: `version_to_sweep`, and `version_to_sweep_of_fleet` for one fleet.
_DUE = f"""
SELECT v.sweep_after, v.id FROM registry_modelversion AS v
WHERE {_GOES.format(v="v")} AND (v.sweep_after, v.id) > (%(after)s, %(after_id)s) {{of_fleet}}
ORDER BY v.sweep_after, v.id LIMIT %(limit)s
"""
_DUE_OF_ALL, _DUE_OF_FLEET = _DUE.format(of_fleet=""), _DUE.format(of_fleet="AND v.fleet_id = %(fleet)s")
# Bytes that several versions share count with the first of those that go, and only where none stays that needs them.
_FREED = f"""
SELECT COALESCE(sum(v.artifact_size), 0)::bigint FROM registry_modelversion AS v
WHERE v.id = ANY(%(ids)s::uuid[]) AND NOT EXISTS (
    SELECT 1 FROM registry_modelversion AS w
    WHERE w.artifact_digest = v.artifact_digest AND w.id <> v.id AND w.state <> 'deleted'
    AND ((w.sweep_after, w.id) < (v.sweep_after, v.id) OR NOT COALESCE({_GOES.format(v="w")}, false))
)
"""
_OVERDUE = f"""
SELECT count(*), COALESCE(sum(artifact_size), 0)::bigint FROM (
    SELECT v.artifact_size FROM registry_modelversion AS v
    WHERE v.fleet_id = %(fleet)s AND {_GOES.format(v="v")} ORDER BY v.sweep_after, v.id LIMIT %(most)s
) AS first
"""


class Place(NamedTuple):
    """A place in the order in which versions become due."""

    sweep_after: datetime | str
    id: UUID


FIRST = Place("-infinity", UUID(int=0))


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Marked versions whose grace is not over."""

    versions: int
    size: int
    """Bytes of their artifacts."""
    first_at: datetime | None
    """When the first of them may be swept."""
    last_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Due:
    """What the next sweep takes."""

    versions: int = 0
    freed: int = 0
    """Bytes that no other version needs. Those of a container are given back once most of it is unneeded."""
    is_whole: bool = True
    """Whether there was time for all of them."""


def waiting(fleet_id: int, *, at: datetime, most: int | None = None) -> Waiting:
    """Return what of a fleet is marked and not yet due; the first of it, where `most` bounds what is read."""
    [[versions, size, first, last]] = _run(_WAITING, [fleet_id, at, most])
    return Waiting(versions=versions, size=size, first_at=first, last_at=last)


def page(*, at: datetime, fleet_id: int | None = None, after: Place = FIRST, limit: int | None = None) -> list[Place]:
    """Return the next versions that are due, of a fleet or of all, those that wait longest first."""
    values = {"at": at, "fleet": fleet_id, "after": after.sweep_after, "after_id": after.id, "limit": limit or PAGE}
    return [Place(*row) for row in _run(_DUE_OF_ALL if fleet_id is None else _DUE_OF_FLEET, values)]


def due(fleet_id: int, *, at: datetime, until: Deadline = deadlines.NEVER) -> Due:
    """Return what of a fleet is due, and what its sweep would free; what comes first where time ends it."""
    found = Due()
    after = FIRST
    while places := page(at=at, fleet_id=fleet_id, after=after):
        if found.versions and until.is_over:
            return replace(found, is_whole=False)
        after = places[-1]
        freed = _freed([each.id for each in places], at=at)
        found = Due(versions=found.versions + len(places), freed=found.freed + freed)
    return found


def overdue(fleet_id: int, *, at: datetime, most: int) -> tuple[int, int]:
    """Return how many versions of a fleet are due, at most `most`, and the bytes of their artifacts, shared or not."""
    [[versions, size]] = _run(_OVERDUE, {"fleet": fleet_id, "at": at, "most": most})
    return versions, size


def _freed(version_ids: Sequence[UUID], *, at: datetime) -> int:
    [[size]] = _run(_FREED, {"ids": list(version_ids), "at": at})
    return int(size)


def _run(statement: str, values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[Any] = cursor.fetchall()
    return rows
