"""Reads the runs of a claim for the worker: in three statements however many, with what carrying them out looks at.

Batch, fleet and policies are one object each for all runs. Of run, model and versions only the columns below are read;
any other would be a query of its own when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model

from registry import rows
from registry.models import ModelVersion, RegisteredModel
from training import chunks
from training.models import Batch, RetrainingPolicy, TrainingRun

SHOWN_RUNS = 16
"""Of a batch that have ended show what the others take."""


class _Part:
    """Some columns of a table, in its own order: that in which `from_db` takes their values."""

    def __init__(self, table: type[Model], *, alias: str, names: Sequence[str]) -> None:
        fields: list[Any] = [field for field in table._meta.concrete_fields if field.attname in names]
        self._table = table
        self.names = [field.attname for field in fields]
        self.columns = ", ".join(f"{alias}.{field.column}" for field in fields)
        self._converted = [
            (place, field.from_db_value) for place, field in enumerate(fields) if hasattr(field, "from_db_value")
        ]

    def made(self, values: Sequence[Any]) -> Any:
        """Return the object of these values, None where there is no row."""
        if values[0] is None:
            return None
        read = list(values)
        for place, convert in self._converted:
            read[place] = convert(read[place], None, connection)
        return self._table.from_db(DEFAULT_DB_ALIAS, self.names, read)


_RUN = _Part(
    TrainingRun,
    alias="r",
    names=(
        *("id", "kind", "registered_model_id", "batch_id", "chunk_id", "policy_id", "queue", "state", "phase"),
        *("percent", "attempt", "losses", "fence", "version_id", "requested_at"),
    ),
)
_MODEL = _Part(
    RegisteredModel,
    alias="m",
    names=("id", "fleet_id", "entity_key", "state", "champion_id", "challenger_id", "anchor_id", "fence", "tags"),
)
# Those of a stored forecaster and its recipe; what the artifact's bytes are checked against is among them.
_OF_VERSION = (
    *("id", "registered_model_id", "fleet_id", "number", "label", "state", "trainer", "params", "data_start"),
    *("train_end", "fit_end", "rows", "features", "snapshot_digest", "seed", "refitted", "artifact_digest"),
    *("artifact_size", "artifact_format", "artifact_key_id", "artifact_signature", "artifact_container"),
    *("artifact_offset", "created_at"),
)
_CHAMPION = _Part(ModelVersion, alias="c", names=_OF_VERSION)
_VERSION = _Part(ModelVersion, alias="v", names=_OF_VERSION)
_PARTS = (_RUN, _MODEL, _CHAMPION, _VERSION)


def runs(claim: chunks.Claim, *, only: Sequence[UUID] | None = None) -> list[TrainingRun]:
    """Return the runs that a claim has yet to carry out, all or some, in the order of their entities."""
    found = rows.found(_RUNS, [claim.chunk_id, claim.fence, only is None, list(only or ())])
    if not found:
        return []
    batch = Batch.objects.select_related("fleet", "policy__source").get(chunks=claim.chunk_id)
    place = _RUN.names.index("policy_id")
    policies = RetrainingPolicy.objects.select_related("source").in_bulk({row[place] for row in found} - {None})
    return [_run(row, batch, policies) for row in found]


def ids(claim: chunks.Claim) -> list[UUID]:
    """Return the ids of these runs alone."""
    return [run_id for (run_id,) in rows.found(_IDS, [claim.chunk_id, claim.fence])]


class Pace(NamedTuple):
    """What one run of a chunk is expected to take."""

    seconds: float | None
    """None: nothing is known."""
    shown: bool = False
    """Whether runs of the same batch and policy took it: this recipe on these data."""


def pace(claim: chunks.Claim) -> Pace:
    """Return what the runs of a chunk are expected to take."""
    [(expected, ended, seconds)] = rows.found(_PACE, [claim.chunk_id])
    return Pace(seconds / ended, shown=True) if ended >= SHOWN_RUNS else Pace(expected)


def _run(row: Sequence[Any], batch: Batch, policies: dict[int, RetrainingPolicy]) -> TrainingRun:
    run, model, champion, version = (part.made(row[start:end]) for part, (start, end) in _SPANS)
    _attach(model, fleet=batch.fleet, champion=champion)
    _attach(run, registered_model=model, batch=batch, policy=policies.get(run.policy_id), version=version)
    for each in (champion, version):
        if each is not None:
            _attach(each, registered_model=model, fleet=batch.fleet)
    made: TrainingRun = run
    return made


def _attach(row: Model, **related: Model | None) -> None:
    """Give a row the objects that its foreign keys name, as select_related does."""
    for name, other in related.items():
        row._state.fields_cache[name] = other


def _spans() -> list[tuple[_Part, tuple[int, int]]]:
    ends = [sum(len(part.names) for part in _PARTS[: place + 1]) for place in range(len(_PARTS))]
    return [(part, (end - len(part.names), end)) for part, end in zip(_PARTS, ends, strict=True)]


_SPANS = _spans()
_MINE = "r.chunk_id = %s::bigint AND r.fence = %s::bigint AND r.state = 'running'"
_RUNS = f"""
SELECT {", ".join(part.columns for part in _PARTS)}
FROM training_trainingrun AS r JOIN registry_registeredmodel AS m ON m.id = r.registered_model_id
LEFT JOIN registry_modelversion AS c ON c.id = m.champion_id LEFT JOIN registry_modelversion AS v ON v.id = r.version_id
WHERE {_MINE} AND (%s::bool OR r.id = ANY(%s::uuid[])) ORDER BY m.entity_key COLLATE "C"
"""
_PACE = """
SELECT c.expected_seconds / nullif(c.size, 0), shown.ended::int, shown.seconds FROM training_chunk AS c
CROSS JOIN LATERAL (
    SELECT coalesce(sum(o.ended), 0) AS ended, coalesce(sum(o.seconds), 0) AS seconds FROM training_chunk AS o
    WHERE o.batch_id = c.batch_id AND o.policy_id IS NOT DISTINCT FROM c.policy_id
) AS shown WHERE c.id = %s::bigint
"""
_IDS = f"""
SELECT r.id FROM training_trainingrun AS r JOIN registry_registeredmodel AS m ON m.id = r.registered_model_id
WHERE {_MINE} ORDER BY m.entity_key COLLATE "C"
"""
