"""Owns how signatures move to a new key: each is checked against the old one, then made anew; no file is read.

Refuses to sign what does not verify: such a version is quarantined. Where nothing that a key signed verifies, its
secret is not the one that signed, and all is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count

from registry import display, history, lifecycle
from registry.artifacts import signatures
from registry.models import ModelVersion

logger = logging.getLogger(__name__)

BATCH_ROWS = 2000
UNREAD = ("params", "scorecard", "features", "library_versions", "tags", "extra", "note")
# More than a person reads; the number goes on.
LISTED = 1000
_RESIGN = """
UPDATE registry_modelversion AS v SET artifact_key_id = %s, artifact_signature = signed.after
FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS signed(id, before, after)
WHERE v.id = signed.id AND v.artifact_signature = signed.before
"""


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """A key, and how many versions it signs; deleted ones too, which may come back from a backup."""

    key_id: str
    versions: int
    signs: bool
    """Whether new versions are signed with it."""
    known: bool
    """Whether it is set here."""


@dataclass(frozen=True, kw_only=True)
class Rotated:
    """What was signed anew with the first key, and what was not."""

    key_id: str
    resigned: int
    refused: int
    """Versions whose old signature does not hold; they are quarantined."""
    listed: tuple[ModelVersion, ...]
    """The first of them."""
    unproven: tuple[str, ...]
    """Keys of which no version verifies, as with another secret than the one that signed; theirs are left."""


def uses() -> list[KeyUse]:
    """Return every key that is set or has signed a version, the signing one first. Raises SigningKeysInvalid."""
    known = list(signatures.keys())
    rows = ModelVersion.objects.order_by().values_list("artifact_key_id").annotate(Count("pk"))
    counts = dict.fromkeys(known, 0) | dict(rows)
    return [
        KeyUse(key_id=key_id, versions=number, signs=key_id == known[0], known=key_id in known)
        for key_id, number in counts.items()
    ]


def rotate(*, actor: str, at: datetime) -> Rotated:
    """Sign with the first key what other known keys have signed. It can be broken off and begun again at any time.

    Raises SigningKeysInvalid.
    """
    signing, *others = signatures.keys()
    resigned, refused = 0, 0
    listed: list[ModelVersion] = []
    unproven: list[str] = []
    for key_id in others:
        is_proven = False
        for batch in _batches(key_id):
            holding = [version for version in batch if signatures.holds(version)]
            is_proven = is_proven or bool(holding)
            if not is_proven:
                unproven.append(key_id)
                break
            resigned += _resign(holding, key_id=signing)
            failing = _quarantine(batch, holding, actor=actor, at=at)
            refused, listed = refused + len(failing), [*listed, *failing][:LISTED]
    logger.log(
        logging.WARNING if refused else logging.INFO,
        "%s signed anew with the key %r, %s refused", display.counted(resigned, "version"), signing, refused,
    )  # fmt: skip
    return Rotated(key_id=signing, resigned=resigned, refused=refused, listed=tuple(listed), unproven=tuple(unproven))


def _batches(key_id: str) -> Iterator[list[ModelVersion]]:
    """Yield what a key has signed, by id; what is left behind is not met again."""
    rows = ModelVersion.objects.select_related("registered_model__fleet").filter(artifact_key_id=key_id).order_by("pk")
    rows = rows.defer(*UNREAD)
    batch = list(rows[:BATCH_ROWS])
    while batch:
        yield batch
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:BATCH_ROWS])


def _resign(versions: Sequence[ModelVersion], *, key_id: str) -> int:
    # Compare-and-set: a row that somebody changes meanwhile is not vouched for.
    columns: list[list[UUID | str]] = [
        [each.pk for each in versions],
        [each.artifact_signature for each in versions],
        [signatures.sign(each.pk, digest=each.artifact_digest, format=each.artifact_format).text for each in versions],
    ]
    with transaction.atomic():
        # In the order of everybody else: two statements over the same rows would otherwise wait for each other.
        history.lock(sorted({each.registered_model_id for each in versions}))
        with connection.cursor() as cursor:
            cursor.execute(_RESIGN, [key_id, *columns])
            return int(cursor.rowcount)


def _quarantine(
    batch: Sequence[ModelVersion], holding: Sequence[ModelVersion], *, actor: str, at: datetime
) -> list[ModelVersion]:
    sound = {version.pk for version in holding}
    failing = [version for version in batch if version.pk not in sound]
    if failing:
        reason = "Its signature does not hold, so it was not signed anew."
        lifecycle.quarantine([each.pk for each in failing], actor=actor, reason=reason, at=at, cause="key rotation")
    return failing
