"""`manage.py after_restore`: lets the ledger go on after a database was restored. Changes no line of it."""

from __future__ import annotations

from typing import Any

from registry import terminal
from registry.history import restoring


class Command(terminal.Command):
    """Renumber what will come, not what is there."""

    writes = True
    help = (
        "Run once after a database was restored from a backup: new events are numbered beyond all that any reader has "
        "read, whatever the new server counts. Changes no event. Running it again does no harm."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Set the offset."""
        was_needed = restoring.is_needed()
        offset = restoring.go_on()
        why = "This server counts from a lower number than the one before. " if was_needed else ""
        self.say(f"{why}New events are numbered from here on with {offset:,} added; readers go on where they are.")
