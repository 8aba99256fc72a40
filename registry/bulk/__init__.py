"""Owns what people do to many versions or models at once: one door for REST, admin and commands, a result for each.

Each action is the very one of `registry.lifecycle` or `registry.bulk.tagging`, rehearsed where only its preview is
wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from registry import conf, errors, holding, lifecycle, permissions
from registry.bulk import tagging
from registry.bulk.tagging import Order, Tagged
from registry.lifecycle import AlreadyChampion, Outcome, Verified, VersionUnknown
from registry.models import ModelVersion, RegisteredModel
from registry.permissions import Role
from registry.retention import forgetting

TAG = "tag"
_DEEDS: Mapping[str, Callable[..., Outcome]] = {
    "archive": lifecycle.archive,
    "quarantine": lifecycle.quarantine,
}
# These need versions whose bytes hold; to forget one they are copied, where there is a second store.
_SOUND_DEEDS: Mapping[str, Callable[..., Outcome]] = {
    "promote": lifecycle.promote_many_by_hand,
    "restore": holding.restore,
    "release": lifecycle.release,
    "forget": forgetting.forget,
}
ROLES: Mapping[str, Role] = {**dict.fromkeys([*_DEEDS, *_SOUND_DEEDS], Role.APPROVER), TAG: Role.OPERATOR}
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
    verified: Verified | None = None,
) -> Done:
    """Do one thing to many versions; rehearsed, only say what it would do. Raises TooMany, ReasonMissing.

    Inside a transaction give what `verify_for` found before.
    """
    ids = list(dict.fromkeys(version_ids))
    check(len(ids))
    if action == TAG:
        return _tag(ids, tags or Order(), actor=actor, reason=reason, at=at, rehearsed=rehearsed)
    if rehearsed:
        outcome = lifecycle.rehearse(action, ids, at=at, verified=verified)
    else:
        outcome = _deed(action, verified)(ids, actor=actor, reason=reason, at=at)
    return _done(outcome)


def verify_for(action: str, version_ids: Sequence[UUID], *, rehearsed: bool = False) -> Verified:
    """Do beforehand, outside a transaction, what an action does with the bytes of these versions.

    Raises StoreUnavailable, retention.backups.BackupDamaged.
    """
    if action != "forget":
        return lifecycle.verify_for(action, version_ids)
    return Verified() if rehearsed else forgetting.back_up_for_hand(version_ids)


def visible(version_ids: Collection[UUID], *, tenants: frozenset[str]) -> tuple[list[UUID], Done]:
    """Return which of these belong to the tenants, and the others as unknown: the foreign looks like the absent."""
    rows = permissions.visible(
        ModelVersion.objects.filter(pk__in=version_ids), tenants=tenants, through="fleet__tenant"
    )
    own = set(rows.values_list("pk", flat=True))
    unknown = {each: VersionUnknown(f"There is no version {each}.") for each in version_ids if each not in own}
    return [each for each in version_ids if each in own], Done(changed=frozenset(), refused=unknown)


def roll_back(
    registered_models: Sequence[RegisteredModel],
    *,
    actor: str,
    reason: str,
    at: datetime,
    rehearsed: bool = False,
    verified: Verified | None = None,
    again: bool = False,
) -> list[Step]:
    """Roll each model back to the champion before its present one; rehearsed, only say where it would go.

    One that a roll back has moved last stays, unless it is to go back `again`.

    Inside a transaction give what `lifecycle.verify_returns` found before. Raises TooMany, ReasonMissing.
    """
    check(len(registered_models))
    if rehearsed:
        done = lifecycle.preview_roll_back(registered_models, verified=verified, again=again)
    else:
        done = lifecycle.roll_back_many(
            registered_models, actor=actor, reason=reason, at=at, verified=verified, again=again
        )
    return [
        Step(registered_model=each, to=done.to.get(each.pk), refusal=done.refused.get(each.pk))
        for each in registered_models
    ]


def tag_models(
    registered_models: Sequence[RegisteredModel],
    tags: Order,
    *,
    actor: str,
    reason: str,
    at: datetime,
    rehearsed: bool = False,
) -> Tagged[int]:
    """Add and remove tags of models; rehearsed, only say which would change and how. Raises TooMany."""
    check(len(registered_models))
    with transaction.atomic():
        ids = [each.pk for each in registered_models]
        done = tagging.tag_models(ids, tags, actor=actor, at=at, reason=reason)
        transaction.set_rollback(rehearsed)
    return done


def check(count: int) -> None:
    """Refuse more items than one call takes. Raises TooMany."""
    most = conf.current().bulk_items
    if count > most:
        raise TooMany(
            f"{count} items are more than the {most} that one call takes.",
            next_step="Narrow the filter, or make several calls.",
        )


def _deed(action: str, verified: Verified | None) -> Callable[..., Outcome]:
    return partial(_SOUND_DEEDS[action], verified=verified) if action in _SOUND_DEEDS else _DEEDS[action]


def _done(outcome: Outcome) -> Done:
    """Return what became of each; what is champion already is as it was asked to be."""
    already = {key for key, error in outcome.refused.items() if isinstance(error, AlreadyChampion)}
    refused = {key: error for key, error in outcome.refused.items() if key not in already}
    return Done(changed=outcome.changed, unchanged=frozenset(already), refused=refused)


def _tag(ids: Sequence[UUID], tags: Order, *, actor: str, reason: str, at: datetime, rehearsed: bool) -> Done:
    with transaction.atomic():
        done = tagging.tag_versions(ids, tags, actor=actor, at=at, reason=reason)
        transaction.set_rollback(rehearsed)
    return Done(changed=frozenset(done.changed), unchanged=done.unchanged, refused=done.refused)
