"""Writes the runs of a batch, a page of models at a time, in plain statements: queued, or skipped with the reason.

A run that meets an open one is skipped and hands its reason to it. Enqueues nothing, forms no chunk.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from registry import identifiers, rows
from registry.models import Fleet, RegisteredModel
from training import chunks, conf, policies
from training.models import Batch, RetrainingPolicy, TrainingRun
from training.policy_terms import RunDetails


class Listed(NamedTuple):
    """What is read of a model to give it a run."""

    id: int
    entity_key: str
    tags: list[str]
    state: str
    champion_id: UUID | None


Governed = Iterable[tuple[Listed, RetrainingPolicy]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A run to be written; with a code it is skipped at once."""

    id: UUID
    model: Listed
    policy_id: int
    not_before: datetime | None
    version_id: UUID | None
    code: str = ""
    sentence: str = ""
    next_step: str = ""
    joined_id: UUID | None = None


def listed(model: RegisteredModel) -> Listed:
    """Return what a run needs to know of a model."""
    return Listed(model.pk, model.entity_key, model.tags, model.state, model.champion_id)


def page(fleet: Fleet, *, after: str = "", limit: int) -> list[Listed]:
    """Return the next models of a fleet that are not retired, in the order of their entities."""
    return [Listed(*row) for row in rows.found(_PAGE, [fleet.pk, after, limit])]


def named(fleet: Fleet, entities: Sequence[str]) -> list[Listed]:
    """Return those of these models that are there and not retired, in the order of their entities."""
    return [Listed(*row) for row in rows.found(_NAMED, [fleet.pk, list(entities)])]


def go_on(batch: Batch, *, at: datetime) -> None:
    """Write the runs of the next page of models of a whole fleet, and note how far the batch has come.

    The note commits with the runs: whoever goes on after a crash leaves no model out and gives none two.
    Raises what `policies.govern` raises.
    """
    limit = conf.current().list_runs
    some = page(batch.fleet, after=batch.listed_to, limit=limit)
    add(batch, policies.govern(batch.fleet, some, batch.policy), at=at)
    batch.listed = len(some) < limit
    batch.listed_to = some[-1].entity_key if some else batch.listed_to
    batch.save(update_fields=["listed", "listed_to"])


def add(batch: Batch, governed: Governed, *, at: datetime) -> None:
    """Write runs: queued, or skipped where the model is paused, has no champion to evaluate or has an open run.

    Call it in a transaction, with a few thousand models at a time in the order of their entities: of two that write
    the same models at once, one waits for the other.
    """
    wanted = [_row(batch, model, policy) for model, policy in governed]
    _write(_SKIPPED, batch, [row for row in wanted if row.code], at=at)
    fresh = [row for row in wanted if not row.code]
    written = {run_id for (run_id,) in _write(_QUEUED, batch, fresh, at=at)}
    _join(batch, [row for row in fresh if row.id not in written], at=at)


def _row(batch: Batch, model: Listed, policy: RetrainingPolicy) -> _Row:
    evaluates = batch.kind == TrainingRun.Kind.EVALUATE
    code, sentence, next_step = "", "", ""
    if batch.fleet.paused or model.state == RegisteredModel.State.PAUSED:
        code, sentence, next_step = "paused", f"{_name(batch, model)} is paused.", "Resume it, then ask again."
    elif evaluates and model.champion_id is None:
        sentence = f"{_name(batch, model)} has no champion to evaluate."
        code, next_step = "no_champion", "Retrain it first."
    return _Row(
        id=identifiers.uuid7(),
        model=model,
        policy_id=policy.pk,
        not_before=_not_before(batch, model, policy),
        version_id=model.champion_id if evaluates else None,
        code=code,
        sentence=sentence,
        next_step=next_step,
    )


def _name(batch: Batch, model: Listed) -> str:
    return f"{batch.fleet.name}/{model.entity_key}"


def _not_before(batch: Batch, model: Listed, policy: RetrainingPolicy) -> datetime | None:
    # The delay hangs on the name alone, so that an entity is always as late as yesterday.
    if batch.slot is None or not policy.jitter_seconds:
        return None
    return batch.slot + timedelta(seconds=zlib.crc32(model.entity_key.encode()) % policy.jitter_seconds)


