"""Owns how the state of versions changes: set-based, with what is needed spared; `registry.lifecycle` alone calls it.

One statement changes all, under the locks of their models and with the events in the same transaction; what it leaves
out gets the reason why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from registry import errors, history, reasons
from registry.lifecycle import admission
from registry.lifecycle.soundness import Verified
from registry.lifecycle.succession import VersionUnknown
from registry.models import POINTERS, Hold, ModelVersion

State = ModelVersion.State
SPARED = (*POINTERS, "previous_champion")
"""What keeps a version from being let go."""


class VersionInUse(errors.Conflict):
    """A pointer of its model leads to the version."""

    code = "version_in_use"
    next_step = "Move the pointer first: promote another version or roll back."


class VersionHeld(errors.Conflict):
    """Somebody needs the version kept."""

    code = "version_held"
    next_step = "Lift the hold, or wait until it ends."


class VersionNotDue(errors.Conflict):
    """Retention does not let the version go, or not yet: somebody took it back, or archived it to stay."""

    code = "version_not_due"
    next_step = "Nothing is to be done: the next sweep looks again."


class StateForbids(errors.Conflict):
    """A version of that state cannot be changed so."""

    code = "version_state_forbids"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of state: its event, from which states to which, what is spared, until when an archived one waits."""

    kind: str
    to: State
    since: frozenset[State]
    spared: tuple[str, ...] = ()
    """Pointers whose versions stay as they are; with any of them, versions under a hold stay too."""
    sweep_after: datetime | None = None
    due: bool = False
    """Whether only those change whose grace is over at that moment, whatever was read of them before."""


ARCHIVE = Change(
    kind="registry.version.archived",
    to=State.ARCHIVED,
    since=frozenset({State.READY}),
    spared=POINTERS,
)
RESTORE = Change(kind=admission.RESTORED, to=State.READY, since=frozenset({State.ARCHIVED}))
QUARANTINE = Change(kind=admission.QUARANTINED, to=State.QUARANTINED, since=frozenset({State.READY, State.ARCHIVED}))
# What came from elsewhere waits as pending and leaves that state by these two alone.
ADMIT = Change(kind=admission.ADMITTED, to=State.READY, since=frozenset({State.PENDING}))
TURN_AWAY = Change(kind=QUARANTINE.kind, to=State.QUARANTINED, since=frozenset({State.PENDING}))
RELEASE = Change(kind=admission.RELEASED, to=State.READY, since=frozenset({State.QUARANTINED}))
# Back from the second store; archived, so that its bytes are verified once more before it can serve.
BRING_BACK = Change(kind="registry.version.brought_back", to=State.ARCHIVED, since=frozenset({State.DELETED}))
FORGET = Change(
    kind="registry.version.forgotten",
    to=State.DELETED,
    since=frozenset({State.ARCHIVED, State.QUARANTINED}),
    spared=SPARED,
)
# By retention: what was restored, or archived to stay, since it was found due is left.
SWEEP = replace(FORGET, since=frozenset({State.ARCHIVED}), due=True)
BY_NAME = {
    "archive": ARCHIVE, "restore": RESTORE, "quarantine": QUARANTINE, "release": RELEASE, "forget": FORGET,
}  # fmt: skip
"""What people ask for by hand."""

_WAYS: Mapping[str, str] = {
    "champion": "Promote another version first, or roll back.",
    "challenger": "Promote it, or let a retraining nominate another: then it waits no longer.",
    "anchor": "It stays: the anchor is what many small steps down are measured against. Leave this version out.",
    "previous_champion": "It stays, for a roll back goes there; the next promotion moves that place on.",
}
_CHANGE = """
UPDATE registry_modelversion AS v SET state = %s, sweep_after = %s
FROM unnest(%s::uuid[], %s::text[]) AS wanted(id, digest), registry_registeredmodel AS m
WHERE v.id = wanted.id AND (wanted.digest IS NULL OR wanted.digest = v.artifact_digest)
AND m.id = v.registered_model_id AND v.state = ANY(%s)
{spared}
RETURNING v.id, m.id, m.fence
"""
_NOT_HELD = """
AND NOT EXISTS (
    SELECT 1 FROM registry_hold AS h WHERE h.version_id = v.id AND (h.until IS NULL OR h.until > %s)
)
"""
_DUE = "AND v.sweep_after <= %s\n"
_WITHDRAW = """
UPDATE registry_registeredmodel SET challenger_id = NULL, fence = fence + 1 WHERE challenger_id = ANY(%s::uuid[])
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Which versions a call changed, and why it left the others."""

    changed: frozenset[UUID]
    refused: Mapping[UUID, errors.PerennialError] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Changed:
    """A version whose state changed: its model, and the model's fence."""

    registered_model_id: int
    fence: int


