"""Owns the file that says which version of a model to use, its link, and the lock of the database that orders writers.

A pointer is moved under the lock alone, by a writer that has read there what to name and still holds it at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from django.db import Error, OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from registry import errors
from registry.export import files
from registry.export.choosing import Choice
from registry.export.files import Listed
from registry.export.folders import Folder
from registry.models import ModelVersion

NAME, LINKS, LATEST = "current.json", "production", "latest"
FORMAT = 1
# Makes the key of the database's lock one of this module's.
LOCK = 0x45585054 << 32


class ExportBusy(errors.Unavailable):
    """Another process writes the folders of this model."""

    code = "export_busy"
    next_step = "It is tried again by itself; a command is to be run again."


class ExportOvertaken(errors.Unavailable):
    """The writer stood still for so long that the database gave its lock away; it has written nothing since."""

    code = "export_overtaken"
    next_step = "It is tried again by itself; where that happens often, see whether its machine or disk stands still."


@contextlib.contextmanager
def locked(model_id: int) -> Iterator[Callable[[], None]]:
    """Hold the lock of a model's folder for the block, in a transaction of its own.

    Yields a check for the last moment before each step that others see: it raises ExportOvertaken where the lock is
    lost. Raises ExportBusy where another process keeps it.
    """
    with transaction.atomic():
        try:
            _execute("SELECT pg_advisory_xact_lock(%s)", LOCK + model_id % 2**32)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            raise ExportBusy("Another process writes the folder of this model.") from error
        yield _check


def write(folder: Folder, choice: Choice, listed: Listed | None, *, check: Callable[[], None]) -> bool:
    """Write the pointer and its link where they are not so already; return whether another version is named now.

    `listed` is the list of the version to be used; None where none is.
    """
    present = folder.read(NAME)
    if choice.model.champion is not None:
        written = files.dump(_content(choice, listed))
        if written != present:
            folder.write(NAME, written, before=check)
        _link(folder, choice, check)
    return files.parsed(present).get("id") != (choice.use and str(choice.use.pk))


def path(folder: Folder) -> str:
    """Return the folder that the pointer names; empty where it names none."""
    return str(files.parsed(folder.read(NAME)).get("path") or "")


def is_right(folder: Folder, choice: Choice) -> bool:
    """Whether the pointer names what it should, and that is there."""
    found, use = files.parsed(folder.read(NAME)), choice.use
    if use is None:
        return "id" in found and found["id"] is None
    return (found.get("id"), found.get("path")) == (str(use.pk), use.label) and folder.is_folder(use.label)


def is_current(folder: Folder, choice: Choice) -> bool:
    """Whether the pointer says all that it would say if it was written now. Looks into no file that it names."""
    known = files.listed(folder, choice.use) if choice.use else None
    if choice.use is not None and known is None:
        return False
    return choice.model.champion is None or folder.read(NAME) == files.dump(_content(choice, known))


def is_linked(folder: Folder, use: ModelVersion | None) -> bool:
    """Whether the link names that version; with None, whether there is no link."""
    with folder.found(LINKS) as links:
        if links is None or use is None:
            return use is None and (links is None or LATEST not in links.names())
        return links.target(LATEST) == f"../{use.label}"


def _execute(statement: str, *values: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _check() -> None:
    # Any statement does: the lock lives as long as the transaction, and no other session can answer inside of it.
    try:
        _execute("SELECT 1")
    except Error as error:
        raise ExportOvertaken("The database took the lock of this folder back while its writer stood still.") from error


def _content(choice: Choice, listed: Listed | None) -> dict[str, Any]:
    model, use, champion = choice.model, choice.use, choice.model.champion
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
        "forecaster": files.forecaster_name(listed.format) if listed else None,
        "forecaster_format": listed.format if listed else None,
        "files": listed.files if listed else {},
        "is_champion": use is not None and use == champion,
        "note": choice.note,
    }


def _link(folder: Folder, choice: Choice, check: Callable[[], None]) -> None:
    with folder.below(LINKS) as links:
        if choice.use is None:
            check()
            links.remove(LATEST)
        elif not links.link(LATEST, f"../{choice.use.label}", before=check):
            copied = _files(folder, choice.use.label)
            if not links.is_folder(LATEST) or _files(links, LATEST) != copied:
                check()
                links.replace_folder(LATEST, copied)


def _files(folder: Folder, name: str) -> dict[str, bytes]:
    with folder.below(name) as found:
        return {each: found.read(each, limit=files.largest()) or b"" for each in found.names()}
