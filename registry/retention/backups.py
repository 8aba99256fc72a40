"""Owns the second store: a swept version is copied there and read back first, and can be brought back from it.

Refuses a copy that does not verify, and to bring back bytes that are not those that were registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from registry import artifacts, conf, errors, lifecycle, ownership, store
from registry.lifecycle import Outcome
from registry.models import ModelVersion
from registry.store import Place, Store

# On their way, and in memory, at once.
COPIED_AT_ONCE = 16
BYTES_AT_ONCE = 64 * 1024**2
# What is wrong with a version itself; anything else may be a setting, and says nothing about its bytes.
DAMAGED = (artifacts.ArtifactMissing, artifacts.ArtifactCorrupted)


class NoBackupStore(errors.Invalid):
    """This installation keeps no backup of what it sweeps."""

    code = "no_backup_store"
    next_step = "Set PERENNIAL_REGISTRY_BACKUP_URL to the store that has the backup."


class NotInBackup(errors.NotFound):
    """The backup store has no such artifact."""

    code = "not_in_backup"
    next_step = "Look for the file under its digest in other backups of the artifact store, and put it there."


class BackupDamaged(errors.Unavailable):
    """The second store gave back other bytes than it was given."""

    code = "backup_damaged"
    next_step = "Check the backup store; nothing is swept until a copy verifies."


def is_kept() -> bool:
    """Whether swept versions are copied to a second store first."""
    return bool(conf.current().backup_url)


def groups(versions: Sequence[ModelVersion]) -> Iterator[list[ModelVersion]]:
    """Yield in their order those that are copied at once: few enough, and small enough together."""
    group: list[ModelVersion] = []
    size = 0
    for version in versions:
        if group and (len(group) == COPIED_AT_ONCE or size + version.artifact_size > BYTES_AT_ONCE):
            yield group
            group, size = [], 0
        group.append(version)
        size += version.artifact_size
    if group:
        yield group


def keep(versions: Sequence[ModelVersion]) -> list[errors.PerennialError | None]:
    """Copy the artifacts of versions to the second store, at once, and verify them there.

    Return for each, in their order, why it cannot be copied; None where it is. Raises StoreUnavailable, BackupDamaged.
    """
    found = list(artifacts.load_each(versions))
    pairs = zip(versions, found, strict=True)
    _copy({artifacts.key_of(each.artifact_digest): data for each, data in pairs if isinstance(data, bytes)})
    return [None if isinstance(each, bytes) else each for each in found]


def bring_back(version_ids: Sequence[UUID], *, actor: str, reason: str, at: datetime) -> Outcome:
    """Bring deleted versions back from the second store, as archived ones that no sweep waits for.

    Raises NoBackupStore, StoreUnavailable, lifecycle.ReasonMissing.
    """
    opened = _opened()
    refused: dict[UUID, errors.PerennialError] = {}
    changed: set[UUID] = set()
    rows = ModelVersion.objects.select_related("registered_model__fleet").in_bulk(list(version_ids))
    for version_id in version_ids:
        outcome = _bring_back(version_id, rows, opened, actor=actor, reason=reason, at=at)
        changed |= outcome.changed
        refused |= outcome.refused
    return Outcome(changed=frozenset(changed), refused=refused)


def _copy(contents: Mapping[str, bytes]) -> None:
    opened = _opened()
    opened.put_each(list(contents.items()))
    back = opened.get_each([Place(key=key, length=len(content) + 1) for key, content in contents.items()])
    for (key, content), read in zip(contents.items(), back, strict=True):
        if read != content:
            raise BackupDamaged(f"The copy under {key} is not what was written.")


def _bring_back(
    version_id: UUID, rows: Mapping[UUID, ModelVersion], opened: Store, *, actor: str, reason: str, at: datetime
) -> Outcome:
    version = rows.get(version_id)
    if version is None or version.state != ModelVersion.State.DELETED:
        # The lifecycle says why not, in its own words.
        return lifecycle.bring_back([version_id], actor=actor, reason=reason, at=at)
    try:
        content = _read(version, opened)
    except (errors.Corrupted, NotInBackup) as error:
        return Outcome(changed=frozenset(), refused={version_id: error})
    artifacts.store([content], format=version.artifact_format)
    with transaction.atomic():
        outcome = lifecycle.bring_back([version_id], actor=actor, reason=reason, at=at)
        ModelVersion.objects.filter(pk__in=outcome.changed).update(artifact_container="", artifact_offset=0)
    return outcome


def _read(version: ModelVersion, opened: Store) -> bytes:
    try:
        content = opened.get(artifacts.key_of(version.artifact_digest), length=version.artifact_size + 1)
    except store.StoreMissing as error:
        raise NotInBackup(f"The backup has no artifact of {version}.") from error
    artifacts.verify(version, content)
    return content


def _opened() -> Store:
    if not is_kept():
        raise NoBackupStore("No backup store is set.")
    return ownership.backup_store()