def _join(batch: Batch, refused: Sequence[_Row], *, at: datetime) -> None:
    """Write rows for the runs that met an open one, and hand their reason to it."""
    if not refused:
        return
    met = {model_id: (run_id, state) for model_id, run_id, state in rows.found(_OPEN, [_models(refused)])}
    _write(_SKIPPED, batch, [_joined(batch, row, met.get(row.model.id)) for row in refused], at=at)
    rows.found(_HAND_OVER, [[run_id for run_id, _ in met.values()], json.dumps([asdict(batch.reason)])])


def _joined(batch: Batch, row: _Row, opener: tuple[UUID, str] | None) -> _Row:
    met_words = f"run {opener[0]}, which is {opener[1]}" if opener else "a run that has just ended"
    return _Row(
        id=row.id,
        model=row.model,
        policy_id=row.policy_id,
        not_before=row.not_before,
        version_id=row.version_id,
        code="locked" if batch.queue == chunks.INLINE else "joined",
        sentence=f"{_name(batch, row.model)} already has {met_words}.",
        next_step="Follow that run.",
        joined_id=opener[0] if opener else None,
    )


def _models(some: Sequence[_Row]) -> list[int]:
    return [row.model.id for row in some]


def _write(statement: str, batch: Batch, some: Sequence[_Row], *, at: datetime) -> list[tuple[UUID]]:
    """Write rows in one statement and return the ids of those that were written."""
    if not some:
        return []
    columns = [
        [row.id for row in some],
        _models(some),
        [row.policy_id for row in some],
        [row.not_before for row in some],
        [row.version_id for row in some],
        [row.code for row in some],
        [row.sentence for row in some],
        [row.next_step for row in some],
        [row.joined_id for row in some],
    ]
    return [(run_id,) for (run_id,) in rows.found(statement, [*_shared(batch, at), *columns])]


def _shared(batch: Batch, at: datetime) -> list[object]:
    """Return what all runs of a batch begin with."""
    reasons, details = (json.dumps(asdict(each)) for each in (batch.reason, RunDetails()))
    return [str(batch.kind), batch.pk, f"[{reasons}]", details, batch.queue, at]


_READ = "SELECT id, entity_key, tags, state, champion_id FROM registry_registeredmodel"
_PAGE = f"""
{_READ} WHERE fleet_id = %s::bigint AND entity_key > %s::text AND state <> 'retired'
ORDER BY entity_key LIMIT %s::int
"""
_NAMED = f"""
{_READ} WHERE fleet_id = %s::bigint AND entity_key = ANY(%s::text[]) AND state <> 'retired' ORDER BY entity_key
"""
_WRITE = """
INSERT INTO training_trainingrun (kind, batch_id, reasons, details, queue, requested_at, state, finished_at, phase,
    percent, attempt, losses, fence, verdict, id, registered_model_id, policy_id, not_before, version_id, code,
    sentence, next_step, joined_id)
SELECT shared.kind, shared.batch, shared.reasons, shared.details, shared.queue, shared.at, {state}, {finished}, '',
    0, 0, 0, 0, '', given.*
FROM (SELECT %s::text, %s::uuid, %s::jsonb, %s::jsonb, %s::text, %s::timestamptz)
    AS shared(kind, batch, reasons, details, queue, at),
    unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::uuid[], %s::text[], %s::text[], %s::text[],
    %s::uuid[]) AS given
{conflict} RETURNING id
"""
# The one constraint that such a row can meet is that of one open run for a model.
_QUEUED = _WRITE.format(
    state="'queued'",
    finished="NULL",
    conflict="ON CONFLICT DO NOTHING",
)
_SKIPPED = _WRITE.format(state="'skipped'", finished="shared.at", conflict="")
_OPEN = """
SELECT registered_model_id, id, state FROM training_trainingrun
WHERE registered_model_id = ANY(%s::bigint[]) AND state IN ('queued', 'dispatched', 'running')
"""
# In the order of their ids, as everybody locks several runs.
_HAND_OVER = """
WITH held AS (SELECT id FROM training_trainingrun WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE training_trainingrun AS r SET reasons = r.reasons || %s::jsonb FROM held
WHERE r.id = held.id AND r.state IN ('queued', 'dispatched', 'running') RETURNING r.id
"""
