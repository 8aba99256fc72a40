"""★ How versions become folders: for consumers that read files alone, with one file that says which version to use.

Bytes first, pointer last: a folder is written whole under another name, then the pointer file of its model is replaced
in one step, then what nobody needs goes, after a grace. Whoever follows the pointer finds a complete folder at any
moment. Writers in many processes agree by a lock of the database, under which each reads who serves now.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from registry import conf
from registry.export import choosing, files, folders, names, pointer
from registry.export.choosing import Choice
from registry.export.folders import ExportFailed, Folder
from registry.export.pointer import ExportBusy
from registry.models import Export, ModelVersion, RegisteredModel

__all__ = ["ExportBusy", "ExportFailed", "Exported", "Job", "check", "export", "note_failure", "place", "root"]

# A writer that takes longer is gone; what it left is removed.
LEFTOVER = timedelta(hours=1)
RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(minutes=10)
# How often what is to be named may change between its folder and its pointer; more is no accident.
ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where to, how much, and whether the installation's own record of it is kept."""

    root: Path
    at: datetime
    all_versions: bool = False
    is_thorough: bool = True
    """Whether folders that stand are read to see that they are whole, also where the pointer stays as it is."""
    is_recorded: bool = True


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What stands in the folder of one model now."""

    registered_model: RegisteredModel
    folder: Path
    version: ModelVersion | None
    """That the pointer names; None where none can be used."""
    labels: tuple[str, ...]
    note: str
    """Why the pointer names none, or not the champion; empty where it names the champion."""
    due_at: datetime | None = None
    """When folders can go that are not needed any more."""


def root() -> Path:
    """Return the export folder of this installation."""
    return Path(conf.current().export_dir)


def check(path: Path) -> None:
    """Raise ExportFailed unless folders can be made below it."""
    with folders.reported(f"The export folder {path}"), folders.root(path) as top:
        top.probe()


def place(model: RegisteredModel) -> tuple[str, str, str]:
    """Return the names of the folders, below the root, in which those of a model's versions lie."""
    return names.folder(model.fleet.tenant), names.folder(model.fleet.name), names.folder(model.entity_key)


def export(model_id: int, job: Job) -> Exported:
    """Bring the folder of one model to what the registry says.

    Raises ExportFailed, ExportBusy, ExportOvertaken, and what reading the artifacts raises; the pointer then names a
    complete folder all the same.
    """
    model = choosing.now(model_id).model
    with (
        folders.reported(f"{model} below {job.root}"),
        folders.root(job.root) as top,
        top.below(*place(model)) as folder,
    ):
        choice = _point(model_id, folder, job)
        wanted = choosing.wanted(choice, all_versions=job.all_versions)
        for version in wanted:
            if version != choice.use:
                _ensure(folder, version, is_examined=job.is_thorough)
        _refresh_others(folder, choice.model, wanted)
        due_at = _clear(choice, folder, job)
    done = Exported(
        registered_model=choice.model,
        folder=folder.path,
        version=choice.use,
        labels=tuple(version.label for version in wanted),
        note=choice.note,
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


def _point(model_id: int, folder: Folder, job: Job) -> Choice:
    """Write the folder that the pointer is to name, then the pointer, if that is still the one to name."""
    for _ in range(ATTEMPTS):
        choice = choosing.now(model_id)
        stays = pointer.is_current(folder, choice)
        if choice.use is not None:
            _ensure(folder, choice.use, is_examined=job.is_thorough or not stays)
        if stays and not job.is_thorough and _is_done(folder, choice):
            return choice
        with pointer.locked(model_id) as check:
            # Read under the lock: whoever writes the pointer last has read last.
            now = choosing.now(model_id)
            listed = files.listed(folder, now.use) if now.use else None
            if choice.is_same(now) and (now.use is None or listed is not None):
                moved = pointer.write(folder, now, listed, check=check)
                if job.is_recorded:
                    _record(now, {"moved_at": job.at} if moved else {})
                return now
    raise ExportBusy("What serves changes faster than its folder is written.")


def _is_done(folder: Folder, choice: Choice) -> bool:
    """Whether nothing is left to do under the lock for a pointer that stays as it is."""
    use = choice.use
    return pointer.is_linked(folder, use) and Export.objects.filter(pk=choice.model.pk, version=use).exists()


def _record(choice: Choice, moved: dict[str, datetime]) -> None:
    Export.objects.update_or_create(pk=choice.model.pk, defaults={"version": choice.use, **moved})


def _ensure(folder: Folder, version: ModelVersion, *, is_examined: bool) -> None:
    """Write the folder of a version unless it is there and, where it is examined, whole."""
    if not folder.is_folder(version.label):
        folder.write_folder(version.label, _contents(version))
    elif is_examined and not files.is_whole(folder, version):
        folder.replace_folder(version.label, _contents(version))
    else:
        _refresh(folder, version)


def _contents(version: ModelVersion) -> dict[str, bytes]:
    return {**files.contents(version), files.METADATA: files.metadata(version)}


def _refresh_others(folder: Folder, model: RegisteredModel, done: Sequence[ModelVersion]) -> None:
    for version in model.versions.filter(label__in=set(_labels(folder)) - {each.label for each in done}):
        version.registered_model = model
        _refresh(folder, version)


def _refresh(folder: Folder, version: ModelVersion) -> None:
    written = files.metadata(version)
    with folder.below(version.label) as found:
        if found.read(files.METADATA) != written:
            found.write(files.METADATA, written)


def _clear(choice: Choice, folder: Folder, job: Job) -> datetime | None:
    """Remove what has not been needed for the grace; return when more can go."""
    for name in folder.leftovers():
        if (folder.written_at(name) or math.inf) < (job.at - LEFTOVER).timestamp():
            folder.remove(name)
    if not _surplus(choice, folder, job):
        return None
    with pointer.locked(choice.model.pk) as check:
        # Looked up again under the lock: another process may have made one of them what is used.
        surplus = _surplus(choosing.now(choice.model.pk), folder, job)
        gone = [folder.hide(label, before=check) for label, at in surplus.items() if at <= job.at]
    for name in gone:
        folder.remove(name)
    return min((at for at in surplus.values() if at > job.at), default=None)


def _surplus(choice: Choice, folder: Folder, job: Job) -> dict[str, datetime]:
    """Return the folders that are not needed, each with the time when it can go."""
    kept = {pointer.path(folder), *(each.label for each in choosing.wanted(choice, all_versions=job.all_versions))}
    return {label: _needed_until(folder, label, job.at) for label in _labels(folder) if label not in kept}


def _needed_until(folder: Folder, label: str, at: datetime) -> datetime:
    # By the files: a writer that died after it moved the pointer has recorded nothing, and another may be about to.
    written = [found for name in (label, pointer.NAME) if (found := folder.written_at(name)) is not None]
    return datetime.fromtimestamp(max(written, default=0.0), at.tzinfo) + timedelta(
        seconds=conf.current().export_grace_seconds
    )


def _labels(folder: Folder) -> Sequence[str]:
    return [name for name in folder.names() if name != pointer.LINKS and folder.is_folder(name)]
