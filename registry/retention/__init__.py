"""Owns pruning: what the policy would mark, and the mark itself.

Marking archives, so `registry.holding.restore` undoes it until the sweep (`registry.retention.sweeping`). Refuses to
touch what a pointer leads to or a hold keeps, also where pointer or hold came after the selection: the lifecycle looks
again under the model's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from registry import deadlines, errors, lifecycle
from registry.deadlines import Deadline
from registry.lifecycle import states
from registry.models import Fleet
from registry.retention import grace, selection
from registry.retention.selection import START, Candidate, Key, Policy, Scope, Tally

CAUSE = "retention"
MARKED_AT_ONCE = 500
LAST_NUMBER = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What pruning a fleet now would do, and what earlier marks still will."""

    policy: Policy
    marked: Tally
    """What the next mark would take."""
    kept: Mapping[str, Tally]
    """What stays, by the first reason of `selection.REASONS` that keeps it."""
    waiting: grace.Waiting
    due: grace.Due
    looked_at: int
    """Models."""
    is_whole: bool
    """Whether all models of the fleet and all that is due were looked at, or time ended it before."""


@dataclass(frozen=True, kw_only=True)
class Marked:
    """What one step of a mark did."""

    versions: tuple[Candidate, ...] = ()
    refused: Mapping[UUID, errors.PerennialError] = field(default_factory=dict)
    following: Key | None
    """The place behind which to go on; None where nothing is left."""

    @property
    def resume(self) -> int:
        """Return the model behind which `mark` goes on after it was stopped here."""
        model_id, number = self.following or START
        return model_id if number == LAST_NUMBER else model_id - 1


def preview(fleet: Fleet, *, at: datetime, until: Deadline = deadlines.NEVER) -> Preview:
    """Return what pruning this fleet would do, changing nothing; of its first models where time ends it."""
    found: dict[str, Tally] = {}
    looked_at, is_whole = 0, True
    for ids in selection.walk(Scope(fleet_id=fleet.pk)):
        if looked_at and until.is_over:
            is_whole = False
            break
        for reason, tally in selection.tallies(ids, at=at).items():
            found[reason] = found.get(reason, Tally()) + tally
        looked_at += len(ids)
    due = grace.due(fleet.pk, at=at, until=until)
    return Preview(
        policy=selection.policy_of(fleet),
        marked=found.pop("", Tally()),
        kept={reason: found[reason] for reason in selection.REASONS if reason in found},
        waiting=grace.waiting(fleet.pk, at=at),
        due=due,
        looked_at=looked_at,
        is_whole=is_whole and due.is_whole,
    )


def mark(scope: Scope, *, actor: str, at: datetime, reason: str = "", after: int = 0) -> Iterator[Marked]:
    """Mark what no rule keeps, model by model behind `after`; works as it is consumed, a transaction for each step.

    Every version that was marked appears in one step. A step comes at least once for each `selection.MODELS_AT_ONCE`
    models, so that the caller can stop in time and go on later. Without a reason
    the event names the policy.
    """
    for ids in selection.walk(scope, after=after):
        key = START
        while found := selection.among(ids, at=at, after=key, limit=MARKED_AT_ONCE):
            key = found[-1].key
            yield _archive(found, actor=actor, reason=reason, at=at, following=key)
        yield Marked(following=Key(ids[-1], LAST_NUMBER))


def mark_page(scope: Scope, *, actor: str, at: datetime, reason: str, after: Key = START, limit: int) -> Marked:
    """Mark the first candidates of a scope behind a place; `following` says whether there may be more."""
    found = selection.candidates(scope, at=at, after=after, limit=limit)
    return _archive(found, actor=actor, reason=reason, at=at, following=found[-1].key if len(found) == limit else None)


def _archive(found: Sequence[Candidate], *, actor: str, reason: str, at: datetime, following: Key | None) -> Marked:
    """Archive candidates, those of each grace in one call."""
    changed: set[UUID] = set()
    refused: dict[UUID, errors.PerennialError] = {}
    for days, group in groupby(sorted(found, key=attrgetter("grace_days")), key=attrgetter("grace_days")):
        policy = Policy(keep=0, champions=0, younger_than_days=0, served_within_days=0, grace_days=days)
        outcome = lifecycle.archive(
            [each.id for each in group],
            actor=actor,
            reason=reason or "No rule of the retention policy keeps it.",
            at=at,
            cause=CAUSE,
            sweep_after=at + policy.grace,
            spared=states.SPARED,
        )
        changed |= outcome.changed
        refused |= outcome.refused
    marked = tuple(each for each in found if each.id in changed)
    return Marked(versions=marked, refused=refused, following=following)
