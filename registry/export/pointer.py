"""Owns the file that says which version of a model to use, its link, and the lock of the database that orders writers.

A pointer is moved under the lock alone, by a writer that has read there what to name and still holds it at the end.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db import Error, OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from registry import errors
from registry.export import files
from registry.export.choosing import Choice
from registry.export.folders import Folder

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


def write(folder: Folder, choice: Choice, *, check: Callable[[], None]) -> bool:
    """Write the pointer and its link where they are not so already; return whether another version is named now."""
    present = folder.read(NAME)
    if choice.model.champion is not None:
        written = files.dump(_content(folder, choice))
        if written != present:
            folder.write(NAME, written, before=check)
        _link(folder, choice, check)
    return _parsed(present).get("id") != (choice.use and str(choice.use.pk))


def path(folder: Folder) -> str:
    """Return the folder that the pointer names; empty where it names none."""
    return str(_parsed(folder.read(NAME)).get("path") or "")


def is_right(folder: Folder, choice: Choice) -> bool:
    """Whether the pointer names what it should, and that is there."""
    found, use = _parsed(folder.read(NAME)), choice.use
    if use is None:
        return "id" in found and found["id"] is None
    return (found.get("id"), found.get("path")) == (str(use.pk), use.label) and folder.is_folder(use.label)


def listed(folder: Folder, label: str) -> dict[str, Any]:
    """Return the list of files of one version's folder."""
    with folder.below(label) as found:
        return _parsed(found.read(files.LIST))


def _execute(statement: str, *values: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _check() -> None:
    # Any statement does: the lock lives as long as the transaction, and no other session can answer inside of it.
    try:
        _execute("SELECT 1")
    except Error as error:
        raise ExportOvertaken("The database took the lock of this folder back while its writer stood still.") from error


def _parsed(content: bytes | None) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything that somebody put in its place."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _content(folder: Folder, choice: Choice) -> dict[str, Any]:
    model, use, champion = choice.model, choice.use, choice.model.champion
    described = listed(folder, use.label) if use else {}
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
        "forecaster": files.forecaster_name(described["format"]) if use else None,
        "forecaster_format": described.get("format"),
        "files": described.get("files", {}),
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
        return {each: found.read(each) or b"" for each in found.names()}
