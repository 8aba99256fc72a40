"""`manage.py migrate`: Django's own, without the deadline of statements. Keeps the one of lock waits."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections


class Command(migrate.Command):
    """Apply migrations, however long an index takes to build."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Lift the deadline for this connection as long as it migrates."""
        connection = connections[options["database"]]
        # A wait for a lock still ends: whoever holds one that long is to be found, not to be queued behind.
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
        try:
            super().handle(*args, **options)
        finally:
            if connection.is_usable():
                with connection.cursor() as cursor:
                    cursor.execute("RESET statement_timeout")
                    cursor.execute("RESET idle_in_transaction_session_timeout")
