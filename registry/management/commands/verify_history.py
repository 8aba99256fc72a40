"""`manage.py verify_history`: whether every chain of the ledger holds, and every pointer agrees with it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from registry import display, terminal
from registry.history import chains
from registry.history.chains import Break
from registry.models import RegisteredModel

# More breaks than people read; the counts go on.
TOLD = 1000


class Command(terminal.Command):
    """Walk, tell, count."""

    writes = False
    help = (
        "Verify the ledger: every line, the links between them, and that champions, challengers and times of service "
        "are those of the ledger. Ends 0 where all holds, 1 where anything does not, 3 where there is nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet", nargs="?", help="this fleet alone")
        parser.add_argument("entity", nargs="?", help="this model of the fleet alone")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        parser.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell each break as it is found, then the sum."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"]) if options["fleet"] else None
        model = terminal.find_model(fleet, options["entity"]) if fleet and options["entity"] else None
        models, lines, count = 0, 0, 0
        told: list[dict[str, Any]] = []
        for walked in chains.walk(fleet_id=fleet.pk if fleet else None, model_id=model.pk if model else None):
            models, lines, count = models + walked.models, lines + walked.lines, count + len(walked.breaks)
            for found in _named(walked.breaks[: TOLD - len(told)]):
                told.append(found)
                if not options["json"]:
                    self.say(f"{found['fleet']}/{found['entity']} line {found['line']}: {found['detail']}")
        if options["json"]:
            self.print_json({"models": models, "lines": lines, "holds": not count, "broken": count, "breaks": told})
        else:
            self._sum_up(models, lines, count)
        self.end(terminal.NOTHING_TO_DO if not lines + count else terminal.FAILED if count else terminal.DONE)

    def _sum_up(self, models: int, lines: int, count: int) -> None:
        if not lines + count:
            self.say("The ledger has no line of a model yet: nothing to verify.")
        elif not count:
            self.say(f"{_walked(lines, models)}: every chain holds, every pointer agrees.")
        else:
            more = f", the first {TOLD:,} above" if count > TOLD else ""
            self.say(f"{_walked(lines, models)}: {display.counted(count, 'break')}{more}.")
            self.say("Next: compare with a backup or an exported ledger; somebody wrote to the database by hand.")


def _named(breaks: tuple[Break, ...]) -> Iterator[dict[str, Any]]:
    rows = RegisteredModel.objects.select_related("fleet").in_bulk({each.registered_model_id for each in breaks})
    for each in breaks:
        model = rows[each.registered_model_id]
        yield {
            "tenant": model.fleet.tenant, "fleet": model.fleet.name, "entity": model.entity_key, "line": each.count,
            "detail": each.sentence,
        }  # fmt: skip


def _walked(lines: int, models: int) -> str:
    return f"{display.counted(lines, 'line')} of {display.counted(models, 'model')}"
