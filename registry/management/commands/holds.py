"""`manage.py holds`: which versions of a fleet are held, by whom, why and until when."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from registry import display, holding, terminal, timestamps
from registry.models import Hold

SHOWN = 100


class Command(terminal.Command):
    """List holds."""

    writes = False
    help = "List the holds on the versions of a fleet, or of one model, with who placed each."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet")
        parser.add_argument("entity", nargs="?", help="of this model alone")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument("--limit", type=int, default=SHOWN, help="holds at most; default %(default)s")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends 0, or 3 where nothing is held."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        rows = Hold.objects.filter(version__fleet=fleet).order_by("-pk")
        if options["entity"]:
            rows = rows.filter(version__registered_model=terminal.find_model(fleet, options["entity"]))
        limit = terminal.limit(options)
        found = list(rows.select_related("version__registered_model__fleet")[: limit + 1])
        more, found = len(found) > limit, found[:limit]
        if options["json"]:
            self.print_json({"fleet": fleet.name, "holds": [_plain(each) for each in found]})
        elif found:
            columns = ["id>", "version", "placed by", "since", "until", "reason~"]
            self.console.print(terminal.table(f"Holds of {fleet}", columns, [_cells(each) for each in found]))
            told = "The newest " * more + display.counted(len(found), "hold") + "; there are more, see --limit" * more
            self.say(f"{told}. One that is over keeps nothing.")
        else:
            self.say("Nothing is held.")
        if not found:
            self.end(terminal.NOTHING_TO_DO)


def _cells(hold: Hold) -> tuple[object, ...]:
    since = timestamps.readable(hold.created_at)
    until = timestamps.readable(hold.until) if hold.until else holding.OPEN
    named = f"{hold.version.registered_model.entity_key} v{hold.version.number}"
    return (hold.pk, named, hold.holder, since, until, hold.reason)


def _plain(hold: Hold) -> dict[str, Any]:
    version = hold.version
    return {
        "id": hold.pk,
        "entity": version.registered_model.entity_key,
        "version": version.pk,
        "number": version.number,
        "placed_by": hold.placed_by,
        "actor": hold.actor,
        "reason": hold.reason,
        "until": hold.until,
        "created_at": hold.created_at,
    }
