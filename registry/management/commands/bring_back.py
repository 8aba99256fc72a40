"""`manage.py bring_back`: restores deleted versions from the backup store. Refuses bytes that do not verify."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from registry import holding, terminal, timestamps
from registry.retention import backups


class Command(terminal.Command):
    """Copy back, verify, make ready, hold."""

    writes = True
    help = "Bring deleted versions back from the backup store; they are ready again, and held."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("version", nargs="+", type=UUID, help="id of a deleted version")
        parser.add_argument("--reason", required=True, help="why")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Bring back what can be; ends 1 where one could not."""
        now, reason = timestamps.utc_now(), options["reason"]
        wanted = list(dict.fromkeys(options["version"]))
        back = backups.bring_back(wanted, actor=terminal.actor(), reason=reason, at=now)
        ready = holding.restore(sorted(back.changed), actor=terminal.actor(), reason=reason, at=now)
        refused = {**back.refused, **ready.refused}
        if options["json"]:
            told = {str(each): error.plain() for each, error in refused.items()}
            self.print_json({"ready": sorted(map(str, ready.changed)), "refused": told})
        else:
            for version_id in sorted(ready.changed):
                self.say(f"{version_id} is ready again, and held.")
            for version_id, error in refused.items():
                self.warn(f"{version_id}: {error}")
        if refused:
            self.end(terminal.FAILED)
