"""`manage.py history`: the ledger of a fleet or of one model, to read, as CSV, or as JSON lines for verification."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from registry import terminal, timestamps
from registry.history import ledger_export, service_record
from registry.history.ledger_export import Wanted
from registry.models import Event, Fleet, RegisteredModel

SHOWN = 20
WRITERS = {"csv": ledger_export.as_csv, "jsonl": ledger_export.as_json_lines}


class Command(terminal.Command):
    """Show the newest lines, or write all of them."""

    writes = False
    help = "Show what happened to a fleet or a model, who served when, or write the ledger to a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("fleet")
        parser.add_argument("entity", nargs="?", help="one model of the fleet")
        parser.add_argument("--tenant", help="owner of the fleet, where two tenants have one of this name")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--csv", dest="format", action="store_const", const="csv", help="all lines, for spreadsheets")
        what.add_argument(
            "--jsonl", dest="format", action="store_const", const="jsonl", help="all lines, to verify the chains with"
        )
        what.add_argument("--champions", action="store_true", help="who served when; for a fleet at --at")
        parser.add_argument("--at", help="with --champions of a fleet: the instant; default: now")
        parser.add_argument("--since", help="no earlier lines; a date, or ISO 8601 with an offset")
        parser.add_argument("--until", help="no lines from this instant on")
        parser.add_argument("--output", type=Path, help="write to this file; default: standard output")
        parser.add_argument("--limit", type=int, default=SHOWN, help="newest lines on the screen; default %(default)s")

    def handle(self, *args: Any, **options: Any) -> None:
        """Find what is asked for, then show or write it."""
        fleet = terminal.find_fleet(options["fleet"], tenant=options["tenant"])
        model = terminal.find_model(fleet, options["entity"]) if options["entity"] else None
        since, until, at = (terminal.instant(options, name) for name in ("since", "until", "at"))
        limit = terminal.limit(options)
        if at is not None and (model is not None or not options["champions"]):
            raise terminal.Refused("--at goes with --champions of a whole fleet. For lines in time: --since, --until.")
        wanted = Wanted(fleet=fleet, registered_model=model, since=since, until=until)
        if options["format"]:
            self._write(wanted, options["format"], options["output"])
        elif not options["champions"]:
            self._show(wanted, limit)
        elif model is not None:
            self._periods(wanted, model, limit)
        else:
            self._champions(fleet, at or timestamps.utc_now())

    def _write(self, wanted: Wanted, format: str, output: Path | None) -> None:
        with _opened(output) if output else contextlib.nullcontext(cast(TextIO, self.stdout._out)) as file:
            for piece in WRITERS[format](wanted):
                file.write(piece)
        if output:
            self.say(f"Written to {output}.")

    def _show(self, wanted: Wanted, limit: int) -> None:
        rows = ledger_export.in_time(wanted).filter(fleet=wanted.fleet)
        if wanted.registered_model is not None:
            rows = rows.filter(registered_model=wanted.registered_model)
        lines = list(rows.select_related("registered_model", "from_version", "to_version").order_by("-pk")[:limit])
        if not lines:
            self.say("Nothing happened in that time.")
            self.end(terminal.NOTHING_TO_DO)
        columns = ["at", "entity", "line>", "what", "from>", "to>", "who", "cause", "reason~"]
        self.console.print(terminal.table(f"History of {wanted.fleet}", columns, map(_line, lines)))

    def _periods(self, wanted: Wanted, model: RegisteredModel, limit: int) -> None:
        rows = service_record.periods(model, since=wanted.since, until=wanted.until).order_by("-count")[:limit]
        self._served(f"Champions of {model}", [service_record.served(row) for row in rows])

    def _champions(self, fleet: Fleet, at: Any) -> None:
        limit, after = 1000, ""
        found: list[service_record.Served] = []
        while page := service_record.champions_at(fleet, at, limit=limit, after=after):
            found, after = found + page, page[-1].entity
        self._served(f"Champions of {fleet} at {at.isoformat()}", found)

    def _served(self, title: str, found: list[service_record.Served]) -> None:
        if not found:
            self.say("Nothing served then.")
            self.end(terminal.NOTHING_TO_DO)
        columns = ["entity", "version>", "label", "from", "until", "by", "cause", "reason~"]
        rows = [
            (each.entity, each.number, each.label, _second(each.since), _second(each.until) or "now", each.actor,
             each.cause, each.reason)
            for each in found
        ]  # fmt: skip
        self.console.print(terminal.table(title, columns, rows))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        # The line ends are those of the formats, on every system.
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise terminal.Failed(f"{path} cannot be written: {error.strerror}.") from error


def _line(event: Event) -> tuple[object, ...]:
    numbers = [version.number if version else None for version in (event.from_version, event.to_version)]
    entity = event.registered_model.entity_key if event.registered_model else None
    what = event.kind.removeprefix("registry.")
    return (_second(event.at), entity, event.count, what, *numbers, event.actor, event.cause, event.reason)


def _second(at: Any) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at else ""
