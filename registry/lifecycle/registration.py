"""Owns how a registration becomes a row: checks, number, label. `registry.lifecycle` alone calls it, models locked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError

from registry import conf, errors, identifiers, rows, timestamps
from registry.artifacts import Stored, signatures
from registry.models import ModelVersion, RegisteredModel
from registry.reports import Scorecard

# Made once: `json.dumps` would make one for each of thousands.
_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
_ID_IS_UNIQUE = "registry_modelversion_pkey"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A NUL is written as an escape, which an escaped backslash before the same letters is not; half a pair stays as it is.
_UNSTORABLE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000|[\ud800-\udfff]")


class VersionIdTaken(errors.Conflict):
    """A version with that id is registered already; versions are immutable."""

    code = "version_id_taken"
    next_step = "Use the version that is registered, or give a new id."


class MetadataInvalid(errors.Invalid):
    """What a registration carries cannot be stored."""

    code = "metadata_invalid"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What becomes the row of one version; stamps are aware, metrics and metadata finite."""

    registered_model_id: int
    stored: Stored
    trainer: str
    version_id: UUID = field(default_factory=identifiers.uuid7)
    params: Mapping[str, Any] = field(default_factory=dict)
    scorecard: Scorecard = field(default_factory=Scorecard)
    data_start: datetime | None = None
    train_end: datetime | None = None
    fit_end: datetime | None = None
    rows: int = 0
    features: Sequence[str] = ()
    snapshot_digest: str = ""
    seed: int = 0
    library_versions: Mapping[str, str] = field(default_factory=dict)
    refitted: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    tags: Sequence[str] = ()
    pending: bool = False
    """Whether a trainer has yet to read its forecaster; until then it cannot be placed."""


def number(
    registrations: Sequence[Registration], *, heads: Mapping[int, RegisteredModel], at: datetime
) -> list[ModelVersion]:
    """Return the new versions in their order; `heads` are their locked models by id, whose counters move on in memory.

    The lines of the ledger that tell of them write both. Raises MetadataInvalid.
    """
    return [_number(item, heads[item.registered_model_id], timestamps.to_utc(at)) for item in registrations]


@contextmanager
def refusals() -> Iterator[None]:
    """Tell why new versions cannot become rows. Raises VersionIdTaken, MetadataInvalid."""
    try:
        yield
    except ValidationError as error:
        raise MetadataInvalid(f"A scorecard cannot be stored: {' '.join(error.messages)}") from error
    except IntegrityError as error:
        said = getattr(error.__cause__, "diag", None)
        if said is None or said.constraint_name != _ID_IS_UNIQUE:
            raise
        taken = _UUID.search(said.message_detail or "")
        named = f"id {taken.group()}" if taken else "id"
        raise VersionIdTaken(f"The {named} is registered already, or given twice.", field="version_id") from error


def _number(item: Registration, head: RegisteredModel, at: datetime) -> ModelVersion:
    # A clock that stepped back must not make a later label sort before an earlier one.
    head.last_version_at = max(at, head.last_version_at or at)
    head.last_number += 1
    _check(item)
    stored = item.stored
    signature = signatures.sign(item.version_id, digest=stored.digest, format=stored.format)
    return rows.new(
        ModelVersion,
        id=item.version_id,
        registered_model_id=item.registered_model_id,
        fleet_id=head.fleet_id,
        number=head.last_number,
        label=f"{head.last_version_at.astimezone(UTC):%Y%m%d_%H%M%S}_{head.last_number:06d}",
        created_at=head.last_version_at,
        trainer=item.trainer,
        params=dict(item.params),
        scorecard=item.scorecard,
        data_start=item.data_start,
        train_end=item.train_end,
        fit_end=item.fit_end,
        rows=item.rows,
        features=list(item.features),
        snapshot_digest=item.snapshot_digest,
        seed=item.seed,
        library_versions=dict(item.library_versions),
        refitted=item.refitted,
        artifact_digest=stored.digest,
        artifact_size=stored.size,
        artifact_format=stored.format,
        artifact_key_id=signature.key_id,
        artifact_signature=signature.text,
        artifact_container=stored.container,
        artifact_offset=stored.offset,
        extra=dict(item.extra),
        note=item.note,
        tags=list(item.tags),
        state=ModelVersion.State.PENDING if item.pending else ModelVersion.State.READY,
    )


def _check(item: Registration) -> None:
    for stamp in (item.data_start, item.train_end, item.fit_end):
        if stamp is not None and not timestamps.is_aware(stamp):
            raise MetadataInvalid(f"{stamp.isoformat()} has no offset.", next_step="Give times in UTC.")
    check_plain(extra=item.extra, params=item.params, library_versions=item.library_versions)


def check_plain(*, extra: Mapping[str, Any], params: Mapping[str, Any], library_versions: Mapping[str, Any]) -> None:
    """Refuse free values that a row cannot hold. Raises MetadataInvalid."""
    try:
        texts = [_ENCODER.encode(dict(mapping)) if mapping else "" for mapping in (extra, params, library_versions)]
    except (TypeError, ValueError, RecursionError) as error:
        raise MetadataInvalid(f"Parameters or metadata are no plain JSON: {error}.") from error
    if not all(map(_is_storable, texts)):
        raise MetadataInvalid("Parameters or metadata hold a NUL or half a surrogate pair, which no row can store.")
    limits = conf.current()
    _bound("free metadata", texts[:1], most=limits.extra_metadata_bytes, field="extra")
    _bound("parameters and library versions", texts[1:], most=limits.recipe_bytes, field="params")


def _is_storable(text: str) -> bool:
    # Nearly every text is seen to be so at once.
    return (text.isascii() and "\\u0000" not in text) or not _UNSTORABLE.search(text)


def _bound(what: str, texts: Sequence[str], *, most: int, field: str) -> None:
    size = sum(len(text.encode()) for text in texts)
    if size > most:
        raise MetadataInvalid(f"{size} bytes of {what} are too many; at most {most} are kept in a row.", field=field)
