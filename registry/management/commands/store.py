"""`manage.py store`: whose the stores of files are, and what is wrong with them; notes it for the pages that tell it.

Writes a mark only where asked to.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from registry import ownership, terminal, timestamps
from registry.ownership import PURPOSES, Standing
from registry.upkeep import store_watch


class Command(terminal.Command):
    """Look at each store, tell, and where asked mark one."""

    writes = True
    help = "Show whether the artifact store and the backup store are those of this installation; ends 1 where not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--claim",
            choices=PURPOSES,
            help="mark the store at its present address as this installation's, whatever it says itself",
        )
        parser.add_argument(
            "--separate",
            action="store_true",
            help="give this database an id of its own, for a copy that goes on beside the original",
        )
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Mark what was asked for, then show how the stores stand."""
        if options["claim"] and options["claim"] not in ownership.in_use():
            raise terminal.Refused("No backup store is set: PERENNIAL_REGISTRY_BACKUP_URL.")
        if options["separate"]:
            ownership.separate()
        if options["claim"]:
            ownership.claim(options["claim"])
        seen = [ownership.standing(each) for each in ownership.in_use()]
        for each in seen:
            store_watch.note(each, at=timestamps.utc_now())
        self._show(seen, as_json=options["json"])
        if any(each.refused for each in seen):
            self.end(terminal.FAILED)

    def _show(self, seen: Sequence[Standing], *, as_json: bool) -> None:
        if as_json:
            self.print_json([_item(each) for each in seen])
            return
        rows = [(each.purpose, each.url, _state(each)) for each in seen]
        self.console.print(terminal.table("Stores", ["store", "address~", "state~"], rows))
        for each in seen:
            if each.refused:
                self.warn(str(each.refused))


def _item(seen: Standing) -> dict[str, Any]:
    refused = seen.refused and seen.refused.plain()
    return {**asdict(seen), "refused": refused}


def _state(seen: Standing) -> str:
    if seen.refused:
        return f"refused: {seen.refused.code}"
    return "this installation's" if seen.installation else "not marked yet; the first file does it"
