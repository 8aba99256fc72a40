"""`manage.py inspect`: lets trainers read what was registered from elsewhere, now and in this process."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from registry import terminal
from registry.models import ModelVersion
from training import clock, following, inspection


class Command(terminal.Command):
    """Admit or turn away the versions that wait."""

    help = "Let trainers read the versions that were registered from elsewhere; workers do the same by themselves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 0 where every version was admitted, 1 where one was turned away, 3 where none waited."""
        with following.quiet(options["verbosity"]):
            found = inspection.inspect(now=clock.now)
        rows = ModelVersion.objects.select_related("registered_model__fleet").in_bulk(list(found.turned_away))
        refused = {str(rows[each]): why for each, why in found.turned_away.items()}
        if options["json"]:
            self.print_json({"admitted": found.admitted, "turned_away": refused})
        else:
            self._show(found.admitted, refused)
        if refused:
            self.end(terminal.FAILED)
        if not found.admitted:
            self.end(terminal.NOTHING_TO_DO)

    def _show(self, admitted: int, refused: dict[str, str]) -> None:
        if refused:
            rows = sorted(refused.items())
            self.console.print(terminal.table("turned away and quarantined", ["version", "why~"], rows))
        if admitted or refused:
            self.say(f"{admitted} admitted and ready, {len(refused)} turned away.")
        else:
            self.say("No version waits to be read.")
