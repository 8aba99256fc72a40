"""Owns how a registration becomes a row: checks, number, label. `registry.lifecycle` alone calls it, models locked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from registry import artifacts, conf, errors, history, identifiers, timestamps
from registry.artifacts import Stored
from registry.models import ModelVersion, RegisteredModel
from registry.reports import Scorecard

_COUNT = """
UPDATE registry_registeredmodel AS m SET last_number = counted.number, last_version_at = counted.at
FROM unnest(%s::bigint[], %s::int[], %s::timestamptz[]) AS counted(id, number, at) WHERE m.id = counted.id
"""


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


def insert(
    registrations: Sequence[Registration], *, heads: Mapping[int, RegisteredModel], at: datetime
) -> list[ModelVersion]:
    """Write the rows in their order; `heads` are their locked models by id, whose counters move on.

    Raises VersionIdTaken, MetadataInvalid.
    """
    versions = [_number(item, heads[item.registered_model_id], timestamps.to_utc(at)) for item in registrations]
    _insert(versions)
    counted = [(head.pk, head.last_number, head.last_version_at) for head in heads.values()]
    if counted:
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, [list(column) for column in zip(*counted, strict=True)])
    return versions


def _number(item: Registration, head: RegisteredModel, at: datetime) -> ModelVersion:
    # A clock that stepped back must not make a later label sort before an earlier one.
    head.last_version_at = max(at, head.last_version_at or at)
    head.last_number += 1
    _check(item)
    stored = item.stored
    signature = artifacts.sign(item.version_id, digest=stored.digest, format=stored.format)
    return ModelVersion(
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
    )


def _check(item: Registration) -> None:
    for stamp in (item.data_start, item.train_end, item.fit_end):
        if stamp is not None and not timestamps.is_aware(stamp):
            raise MetadataInvalid(f"{stamp.isoformat()} has no offset.", next_step="Give times in UTC.")
    try:
        texts = [
            json.dumps(dict(mapping), allow_nan=False) for mapping in (item.extra, item.params, item.library_versions)
        ]
    except (TypeError, ValueError) as error:
        raise MetadataInvalid(f"Parameters or metadata are no plain JSON: {error}.") from error
    if any("\\u0000" in text for text in texts):
        raise MetadataInvalid("Parameters or metadata hold a NUL character, which the database cannot store.")
    size = len(texts[0].encode())
    if size > (most := conf.current().extra_metadata_bytes):
        raise MetadataInvalid(f"The free metadata has {size} bytes; at most {most} are kept in a row.", field="extra")


def _insert(versions: list[ModelVersion]) -> None:
    taken = ModelVersion.objects.filter(pk__in=[version.pk for version in versions]).values_list("pk", flat=True)[:1]
    if taken:
        raise VersionIdTaken(f"Version {taken[0]} is registered already.", field="version_id")
    try:
        with transaction.atomic():
            ModelVersion.objects.bulk_create(versions, batch_size=history.BATCH_ROWS)
    except ValidationError as error:
        raise MetadataInvalid(f"A scorecard cannot be stored: {' '.join(error.messages)}") from error
    except IntegrityError as error:
        raise VersionIdTaken(f"A version id is given twice, or was registered meanwhile: {error}.") from error
