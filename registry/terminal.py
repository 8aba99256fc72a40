"""Owns how commands speak: tables, JSON, exit codes, errors with a next step. Refuses progress where nobody watches."""

from __future__ import annotations

import difflib
import json
import os
import pwd
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, NoReturn, TextIO, cast

import rich.box
from django.core.management import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled, UndefinedColumn, UndefinedTable
from rich.console import Console
from rich.table import Table
from rich.text import Text

from registry import errors, schema, timestamps
from registry.models import Fleet, RegisteredModel

DONE, FAILED, USAGE, NOTHING_TO_DO = 0, 1, 2, 3

# A pipe has no width; a log is read in a window wider than a terminal of old.
PIPE_COLUMNS = 120

STYLES = {
    "green": ("passed", "active", "live", "on"),
    "yellow": ("held", "skipped", "superseded", "cancelled", "paused", "open", "silent"),
    "red": ("refused", "run", "timed", "failed", "never", "off"),
}
# A longer text that begins with such a word is a sentence.
LONGEST_STATE = 12
COLOURS = {word: colour for colour, words in STYLES.items() for word in words}

# What a terminal obeys, what turns the order of letters round, and what stands for a byte of a name that is not UTF-8.
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\n\t]")


class Failed(CommandError):
    """The command could not do what it was asked; ends with status 1."""

    def __init__(self, sentence: str, returncode: int = FAILED) -> None:
        super().__init__(readable(sentence), returncode=returncode)


class Refused(CommandError):
    """What was asked cannot be meant; ends with status 2."""

    def __init__(self, sentence: str, returncode: int = USAGE) -> None:
        super().__init__(readable(sentence), returncode=returncode)


class Command(BaseCommand):
    """A command of this product: ends 0 done, 1 failed, 2 usage, 3 nothing to do."""

    requires_system_checks = ()
    writes: ClassVar[bool]
    """Whether it may change anything; then it waits for `manage.py migrate`, as the tasks of workers do.

    Every command declares it; one that reads goes on, and says so where a table is not as this code knows it.
    """
    _no_color = False

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; an error that the product reports on purpose becomes one sentence and a next step."""
        self._no_color = bool(options.get("no_color"))
        try:
            self._check_tables()
            return super().execute(*args, **options)
        except (errors.Invalid, errors.NotFound) as error:
            raise Refused(str(error)) from error
        except errors.PerennialError as error:
            raise Failed(str(error)) from error
        except ProgrammingError as error:
            if not isinstance(error.__cause__, UndefinedTable | UndefinedColumn):
                raise
            raise Failed("The tables are missing or old. Run `manage.py migrate`, or `manage.py up`.") from error
        except OperationalError as error:
            raise Failed(_database(error)) from error

    def _check_tables(self) -> None:
        if self.writes and (missing := schema.unapplied()):
            raise Failed(
                f"The database is {len(missing)} migrations behind this code, so nothing was changed. "
                "Run `manage.py migrate`, then this again."
            )

    @property
    def console(self) -> Console:
        """Where people read: as wide as the terminal, or as COLUMNS says, or as a log is."""
        # Not the wrapper: it would end every piece of a line with a line break.
        stream = cast(TextIO, self.stdout._out)
        width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPE_COLUMNS
        return Console(
            file=stream, width=width, no_color=self._no_color or None, highlight=False, markup=False, emoji=False
        )

    @property
    def is_watched(self) -> bool:
        """Whether a person looks at a terminal, so that progress may be drawn."""
        return cast(TextIO, self.stdout._out).isatty()

    def say(self, text: str = "") -> None:
        """Write one paragraph for a person."""
        self.console.print(readable(text))

    def warn(self, text: str) -> None:
        """Write one paragraph beside what the command answers."""
        self.stderr.write(readable(text))

    def print_json(self, value: object) -> None:
        """Write one JSON value for a program."""
        self.stdout.write(json.dumps(value, indent=2, default=_plain, allow_nan=False))

    def end(self, status: int) -> NoReturn:
        """Leave with this status; everything has been said."""
        raise SystemExit(status)


def readable(text: str) -> str:
    """Return a text as it may be written to a terminal: what is neither a letter nor a line break, as its escape."""
    return _UNWRITABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> Table:
    """Return a table for `Command.console`.

    A column whose name ends in `>` is aligned to the right; one whose name ends in `~` may be broken into lines.
    """
    made = Table(
        title=readable(title), title_justify="left", title_style="bold",
        caption=readable(caption) or None, caption_justify="left",
        box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.endswith(">") else "left"
        made.add_column(column.rstrip(">~"), justify=justify, no_wrap=not column.endswith("~"))
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: object) -> Text:
    # A break within a cell would look like a row.
    text = "-" if value in (None, "") else _BREAKS.sub(_escape, readable(str(value)))
    return Text(text, style=COLOURS.get(text.partition(" ")[0], "") if len(text) <= LONGEST_STATE else "")


def number(value: float | None, digits: int = 4) -> str | None:
    """Return a measured value with its significant digits, as a table shows it."""
    if value is None:
        return None
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:#.{digits}g}".rstrip(".")


def ago(then: datetime | None, now: datetime) -> str | None:
    """Return how long ago (or how far ahead) an instant is, in its one largest unit."""
    if then is None:
        return None
    seconds = (now - then).total_seconds()
    amount = _largest_unit(abs(seconds))
    return f"{amount} ago" if seconds >= 0 else f"in {amount}"


def _largest_unit(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def close_names(name: str, known: Iterable[str]) -> str:
    """Return a hint at the names nearest to one that is unknown, or at all where there are few; empty where none is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3) or (names if len(names) <= 8 else [])
    return f"Did you mean {' or '.join(near)}?" if len(near) == 1 else f"There are {', '.join(near)}." if near else ""