@transaction.atomic
def change(
    wanted: Change,
    version_ids: Sequence[UUID],
    *,
    actor: str,
    cause: str,
    reason: str,
    at: datetime,
    verified: Verified | None = None,
) -> Outcome:
    """Change versions and announce it; a version that is spared, in another state or unknown is left.

    With `verified` also one whose bytes are not those that were verified.
    """
    _lock_owners(version_ids)
    changed = _apply(wanted, version_ids, verified, at=at)
    if wanted.to == State.QUARANTINED:
        _withdraw_challengers(changed)
    history.announce(
        [
            history.Line(
                kind=wanted.kind,
                registered_model_id=each.registered_model_id,
                to_id=version_id,
                actor=actor,
                cause=cause,
                reason=reason,
                fence=each.fence,
                at=at,
            )
            for version_id, each in changed.items()
        ]
    )
    left = [version_id for version_id in version_ids if version_id not in changed]
    return Outcome(changed=frozenset(changed), refused=_refusals(wanted, left, at=at) if left else {})


def make_ready(
    wanted: Change, version_ids: Sequence[UUID], *, verified: Verified, actor: str, reason: str, at: datetime
) -> Outcome:
    """Change versions to ready, those whose bytes hold; what no trainer has read yet becomes pending, to be read."""
    checked = replace(verified, refused={**admission.refused(version_ids), **verified.refused})
    make = partial(change_sound, verified=checked, actor=actor, cause="manual", reason=reason, at=at)
    unread = admission.unread(version_ids)
    if not unread:
        return make(wanted, version_ids)
    with transaction.atomic():
        # All at once, in their order: who asks for the same ones in two steps as well waits, and does not lock up.
        _lock_owners(version_ids)
        ready = make(wanted, [each for each in version_ids if each not in unread])
        pending = make(replace(wanted, to=State.PENDING), [each for each in version_ids if each in unread])
    return Outcome(changed=ready.changed | pending.changed, refused={**ready.refused, **pending.refused})


def change_sound(
    wanted: Change,
    version_ids: Sequence[UUID],
    *,
    verified: Verified | None,
    actor: str,
    cause: str,
    reason: str,
    at: datetime,
) -> Outcome:
    """Change versions but those that were refused when their bytes were looked at; without such a look all."""
    unsound = dict(verified.refused) if verified else {}
    sound = [version_id for version_id in version_ids if version_id not in unsound]
    outcome = change(wanted, sound, actor=actor, cause=cause, reason=reason, at=at, verified=verified)
    return replace(outcome, refused={**outcome.refused, **unsound})


def _lock_owners(version_ids: Sequence[UUID]) -> None:
    owners = ModelVersion.objects.filter(pk__in=version_ids).values_list("registered_model_id", flat=True)
    history.lock(list(owners.distinct()))


def _apply(
    change: Change, version_ids: Sequence[UUID], verified: Verified | None, *, at: datetime
) -> dict[UUID, _Changed]:
    conditions = "".join(f"AND m.{pointer}_id IS DISTINCT FROM v.id\n" for pointer in change.spared)
    digests = [verified.digest(each) if verified else None for each in version_ids]
    values: list[Any] = [change.to, change.sweep_after, list(version_ids), digests, sorted(change.since)]
    if change.spared:
        conditions, values = conditions + _NOT_HELD, [*values, at]
    if change.due:
        conditions, values = conditions + _DUE, [*values, at]
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE.format(spared=conditions), values)
        return {row[0]: _Changed(registered_model_id=row[1], fence=row[2]) for row in cursor.fetchall()}


def _withdraw_challengers(version_ids: Collection[UUID]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_WITHDRAW, [list(version_ids)])


def _refusals(change: Change, version_ids: Collection[UUID], *, at: datetime) -> dict[UUID, errors.PerennialError]:
    rows = ModelVersion.objects.select_related("registered_model__fleet").in_bulk(list(version_ids))
    held = _holds(version_ids, at)
    return {version_id: _refusal(change, version_id, rows, held) for version_id in version_ids}


def _refusal(
    change: Change, version_id: UUID, rows: Mapping[UUID, ModelVersion], held: Mapping[UUID, Hold]
) -> errors.PerennialError:
    version = rows.get(version_id)
    if version is None:
        return VersionUnknown(f"There is no version {version_id}.")
    name, model = f"{version}", version.registered_model
    if version.state not in change.since:
        return StateForbids(f"{name} is {version.state}.", next_step=_states(change))
    pointers = [pointer for pointer in change.spared if getattr(model, f"{pointer}_id") == version_id]
    if pointers:
        told = f"{name} is the {pointers[0].replace('_', ' ')} of {model}."
        return VersionInUse(told, next_step=_WAYS[pointers[0]])
    if hold := held.get(version_id):
        return VersionHeld(f"{name} is held by {hold.holder}: {reasons.ended(hold.reason)}")
    if change.due:
        return VersionNotDue(f"{name} is not due to be deleted.")
    return errors.Conflict(f"{name} changed at the same time.", next_step="Try again.")


def _states(change: Change) -> str:
    return f"Only versions that are {' or '.join(sorted(change.since))} can become {change.to}."


def _holds(version_ids: Collection[UUID], at: datetime) -> dict[UUID, Hold]:
    rows = Hold.objects.filter(version__in=list(version_ids)).exclude(until__lte=at)
    return {hold.version_id: hold for hold in rows}
