"""Owns the tags of versions and models: added and removed in bulk, with an event for each that changed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection, transaction

from registry import errors, history, identifiers
from registry.lifecycle.states import VersionUnknown
from registry.models import ModelVersion

VERSION_TAGGED, MODEL_TAGGED = "registry.version.tagged", "registry.model.tagged"
MOST_TAGS = 20
Key = TypeVar("Key", int, UUID)
_PATTERN = re.compile(rf"\A{identifiers.TAG}\Z")
_SET_TAGS = """
UPDATE {table} AS row SET tags = ARRAY(SELECT jsonb_array_elements_text(wanted.tags::jsonb))
FROM unnest(%s::{key}[], %s::text[]) AS wanted(id, tags) WHERE row.id = wanted.id
"""


class TagInvalid(errors.Invalid):
    """The text cannot be a tag."""

    code = "tag_invalid"
    next_step = "Use letters, digits and . _ : / = -, at most 64, beginning with a letter or digit."


class NoTag(errors.Invalid):
    """Nothing is to be added or removed."""

    code = "tag_missing"
    next_step = "Name a tag to add or to remove."


class TooManyTags(errors.Conflict):
    """A row has only so many tags: lists show them all."""

    code = "too_many_tags"
    next_step = "Remove tags that nobody filters by."


@dataclass(frozen=True, kw_only=True)
class Tagged(Generic[Key]):
    """What a call changed, what was as asked before, and why it left the others."""

    changed: frozenset[Key]
    unchanged: frozenset[Key]
    refused: Mapping[Key, errors.PerennialError] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which tags are added and which removed. Raises TagInvalid, NoTag."""

    add: Collection[str] = ()
    remove: Collection[str] = ()

    def __post_init__(self) -> None:
        if not self.add and not self.remove:
            raise NoTag("No tag was given.", field="tags")
        for tag in (*self.add, *self.remove):
            if not _PATTERN.match(tag):
                raise TagInvalid(f"{tag!r} is not a tag.", field="tags")

    def applied(self, tags: Collection[str]) -> list[str]:
        """Return the tags of a row afterwards."""
        return sorted({*tags, *self.add} - {*self.remove})

    def told(self, reason: str) -> str:
        """Return what the ledger says."""
        added = f"Added {', '.join(sorted(self.add))}." if self.add else ""
        removed = f"Removed {', '.join(sorted(self.remove))}." if self.remove else ""
        return " ".join(part for part in (added, removed, reason.strip()) if part)


@transaction.atomic
def tag_versions(
    version_ids: Sequence[UUID], order: Order, *, actor: str, at: datetime, reason: str = ""
) -> Tagged[UUID]:
    """Add and remove tags of versions, in a few statements."""
    rows = ModelVersion.objects.filter(pk__in=version_ids)
    history.lock(list(rows.values_list("registered_model_id", flat=True).distinct()))
    found = {key: (owner, tags) for key, owner, tags in rows.values_list("pk", "registered_model_id", "tags")}
    decided = _decide(version_ids, {key: tags for key, (_, tags) in found.items()}, order, "version")
    changed = {key: order.applied(found[key][1]) for key in version_ids if key in decided.changed}
    _write("registry_modelversion", "uuid", changed)
    history.announce(
        [
            history.Line(
                kind=VERSION_TAGGED,
                registered_model_id=found[key][0],
                to_id=key,
                actor=actor,
                cause="manual",
                reason=order.told(reason),
                at=at,
            )
            for key in changed
        ]
    )
    return decided


@transaction.atomic
def tag_models(model_ids: Sequence[int], order: Order, *, actor: str, at: datetime, reason: str = "") -> Tagged[int]:
    """Add and remove tags of registered models, in a few statements. Raises history.ModelMissing."""
    found = {key: each.tags for key, each in history.lock(model_ids).items()}
    decided = _decide(model_ids, found, order, "registered model")
    changed = {key: order.applied(found[key]) for key in model_ids if key in decided.changed}
    _write("registry_registeredmodel", "bigint", changed)
    history.announce(
        [
            history.Line(
                kind=MODEL_TAGGED,
                registered_model_id=key,
                actor=actor,
                cause="manual",
                reason=order.told(reason),
                at=at,
            )
            for key in changed
        ]
    )
    return decided


def _decide(keys: Sequence[Key], found: Mapping[Key, Collection[str]], order: Order, what: str) -> Tagged[Key]:
    refused: dict[Key, errors.PerennialError] = {}
    for key in keys:
        if key not in found:
            refused[key] = VersionUnknown(f"There is no {what} {key}.")
        elif len(order.applied(found[key])) > max(MOST_TAGS, len(found[key])):
            refused[key] = TooManyTags(f"It would have more than {MOST_TAGS} tags.")
    left = {key for key in keys if key not in refused}
    changed = frozenset(key for key in left if order.applied(found[key]) != sorted(found[key]))
    return Tagged(changed=changed, unchanged=frozenset(left - changed), refused=refused)


def _write(table: str, kind: str, wanted: Mapping[Key, Sequence[str]]) -> None:
    with connection.cursor() as cursor:
        values: list[Any] = [list(wanted), [json.dumps(tags) for tags in wanted.values()]]
        cursor.execute(_SET_TAGS.format(table=table, key=kind), values)
