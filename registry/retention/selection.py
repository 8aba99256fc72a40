"""Owns which ready versions the retention policy of their fleet keeps, and why. Reads only, some models at a time.

The judgement is one statement over the versions of at most `MODELS_AT_ONCE` models, so that neither memory nor a
statement grows with the registry. A version that several rules keep counts under the first of `REASONS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from registry import conf, display
from registry.models import Fleet, RegisteredModel

MODELS_AT_ONCE = 1000
_KEPT = {
    "champion": "r.id = o.champion_id",
    "challenger": "r.id = o.challenger_id",
    "previous champion": "r.id = o.previous_champion_id",
    "anchor": "r.id = o.anchor_id",
    "held": """EXISTS (
        SELECT 1 FROM registry_hold AS h WHERE h.version_id = r.id AND (h.until IS NULL OR h.until > %(at)s)
    )""",
    "newest": "r.place <= o.keep",
    "recent champion": "r.promoted_at IS NOT NULL AND r.reign <= o.champions",
    "young": "r.created_at > o.young_since",
    "served": "r.promoted_at IS NOT NULL AND COALESCE(r.served_until, 'infinity') > o.served_since",
}
REASONS = tuple(_KEPT)
# Places in REASONS: numbers are grouped several times as quickly as words.
_CASES = " ".join(f"WHEN {condition} THEN {place}" for place, condition in enumerate(_KEPT.values()))


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is kept of each model of a fleet, besides what a pointer leads to or a hold keeps."""

    keep: int
    """The newest ready versions."""
    champions: int
    """The last ready versions that were champion, the present one counted."""
    younger_than_days: int
    served_within_days: int
    grace_days: int
    """Between mark and sweep."""

    @property
    def grace(self) -> timedelta:
        """Return how long a marked version waits."""
        return timedelta(days=self.grace_days)

    def __str__(self) -> str:
        """Return the policy in words."""
        rules = [f"keeps the newest {display.counted(self.keep, 'version')} of each model"]
        if self.champions:
            rules.append(f"its last {display.counted(self.champions, 'champion')}")
        if self.younger_than_days:
            rules.append(f"those younger than {display.counted(self.younger_than_days, 'day')}")
        if self.served_within_days:
            rules.append(f"those that served within {display.counted(self.served_within_days, 'day')}")
        return f"{', '.join(rules)}; {display.counted(self.grace_days, 'day')} of grace"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose versions are looked at: one fleet's, one model's, or (with neither) all."""

    fleet_id: int | None = None
    registered_model_id: int | None = None


class Key(NamedTuple):
    """A place in the order of candidates: by model, then by number."""

    registered_model_id: int = 0
    number: int = 0


START = Key()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A version that the policy does not keep."""

    id: UUID
    registered_model_id: int
    entity_key: str
    number: int
    label: str
    size: int
    """Bytes of its artifact."""
    created_at: datetime
    grace_days: int

    @property
    def key(self) -> Key:
        """Return its place in the order of candidates."""
        return Key(self.registered_model_id, self.number)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many versions of how many models, and the bytes of their artifacts."""

    models: int = 0
    versions: int = 0
    size: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            models=self.models + other.models, versions=self.versions + other.versions, size=self.size + other.size
        )


# A number below 0, which a form may have let through, keeps what 0 keeps.
_JUDGED = f"""
WITH owners AS MATERIALIZED (
    SELECT m.id, m.entity_key, m.champion_id, m.challenger_id, m.previous_champion_id, m.anchor_id,
           GREATEST(COALESCE((f.retention ->> 'keep')::int, %(keep)s), 0) AS keep,
           GREATEST(COALESCE((f.retention ->> 'champions')::int, %(champions)s), 0) AS champions,
           %(at)s - make_interval(
               days => GREATEST(COALESCE((f.retention ->> 'younger_than_days')::int, %(young)s), 0)) AS young_since,
           %(at)s - make_interval(
               days => GREATEST(COALESCE((f.retention ->> 'served_within_days')::int, %(served)s), 0)) AS served_since,
           GREATEST(COALESCE((f.retention ->> 'grace_days')::int, %(grace)s), 0) AS grace_days
    FROM registry_registeredmodel AS m JOIN registry_fleet AS f ON f.id = m.fleet_id
    WHERE m.id = ANY(%(models)s::bigint[])
), ready AS (
    SELECT v.id, v.registered_model_id, v.number, v.label, v.artifact_size, v.created_at, v.promoted_at, v.served_until,
           row_number() OVER (PARTITION BY v.registered_model_id ORDER BY v.number DESC) AS place,
           rank() OVER (PARTITION BY v.registered_model_id ORDER BY v.promoted_at DESC NULLS LAST) AS reign
    FROM registry_modelversion AS v
    WHERE v.registered_model_id = ANY(%(models)s::bigint[]) AND v.state = 'ready'
), judged AS (
    SELECT r.*, o.entity_key, o.grace_days, CASE {_CASES} ELSE -1 END AS reason
    FROM ready AS r JOIN owners AS o ON o.id = r.registered_model_id
)
"""
_TALLIES = f"""{_JUDGED}
SELECT reason, count(DISTINCT registered_model_id), count(*), COALESCE(sum(artifact_size), 0)::bigint
FROM judged GROUP BY 1
"""
_CANDIDATES = f"""{_JUDGED}
SELECT id, registered_model_id, entity_key, number, label, artifact_size, created_at, grace_days
FROM judged WHERE reason = -1 AND (registered_model_id, number) > (%(after_model)s, %(after_number)s)
ORDER BY registered_model_id, number LIMIT %(limit)s
"""
_FIELDS = ("id", "registered_model_id", "entity_key", "number", "label", "size", "created_at", "grace_days")


def policy_of(fleet: Fleet) -> Policy:
    """Return the policy in force: what the fleet says, and where it says nothing the installation's default."""
    own, default = fleet.retention, conf.current()
    return Policy(
        keep=_said(own.keep, default.keep_versions),
        champions=_said(own.champions, default.keep_champions),
        younger_than_days=_said(own.younger_than_days, default.younger_than_days),
        served_within_days=_said(own.served_within_days, default.served_within_days),
        grace_days=_said(own.grace_days, default.grace_days),
    )


