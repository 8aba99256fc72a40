"""Owns small tables as CSV that gives back exactly what was put in: typed columns, shortest exact floats. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from registry import errors

CHECKED_ROWS = 1000
Cell = bool | int | float | str | datetime | date | None


class TableInvalid(errors.Invalid):
    """The table cannot be stored exactly, or the bytes are no such table."""

    code = "table_invalid"
    next_step = "Use finite numbers, text, dates and aware times, one kind in each column."


@dataclass(frozen=True)
class Table:
    """Columns by name, and rows of the same length. A cell is a number, text, switch, date, instant, or None."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()

    def column(self, name: str) -> list[Any]:
        """Return the cells of one column. Raises ValueError for an unknown name."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def kinds_of(table: Table) -> list[list[str]]:
    """Return name and kind of each column. Raises TableInvalid for mixed kinds and values that CSV cannot give back."""
    if len(set(table.columns)) != len(table.columns) or any(len(row) != len(table.columns) for row in table.rows):
        raise TableInvalid("Columns must have different names, and every row one cell for each.")
    columns = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.columns)
    return [[name, _kind_of(name, cells)] for name, cells in zip(table.columns, columns, strict=True)]


def dump(table: Table, *, kinds: Sequence[Sequence[str]]) -> bytes:
    """Return the table as CSV with a header line; `kinds` is that of `kinds_of`."""
    text = io.StringIO(newline="")
    # The line end of RFC 4180: a writer with any other leaves a carriage return inside a text unquoted.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.columns)
    writers = [_WRITERS[kind] for _, kind in kinds]
    for row in table.rows:
        writer.writerow(["" if cell is None else write(cell) for write, cell in zip(writers, row, strict=True)])
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError as error:
        raise TableInvalid(f"A text cannot be written as UTF-8: {error.reason}.") from error


def load(data: bytes, *, kinds: Sequence[Sequence[str]]) -> Table:
    """Return the table of a CSV. Raises TableInvalid for one that does not fit `kinds`."""
    try:
        return _load(list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True)), kinds)
    except (csv.Error, ValueError, KeyError) as error:
        raise TableInvalid(f"The table does not fit its columns: {error}.") from error


def check(data: bytes, *, kinds: Sequence[Sequence[str]]) -> int:
    """Return how many rows a CSV has, each as `load` wants it; keeps none. Raises TableInvalid."""
    try:
        lines = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
        if next(lines, None) != [name for name, _ in kinds]:
            raise TableInvalid(f"The table does not have the columns {[name for name, _ in kinds][:20]}.")
        checkers = [_CHECKERS[kind] for _, kind in kinds]
        return sum(_check(rows, checkers) for rows in iter(lambda: list(islice(lines, CHECKED_ROWS)), []))
    except (csv.Error, ValueError, KeyError, TypeError) as error:
        raise TableInvalid(f"The table does not fit its columns: {error}.") from error


def _check(rows: list[list[str]], checkers: Sequence[Callable[[Iterable[str]], bool]]) -> int:
    # Column by column, because a loop over the cells of thousands of bundles would take most of their time.
    columns = list(zip(*rows, strict=True))
    if len(columns) != len(checkers):
        raise TableInvalid(f"A row has {len(columns)} cells, the table {len(checkers)} columns.")
    if not all(check(filter(None, cells)) for check, cells in zip(checkers, columns, strict=True)):
        raise TableInvalid("A cell is not of the kind of its column.")
    return len(rows)


def _load(lines: list[list[str]], kinds: Sequence[Sequence[str]]) -> Table:
    columns = tuple(name for name, _ in kinds)
    if not lines or tuple(lines[0]) != columns:
        raise TableInvalid(f"The table does not have the columns {list(columns)}.")
    readers = [_READERS[kind] for _, kind in kinds]
    return Table(
        columns, tuple(tuple(read(cell) for read, cell in zip(readers, row, strict=True)) for row in lines[1:])
    )


def _kind_of(name: str, cells: Sequence[Cell]) -> str:
    kinds = {_KINDS.get(type(cell)) or _kind_of_subclass(cell) for cell in cells if cell is not None}
    kind = "float" if kinds in ({"int", "float"}, set()) else kinds.pop() if len(kinds) == 1 else None
    if kind is None or kind not in _WRITERS or not all(_is_exact(kind, cell) for cell in cells):
        raise TableInvalid(f"The column {name!r} holds mixed kinds, or values that text cannot give back exactly.")
    return kind


def _kind_of_subclass(cell: Cell) -> str:
    # Scalars of the numeric libraries derive from float; their own text is no number.
    return "float" if isinstance(cell, float) else "instant" if isinstance(cell, datetime) else "unknown"


def _is_exact(kind: str, cell: Cell) -> bool:
    if cell is None:
        return kind != "text"
    if isinstance(cell, datetime):
        return cell.utcoffset() is not None
    if kind == "float" and isinstance(cell, int):
        return abs(cell) <= 2**53
    return not isinstance(cell, float) or math.isfinite(cell)


_KINDS: Mapping[type, str] = {
    bool: "switch", int: "int", float: "float", str: "text", datetime: "instant", date: "date",
}  # fmt: skip
_WRITERS: Mapping[str, Callable[[Any], str]] = {
    "switch": lambda cell: "true" if cell else "false",
    "int": int.__repr__,
    "float": lambda cell: float.__repr__(float(cell)),
    "text": str,
    "instant": lambda cell: cell.astimezone(UTC).isoformat(),
    "date": date.isoformat,
}


def _switch(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise TableInvalid(f"{text} is no finite number.")
    return number


def _or_none(read: Callable[[str], Cell]) -> Callable[[str], Cell]:
    return lambda text: None if text == "" else read(text)


_READERS: Mapping[str, Callable[[str], Cell]] = {
    "switch": _or_none(_switch),
    "int": _or_none(int),
    "float": _or_none(_finite),
    "text": str,
    "instant": _or_none(datetime.fromisoformat),
    "date": _or_none(date.fromisoformat),
}
_CHECKERS: Mapping[str, Callable[[Iterable[str]], bool]] = {
    "switch": lambda cells: {"true", "false"}.issuperset(cells),
    "int": lambda cells: not deque(map(int, cells), maxlen=0),
    "float": lambda cells: all(map(math.isfinite, map(float, cells))),
    "text": lambda cells: True,
    "instant": lambda cells: all(map(datetime.fromisoformat, cells)),
    "date": lambda cells: all(map(date.fromisoformat, cells)),
}
