"""Owns the tags of versions and models: added and removed in bulk, with an event for each that changed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection, transaction

from registry import errors, history, identifiers
from registry.lifecycle import VersionUnknown
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

    changed: Mapping[Key, Sequence[str]]
    """The tags that each has now."""
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
        if both := {*self.add} & {*self.remove}:
            raise TagInvalid(f"{min(both)!r} is to be added and removed.", next_step="Decide which.", field="tags")
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
    done = _decide({key: found[key][1] for key in version_ids if key in found}, order)
    unknown = {key: VersionUnknown(f"There is no version {key}.") for key in version_ids if key not in found}
    _write("registry_modelversion", "uuid", done.changed)
    line = partial(history.Line, kind=VERSION_TAGGED, actor=actor, cause="manual", reason=order.told(reason), at=at)
    history.announce([line(registered_model_id=found[key][0], to_id=key) for key in done.changed])
    return replace(done, refused={**done.refused, **unknown})


@transaction.atomic
def tag_models(model_ids: Sequence[int], order: Order, *, actor: str, at: datetime, reason: str = "") -> Tagged[int]:
    """Add and remove tags of registered models, in a few statements. Raises history.ModelMissing."""
    found = history.lock(model_ids)
    done = _decide({key: found[key].tags for key in model_ids}, order)
    _write("registry_registeredmodel", "bigint", done.changed)
    line = partial(history.Line, kind=MODEL_TAGGED, actor=actor, cause="manual", reason=order.told(reason), at=at)
    history.announce([line(registered_model_id=key) for key in done.changed])
    return done


def _decide(found: Mapping[Key, Collection[str]], order: Order) -> Tagged[Key]:
    wanted = {key: order.applied(tags) for key, tags in found.items()}
    refused: dict[Key, errors.PerennialError] = {
        key: TooManyTags(f"It would have more than {MOST_TAGS} tags.")
        for key, tags in wanted.items()
        if len(tags) > max(MOST_TAGS, len(found[key]))
    }
    left = {key: tags for key, tags in wanted.items() if key not in refused}
    changed = {key: tags for key, tags in left.items() if tags != sorted(found[key])}
    return Tagged(changed=changed, unchanged=frozenset(left.keys() - changed.keys()), refused=refused)


def _write(table: str, kind: str, wanted: Mapping[Key, Sequence[str]]) -> None:
    with connection.cursor() as cursor:
        values: list[Any] = [list(wanted), [json.dumps(tags) for tags in wanted.values()]]
        cursor.execute(_SET_TAGS.format(table=table, key=kind), values)
