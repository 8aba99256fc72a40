"""Owns what people do to many versions or models at once: one door for REST, admin and commands, a result for each.

Each action is the very one of `registry.lifecycle` or `registry.bulk.tagging`, rehearsed where only its preview is
wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction

from registry import conf, errors, lifecycle, permissions
from registry.bulk import tagging
from registry.bulk.tagging import Order
from registry.lifecycle import Outcome
from registry.lifecycle.states import VersionUnknown
from registry.models import ModelVersion, RegisteredModel
from registry.permissions import Role

TAG = "tag"
_DEEDS: Mapping[str, Callable[..., Outcome]] = {
    "promote": lifecycle.promote_many_by_hand,
    "archive": lifecycle.archive,
    "restore": lifecycle.restore,
    "quarantine": lifecycle.quarantine,
    "release": lifecycle.release,
    "forget": lifecycle.forget,
}
ROLES: Mapping[str, Role] = {**dict.fromkeys(_DEEDS, Role.APPROVER), TAG: Role.OPERATOR}
"""Who may do what to versions."""


class TooMany(errors.Invalid):
    """More than one call takes."""

    code = "too_many"


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of each version: changed, as asked before, or refused with the reason."""

    changed: frozenset[UUID]
    unchanged: frozenset[UUID] = frozenset()
    refused: Mapping[UUID, errors.PerennialError] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a roll back does, or would do, to one model."""

    registered_model: RegisteredModel
    to: ModelVersion | None
    refusal: errors.PerennialError | None


def carry_out(
    action: str,
    version_ids: Sequence[UUID],
    *,
    actor: str,
    reason: str,
    at: datetime,
    tags: Order | None = None,
    rehearsed: bool = False,
) -> Done:
    """Do one thing to many versions; rehearsed, only say what it would do. Raises TooMany, ReasonMissing."""
    ids = list(dict.fromkeys(version_ids))
    check(len(ids))
    if action == TAG:
        return _tag(ids, tags or Order(), actor=actor, reason=reason, at=at, rehearsed=rehearsed)
    if rehearsed:
        outcome = lifecycle.rehearse(action, ids, at=at)
    else:
        outcome = _DEEDS[action](ids, actor=actor, reason=reason, at=at)
    return Done(changed=outcome.changed, refused=outcome.refused)


def visible(version_ids: Collection[UUID], *, tenants: frozenset[str]) -> tuple[list[UUID], Done]:
    """Return which of these belong to the tenants, and the others as unknown: the foreign looks like the absent."""
    rows = permissions.visible(
        ModelVersion.objects.filter(pk__in=version_ids), tenants=tenants, through="fleet__tenant"
    )
    own = set(rows.values_list("pk", flat=True))
    unknown = {each: VersionUnknown(f"There is no version {each}.") for each in version_ids if each not in own}
    return [each for each in version_ids if each in own], Done(changed=frozenset(), refused=unknown)


def roll_back(
    registered_models: Sequence[RegisteredModel], *, actor: str, reason: str, at: datetime, rehearsed: bool = False
) -> list[Step]:
    """Roll each model back to the champion before its present one; rehearsed, only say where it would go.

    Raises TooMany, ReasonMissing.
    """
    check(len(registered_models))
    if rehearsed:
        done = lifecycle.preview_roll_back(registered_models)
    else:
        done = lifecycle.roll_back_many(registered_models, actor=actor, reason=reason, at=at)
    return [
        Step(registered_model=each, to=done.to.get(each.pk), refusal=done.refused.get(each.pk))
        for each in registered_models
    ]


def check(count: int) -> None:
    """Refuse more items than one call takes. Raises TooMany."""
    most = conf.current().bulk_items
    if count > most:
        raise TooMany(
            f"{count} items are more than the {most} that one call takes.",
            next_step="Narrow the filter, or make several calls.",
        )


def _tag(ids: Sequence[UUID], tags: Order, *, actor: str, reason: str, at: datetime, rehearsed: bool) -> Done:
    with transaction.atomic():
        done = tagging.tag_versions(ids, tags, actor=actor, at=at, reason=reason)
        if rehearsed:
            transaction.set_rollback(True)
    return Done(changed=done.changed, unchanged=done.unchanged, refused=done.refused)
