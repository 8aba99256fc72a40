"""The address of the tests' database, for processes that a test starts."""

from __future__ import annotations

from urllib.parse import quote

from django.db import connection


def url() -> str:
    """The address of the database that the tests made and migrated."""
    database = connection.settings_dict
    return f"postgres://{database['USER']}@/{quote(database['HOST'])}/{database['NAME']}"
