"""`manage.py apply`: brings fleets to what their files say, all files or none, and tells every difference."""

from __future__ import annotations

import shutil
import textwrap
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from config import fleet_file
from config.fleet_file import FleetFile, FleetFileInvalid, Outcome
from registry import terminal
from registry.configure import Change, FieldChange
from registry.sections import Problem, shown
from training import clock

SIGNS = {"created": "+", "updated": "~", "adopted": "~", "disabled": "-", "deleted": "-"}
COLOURS = {"+": "green", "~": "yellow", "-": "red"}


class Command(terminal.Command):
    """Read every file, then apply them in one transaction."""

    writes = True
    help = "Create or update the fleets that these files describe. Applying a file twice changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="a fleet file (TOML), see docs/fleet-files.md"
        )
        parser.add_argument("--dry-run", action="store_true", help="show the differences and write nothing")
        parser.add_argument("--adopt", action="store_true", help="take over what was made by hand under the same names")

    def handle(self, *args: Any, **options: Any) -> None:
        """Apply; ends with 2 where a file is not sound, and then nothing was written."""
        files = self._read(options["files"])
        outcomes = fleet_file.apply(files, at=clock.now(), adopt=options["adopt"], dry_run=options["dry_run"])
        for outcome in outcomes:
            self._show(outcome, dry_run=options["dry_run"])

    def _read(self, paths: Sequence[Path]) -> list[FleetFile]:
        files, refused = [], []
        for path in paths:
            try:
                files.append(fleet_file.read(path))
            except FleetFileInvalid as invalid:
                refused.append(invalid)
        if refused:
            paragraphs = "\n".join(explained(invalid) for invalid in refused)
            raise terminal.Refused(f"{paragraphs}\nNothing was changed. Correct the file and apply it again.")
        return files

    def _show(self, outcome: Outcome, *, dry_run: bool) -> None:
        name = outcome.file.fleet.name
        if not outcome.changes:
            self.say(f"Fleet {name}: nothing to change.")
            return
        for change in outcome.changes:
            self.console.print(_text(change))
        if dry_run:
            self.say("Dry run: nothing was written.")
            return
        self.say(f"Fleet {name} is now as {outcome.file.path} says.")
        if outcome.file.source:
            self.say(f"Next: manage.py retrain {name}")
        else:
            self.say("Nothing here retrains it: its versions are registered from elsewhere.")
            self.say(f"Next: manage.py register {name} ENTITY --create --bundle FILE")


def explained(invalid: FleetFileInvalid) -> str:
    """Return the refusal of one file: a line, then each problem with its key, its value and what is allowed."""
    return "\n".join([invalid.sentence, *(_explained(each) for each in invalid.problems)])


def _explained(problem: Problem) -> str:
    given = f" = {problem.value}" if problem.value else " is absent"
    width = min(shutil.get_terminal_size().columns, 120)
    allowed = textwrap.fill(problem.allowed, width, initial_indent="      allowed: ", subsequent_indent=" " * 15)
    return f"  {problem.key}{given}\n{allowed}"


def _text(change: Change) -> Text:
    sign = SIGNS[change.action]
    text = Text(f"{sign} {change.subject}: {change.action}", style=COLOURS[sign])
    if change.note:
        text.append(f" ({change.note})")
    for each in change.fields:
        text.append(f"\n    {_difference(each, is_new=change.action == 'created')}", style="default")
    return text


def _difference(each: FieldChange, *, is_new: bool) -> str:
    return f"{each.field}: {shown(each.new)}" if is_new else f"{each.field}: {shown(each.old)} -> {shown(each.new)}"