def actor() -> str:
    """Return who runs the command, for the ledger: the person also behind sudo, else the user of the process."""
    if named := next(filter(None, map(os.environ.get, ("SUDO_USER", "USER", "LOGNAME"))), ""):
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number that nobody has
        return f"uid {os.getuid()}"


def limit(options: Mapping[str, Any]) -> int:
    """Return the option --limit. Raises Refused below 1."""
    if (given := int(options["limit"])) < 1:
        raise Refused(f"--limit {given}: allowed is 1 or more.")
    return given


def instant(options: Mapping[str, Any], name: str) -> datetime | None:
    """Return the instant of an option, None where it was not given. Raises Refused for what is none."""
    if not (text := options[name]):
        return None
    try:
        return timestamps.instant(text)
    except timestamps.TimestampInvalid as error:
        raise Refused(f"--{name.replace('_', '-')}: {error}") from error


def find_fleet(name: str, *, tenant: str | None = None) -> Fleet:
    """Return the fleet of this name. Raises Refused with the nearest names, or with the tenants that have one."""
    found = list(Fleet.objects.filter(name=name, **({"tenant": tenant} if tenant else {})))
    if len(found) == 1:
        return found[0]
    if found:
        tenants = " and ".join(sorted(each.tenant for each in found))
        raise Refused(f"Fleet {name} exists in tenants {tenants}. Choose one with --tenant.")
    where = f" in tenant {tenant}" if tenant else ""
    known = list(Fleet.objects.values_list("name", flat=True))
    hint = close_names(name, known) if known else "There is no fleet yet: manage.py apply FILE makes one."
    raise Refused(f"There is no fleet {name!r}{where}. {hint}".strip())


def find_model(fleet: Fleet, entity: str) -> RegisteredModel:
    """Return the model of an entity. Raises Refused with the nearest entities."""
    found = RegisteredModel.objects.select_related("fleet").filter(fleet=fleet, entity_key=entity).first()
    if found is None:
        known = RegisteredModel.objects.filter(fleet=fleet).order_by("entity_key").values_list("entity_key", flat=True)
        hint = close_names(entity, known.iterator()) if known.exists() else "It has no model yet."
        raise Refused(f"Fleet {fleet.name} has no entity {entity!r}. {hint}".strip())
    return found


def _database(error: OperationalError) -> str:
    cause = error.__cause__
    if isinstance(cause, QueryCanceled):
        return "The database took longer than a statement may. Ask for less at once, or try again later."
    if isinstance(cause, LockNotAvailable | DeadlockDetected):
        return "Another change of the same thing is under way. Try again in a few seconds."
    first = str(error).strip().splitlines()[0]
    return f"The database does not answer: {first}. Check DATABASE_URL, then try again."


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
