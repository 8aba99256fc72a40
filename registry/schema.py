"""Owns whether the database is as new as the code: found out afresh until it is, never from a list in the code."""

from __future__ import annotations

from functools import lru_cache

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

_reached = False


def unapplied() -> list[str]:
    """Return the migrations of this code that the database has not seen, as `app.name`."""
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in _known() - set(applied))


def is_behind() -> bool:
    """Whether work has to wait for `manage.py migrate`; once it is not, this process asks no more."""
    global _reached
    _reached = _reached or not unapplied()
    return not _reached


@lru_cache(maxsize=1)
def _known() -> frozenset[tuple[str, str]]:
    # Code does not change while a process runs; what is applied may.
    return frozenset(MigrationLoader(None).disk_migrations)
