"""Owns the compare-and-set statements over the pointers of many models at once; `registry.lifecycle` alone calls them.

Each expects that the models are locked. One statement moves all: what it returns was placed, what it leaves out had
been overtaken, is not ready, has not the bytes that were verified, is not of that model, or would change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from registry import errors, rows
from registry.reports import GateReport


@dataclass(frozen=True, kw_only=True)
class Move:
    """One pointer of one model to one version, if the pointer still is what was expected."""

    registered_model_id: int
    version_id: UUID
    expected_id: UUID | None
    report: GateReport | None = None
    reason: str = ""
    anchors: bool = False
    """Whether its recipe becomes the anchor of the ratchet: it is better than the present one."""
    back: bool = False
    """Whether it goes back to an earlier champion, before which `before_id` served."""
    before_id: UUID | None = None
    digest: str | None = None
    """The SHA-256 of the bytes that were verified; None where nobody verified them for this move."""


# The arrays are one table of moves. A version joins only if it is ready and of that very model: under the model's lock
# its state cannot change, because whoever changes it takes that lock first.
_MOVES = """
FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[], %s::boolean[], %s::boolean[], %s::uuid[], %s::text[])
  AS move(model_id, version_id, expected_id, anchors, back, before_id, digest)
JOIN registry_modelversion AS v
  ON v.id = move.version_id AND v.registered_model_id = move.model_id AND v.state = 'ready'
  AND (move.digest IS NULL OR move.digest = v.artifact_digest)
WHERE m.id = move.model_id
"""
# Times are those that the ledger will give to the move: never before the line before it.
_SET_CHAMPION = f"""
WITH moved AS (
    UPDATE registry_registeredmodel AS m
    SET champion_id = v.id, challenger_id = NULLIF(m.challenger_id, v.id), fence = m.fence + 1,
        previous_champion_id = CASE WHEN move.back THEN move.before_id ELSE m.champion_id END,
        anchor_id = CASE WHEN move.anchors OR m.anchor_id IS NULL THEN v.id ELSE m.anchor_id END
    {_MOVES} AND m.champion_id IS NOT DISTINCT FROM move.expected_id AND m.champion_id IS DISTINCT FROM v.id
    RETURNING v.id, m.fence, move.expected_id AS left_id, GREATEST(%s, m.ledger_at) AS at
), risen AS (
    UPDATE registry_modelversion AS v SET promoted_at = moved.at, served_until = NULL FROM moved WHERE v.id = moved.id
), gone AS (
    UPDATE registry_modelversion AS v SET served_until = moved.at FROM moved WHERE v.id = moved.left_id
)
SELECT id, fence FROM moved
"""
_SET_CHALLENGER = f"""
UPDATE registry_registeredmodel AS m SET challenger_id = v.id, fence = m.fence + 1
{_MOVES} AND m.challenger_id IS NOT DISTINCT FROM move.expected_id AND m.challenger_id IS DISTINCT FROM v.id
AND m.champion_id IS DISTINCT FROM v.id
RETURNING v.id, m.fence
"""
_WITHDRAW = f"""
UPDATE registry_registeredmodel AS m
SET challenger_id = NULLIF(m.challenger_id, v.id), fence = m.fence + (m.challenger_id IS NOT DISTINCT FROM v.id)::int
{_MOVES} AND m.champion_id IS DISTINCT FROM v.id
RETURNING v.id, m.fence
"""


def set_champions(moves: Sequence[Move], *, at: datetime) -> dict[UUID, int]:
    """Make versions champion; return the new fence of each that was placed. A model's first champion is its anchor.

    Notes on both versions when the one began and the other ceased to serve, and on the model where a roll back goes.
    """
    return _run(_SET_CHAMPION, moves, at)


def set_challengers(moves: Sequence[Move]) -> dict[UUID, int]:
    """Make versions challenger; return the new fence of each that was placed. A champion cannot challenge itself."""
    return _run(_SET_CHALLENGER, moves)


def withdraw(moves: Sequence[Move]) -> dict[UUID, int]:
    """Take versions off the challenger's place where they hold it; return the fence of each that is not champion."""
    return _run(_WITHDRAW, moves)


def _run(statement: str, moves: Sequence[Move], *further: Any) -> dict[UUID, int]:
    # With two moves of one model the statement would take either.
    if len({move.registered_model_id for move in moves}) != len(moves):
        raise errors.Invalid("One call can move the pointer of a model once.", next_step="Make two calls.")
    if not moves:
        return {}
    columns: list[Any] = [
        [move.registered_model_id for move in moves],
        [move.version_id for move in moves],
        [move.expected_id for move in moves],
        [move.anchors for move in moves],
        [move.back for move in moves],
        [move.before_id for move in moves],
        [move.digest for move in moves],
    ]
    return dict(rows.found(statement, [*columns, *further]))