def walk(scope: Scope, *, after: int = 0) -> Iterator[list[int]]:
    """Yield the ids of all models of a scope behind this one, in their order, `MODELS_AT_ONCE` at a time."""
    rows = RegisteredModel.objects.order_by("pk")
    if scope.fleet_id is not None:
        rows = rows.filter(fleet=scope.fleet_id)
    if scope.registered_model_id is not None:
        rows = rows.filter(pk=scope.registered_model_id)
    while ids := list(rows.filter(pk__gt=after).values_list("pk", flat=True)[:MODELS_AT_ONCE]):
        yield ids
        after = ids[-1]


def tallies(model_ids: Sequence[int], *, at: datetime) -> dict[str, Tally]:
    """Return how much each reason keeps of these models, and under the empty reason what none keeps."""
    rows = _run(_TALLIES, model_ids, at=at)
    return {
        REASONS[place] if place >= 0 else "": Tally(models=models, versions=versions, size=size)
        for place, models, versions, size in rows
    }


def among(model_ids: Sequence[int], *, at: datetime, after: Key = START, limit: int) -> list[Candidate]:
    """Return the first candidates of these models behind a place in their order."""
    further = {"after_model": after.registered_model_id, "after_number": after.number, "limit": limit}
    rows = _run(_CANDIDATES, model_ids, at=at, further=further)
    return [Candidate(**dict(zip(_FIELDS, row, strict=True))) for row in rows]


def candidates(scope: Scope, *, at: datetime, after: Key = START, limit: int) -> list[Candidate]:
    """Return the first candidates of a scope behind a place in their order; fewer than `limit` are the last."""
    found: list[Candidate] = []
    for ids in walk(scope, after=after.registered_model_id - 1):
        found += among(ids, at=at, after=after, limit=limit - len(found))
        if len(found) >= limit:
            break
    return found


def _run(
    statement: str, model_ids: Sequence[int], *, at: datetime, further: Mapping[str, Any] | None = None
) -> list[Any]:
    default = conf.current()
    values: dict[str, Any] = {
        "models": list(model_ids),
        "at": at,
        "keep": default.keep_versions,
        "champions": default.keep_champions,
        "young": default.younger_than_days,
        "served": default.served_within_days,
        "grace": default.grace_days,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, {**values, **(further or {})})
        rows: list[Any] = cursor.fetchall()
    return rows


def _said(own: int | None, default: int) -> int:
    return max(default if own is None else own, 0)
