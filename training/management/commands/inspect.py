"""`manage.py inspect`: lets trainers read what was registered from elsewhere, now and in this process."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from registry import terminal
from registry.models import ModelVersion
from training import clock, following, inspection


class Command(terminal.Command):
    """Admit or turn away the versions that wait."""

    writes = True
    help = "Let trainers read the versions that were registered from elsewhere; workers do the same by themselves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 0 where every version was admitted, 1 where one was turned away or not read yet, 3 where none waited."""
        with following.quiet(options["verbosity"]):
            found = inspection.inspect(now=clock.now)
        refused, waiting = _named(found.turned_away), _named(found.waiting)
        if options["json"]:
            self.print_json({"admitted": found.admitted, "turned_away": refused, "waiting": waiting})
        else:
            self._show(found.admitted, refused, waiting)
        if refused or waiting:
            self.end(terminal.FAILED)
        if not found.admitted:
            self.end(terminal.NOTHING_TO_DO)

    def _show(self, admitted: int, refused: dict[str, str], waiting: dict[str, str]) -> None:
        for title, told in (("turned away and quarantined", refused), ("not read yet, tried again", waiting)):
            if told:
                self.console.print(terminal.table(title, ["version", "why~"], sorted(told.items())))
        if admitted or refused or waiting:
            self.say(f"{admitted} admitted and ready, {len(refused)} turned away, {len(waiting)} still waiting.")
        else:
            self.say("No version waits to be read.")


def _named(told: Mapping[UUID, str]) -> dict[str, str]:
    """Return the sentences by what people call the versions."""
    rows = ModelVersion.objects.select_related("registered_model__fleet").in_bulk(list(told))
    return {str(rows[each]): why for each, why in told.items()}
