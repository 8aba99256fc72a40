"""★ How versions become folders: for consumers that read files alone, with one file that says which version to use.

Bytes first, pointer last: a folder is written whole under another name, then the pointer file of its model is replaced
in one step, then what nobody needs goes, after a grace. Whoever follows the pointer finds a complete folder at any
moment. Writers in many processes agree by a lock of the database, under which each reads who serves now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from registry import conf
from registry.export import files, folders, names
from registry.export.folders import ExportFailed, Folder
from registry.lifecycle import succession
from registry.models import Export, ModelVersion, RegisteredModel

__all__ = ["ExportFailed", "Exported", "Job", "export", "root"]

POINTER, LINKS, LATEST = "current.json", "production", "latest"
FORMAT = 1
# Makes the key of the database's lock one of this module's.
LOCK = 0x45585054 << 32
# A writer that takes longer is gone; what it left is removed.
LEFTOVER = timedelta(hours=1)
RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where to, how much, and whether the installation's own record of it is kept."""

    root: Path
    at: datetime
    all_versions: bool = False
    is_recorded: bool = True


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What stands in the folder of one model now."""

    registered_model: RegisteredModel
    folder: Path
    version: ModelVersion | None
    """That the pointer names; None where none can be used."""
    labels: tuple[str, ...]
    due_at: datetime | None = None
    """When folders can go that are not needed any more."""


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """Which version of a model a consumer should use now, and why not the champion where it is another."""

    model: RegisteredModel
    use: ModelVersion | None
    note: str = ""
    pointer: Mapping[str, Any] = field(default_factory=dict)


def root() -> Path:
    """Return the export folder of this installation."""
    return Path(conf.current().export_dir)


def export(model_id: int, job: Job) -> Exported:
    """Bring the folder of one model to what the registry says.

    Raises ExportFailed, and what reading the artifacts raises; the pointer then names a complete folder all the same.
    """
    model = _model(model_id)
    parts = (model.fleet.tenant, model.fleet.name, model.entity_key)
    with folders.reported(str(model)), folders.root(job.root) as top, top.below(*map(names.folder, parts)) as folder:
        choice = _place(model_id, folder, job)
        wanted = _wanted(choice, job)
        for version in wanted:
            _ensure(folder, version)
        _refresh_metadata(folder, choice.model)
        due_at = _clear(folder, {version.label for version in wanted}, job.at)
    done = Exported(
        registered_model=choice.model,
        folder=folder.path,
        version=choice.use,
        labels=tuple(version.label for version in wanted),
        due_at=due_at,
    )
    if job.is_recorded:
        Export.objects.filter(pk=model_id).update(due_at=due_at, failures=0, code="", sentence="")
    return done


def note_failure(model_id: int, *, code: str, sentence: str, at: datetime) -> int:
    """Record that a model could not be exported, and when it is tried again; return how often it failed in a row."""
    row, _ = Export.objects.get_or_create(pk=model_id)
    delay = min(RETRY * 2 ** min(row.failures, 10), LONGEST_RETRY)
    failures = row.failures + 1
    Export.objects.filter(pk=model_id).update(failures=failures, code=code, sentence=sentence, due_at=at + delay)
    return failures


def _model(model_id: int) -> RegisteredModel:
    found = RegisteredModel.objects.select_related("fleet", "champion").get(pk=model_id)
    if found.champion is not None:
        found.champion.registered_model = found
    return found


def _choose(model: RegisteredModel) -> _Choice:
    champion = model.champion
    if champion is None:
        return _Choice(model=model, use=None, note="No version has been promoted yet.")
    if champion.state == ModelVersion.State.READY:
        return _Choice(model=model, use=champion)
    before = next(iter(succession.earlier(model)), None)
    what = f"The champion, version {champion.number}, is {champion.state}"
    if before is None:
        return _Choice(model=model, use=None, note=f"{what}, and no earlier champion is ready.")
    before.registered_model = model
    return _Choice(model=model, use=before, note=f"{what}; version {before.number} served before it.")


def _place(model_id: int, folder: Folder, job: Job) -> _Choice:
    """Write the folder that the pointer is to name, then the pointer, if that is still the one to name."""
    while True:
        choice = _choose(_model(model_id))
        if choice.use is not None:
            _ensure(folder, choice.use)
        with transaction.atomic():
            _lock(model_id)
            # Read under the lock: whoever writes the pointer last has read last.
            if _same(choice, now := _choose(_model(model_id))):
                _point(folder, now, job)
                return now


def _lock(model_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK + model_id % 2**32])


def _same(first: _Choice, second: _Choice) -> bool:
    return (first.use and first.use.pk) == (second.use and second.use.pk)


def _point(folder: Folder, choice: _Choice, job: Job) -> None:
    present = folder.read(POINTER)
    if choice.model.champion is not None:
        written = files.dump(_pointer(folder, choice))
        if written != present:
            folder.write(POINTER, written)
        _link(folder, choice)
    if job.is_recorded:
        moved = {"moved_at": job.at} if _id(present) != (choice.use and str(choice.use.pk)) else {}
        Export.objects.update_or_create(pk=choice.model.pk, defaults={"version": choice.use, **moved})


def _id(pointer: bytes | None) -> str | None:
    return _parsed(pointer).get("id")


def _path(pointer: bytes | None) -> str | None:
    return _parsed(pointer).get("path")


def _parsed(content: bytes | None) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything that somebody put in its place."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _pointer(folder: Folder, choice: _Choice) -> dict[str, Any]:
    model, use, champion = choice.model, choice.use, choice.model.champion
    listed = _list(folder, use.label) if use else {}
    return {
        "format": FORMAT,
        "tenant": model.fleet.tenant,
        "fleet": model.fleet.name,
        "entity": model.entity_key,
        "version": use.label if use else None,
        "number": use.number if use else None,
        "id": str(use.pk) if use else None,
        "digest": use.artifact_digest if use else None,
        "promoted_at": files.instant(use.promoted_at) if use else None,
        "path": use.label if use else None,
        "forecaster": files.forecaster_name(listed["format"]) if use else None,
        "forecaster_format": listed.get("format"),
        "files": listed.get("files", {}),
        "is_champion": use is not None and use == champion,
        "note": choice.note,
    }


def _link(folder: Folder, choice: _Choice) -> None:
    with folder.below(LINKS) as links:
        if choice.use is None:
            links.remove(LATEST)
        elif not links.link(LATEST, f"../{choice.use.label}"):
            copied = _files(folder, choice.use.label)
            if not links.is_folder(LATEST) or _files(links, LATEST) != copied:
                links.replace_folder(LATEST, copied)


def _files(folder: Folder, name: str) -> dict[str, bytes]:
    with folder.below(name) as found:
        return {each: found.read(each) or b"" for each in found.names()}


def _wanted(choice: _Choice, job: Job) -> list[ModelVersion]:
    ready = choice.model.versions.filter(state=ModelVersion.State.READY).order_by("-number")
    newest = list(ready if job.all_versions else ready[: choice.model.fleet.export.versions])
    for version in newest:
        version.registered_model = choice.model
    used = [choice.use] if choice.use is not None else []
    return [*used, *(version for version in newest if version not in used)]


def _ensure(folder: Folder, version: ModelVersion) -> None:
    """Write the folder of a version unless it is there and whole."""
    if not folder.is_folder(version.label):
        folder.write_folder(version.label, _contents(version))
    elif not _is_whole(folder, version):
        folder.replace_folder(version.label, _contents(version))
    else:
        _refresh(folder, version)


def _contents(version: ModelVersion) -> dict[str, bytes]:
    return {**files.contents(version), files.METADATA: files.metadata(version)}


def _is_whole(folder: Folder, version: ModelVersion) -> bool:
    listed = _list(folder, version.label)
    with folder.below(version.label) as found:
        digests = {name: hashlib.sha256(found.read(name) or b"").hexdigest() for name in listed.get("files", {})}
    return bool(digests) and digests == listed["files"] and listed["digest"] == version.artifact_digest


def _list(folder: Folder, label: str) -> dict[str, Any]:
    with folder.below(label) as found:
        return _parsed(found.read(files.LIST))


def _refresh_metadata(folder: Folder, model: RegisteredModel) -> None:
    for version in model.versions.filter(label__in=_labels(folder)):
        version.registered_model = model
        _refresh(folder, version)


def _refresh(folder: Folder, version: ModelVersion) -> None:
    written = files.metadata(version)
    with folder.below(version.label) as found:
        if found.read(files.METADATA) != written:
            found.write(files.METADATA, written)


def _clear(folder: Folder, wanted: set[str], at: datetime) -> datetime | None:
    """Remove what is not needed since the pointer moved long enough ago; return when the rest can go."""
    for name in folder.leftovers():
        if folder.written_at(name) < (at - LEFTOVER).timestamp():
            folder.remove(name)
    pointer, grace = folder.read(POINTER), timedelta(seconds=conf.current().export_grace_seconds)
    surplus = [label for label in _labels(folder) if label not in wanted and label != _path(pointer)]
    # By the file: a writer that died after it moved the pointer has recorded nothing.
    moved_at = datetime.fromtimestamp(folder.written_at(POINTER), at.tzinfo) if pointer else at - grace
    if surplus and moved_at + grace > at:
        return moved_at + grace
    for label in surplus:
        folder.remove(label)
    return None


def _labels(folder: Folder) -> Sequence[str]:
    return [name for name in folder.names() if name != LINKS and folder.is_folder(name)]
