"""Owns small tables as CSV that gives back exactly what was put in: typed columns, shortest exact floats. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import IO, Any, cast

from registry import errors

# Looked at at once: a chunk of rows lies in memory as text, cell by cell, whatever the number of columns.
CHECKED_CELLS = 10_000
CHECKED_CHARACTERS = 1_000_000
READ_BYTES = 64 * 1024
# A table that is read in one piece.
SHORT_BYTES = 64 * 1024
Cell = bool | int | float | str | datetime | date | None


class TableInvalid(errors.Invalid):
    """The table cannot be stored exactly, or the bytes are no such table."""

    code = "table_invalid"
    next_step = "Use finite numbers, text, dates and aware times, one kind in each column."


class TableTooLarge(TableInvalid):
    """A table from elsewhere has more rows, columns or cells than are taken in; none is ever cut."""

    code = "table_too_large"
    status = 422
    next_step = "Register fewer predictions, or coarser ones; an administrator may raise PERENNIAL_REGISTRY_TABLE_…"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is taken in of one table from elsewhere."""

    columns: int
    rows: int
    cells: int
    row_characters: int


@dataclass(frozen=True)
class Table:
    """Columns by name, and rows of the same length. A cell is a number, text, switch, date, instant, or None."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()

    def column(self, name: str) -> list[Any]:
        """Return the cells of one column. Raises ValueError for an unknown name."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def load(data: bytes, *, kinds: Sequence[Sequence[str]]) -> Table:
    """Return the table of a CSV. Raises TableInvalid for one that does not fit `kinds`."""
    columns, rows = read(io.BytesIO(data), kinds=kinds)
    return Table(columns, tuple(rows))


def read(
    source: IO[bytes] | io.RawIOBase, *, kinds: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], Iterator[tuple[Cell, ...]]]:
    """Return the names of the columns, and an iterator over the rows, each as `load` has it; keeps none.

    Both raise TableInvalid.
    """
    with _as_invalid():
        rows = _rows(source)
        return _head(next(rows, None), kinds), _parsed(rows, [_READERS[kind] for _, kind in kinds])


def check(
    source: IO[bytes] | io.RawIOBase, *, kinds: Sequence[Sequence[str]], bounds: Bounds, size: int | None = None
) -> int:
    """Return how many rows a CSV of `size` bytes has, each as `load` wants it; keeps none.

    Raises TableInvalid, TableTooLarge.
    """
    with _as_invalid():
        if len(kinds) > bounds.columns:
            raise TableTooLarge(f"A table has {len(kinds)} columns; at most {bounds.columns} are taken in.")
        # No row is longer than its table; most tables are that small, and reading them so takes a third of the time.
        short = size is not None and size <= min(bounds.row_characters, SHORT_BYTES)
        rows = _whole(source) if short else _Bounded(_text(source), most=bounds.row_characters).rows()
        _head(next(rows, None), kinds)
        most = max(1, CHECKED_CELLS // max(1, len(kinds)))
        chunks = iter(lambda: list(islice(rows, most)), []) if short else _chunks(rows, most=most)
        return _count(chunks, [_CHECKERS[kind] for _, kind in kinds], bounds)


def _parsed(rows: Iterator[list[str]], readers: Sequence[Callable[[str], Cell]]) -> Iterator[tuple[Cell, ...]]:
    with _as_invalid():
        for row in rows:
            yield tuple(parse(cell) for parse, cell in zip(readers, row, strict=True))


def _text(source: IO[bytes] | io.RawIOBase) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(cast(io.RawIOBase, source), READ_BYTES), encoding="utf-8", newline="")


def _whole(source: IO[bytes] | io.RawIOBase) -> Iterator[list[str]]:
    return csv.reader(io.StringIO((source.read() or b"").decode(), newline=""), strict=True)


def _rows(source: IO[bytes] | io.RawIOBase) -> Iterator[list[str]]:
    return csv.reader(_text(source), strict=True)


class _Bounded:
    """The lines of a CSV, one by one; refuses a row that goes on and on, before it is in memory."""

    def __init__(self, text: io.TextIOWrapper, *, most: int) -> None:
        self._text, self._most, self._row = text, most, 0

    def rows(self) -> Iterator[list[str]]:
        for row in csv.reader(self, strict=True):
            self._row = 0
            yield row

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._most + 1)
        if not line:
            raise StopIteration
        self._row += len(line)
        if self._row > self._most:
            raise TableTooLarge(f"A row has more than {self._most} characters.")
        return line


@contextmanager
def _as_invalid() -> Iterator[None]:
    try:
        yield
    except TableInvalid:
        raise
    except (csv.Error, ValueError, KeyError, TypeError) as error:
        raise TableInvalid(f"The table does not fit its columns: {error}.") from error


def _head(row: list[str] | None, kinds: Sequence[Sequence[str]]) -> tuple[str, ...]:
    columns = tuple(name for name, _ in kinds)
    if row is None or tuple(row) != columns:
        raise TableInvalid(f"The table does not have the columns {list(columns)[:20]}.")
    return columns


def _count(
    chunks: Iterator[list[list[str]]], checkers: Sequence[Callable[[Iterable[str]], bool]], bounds: Bounds
) -> int:
    count, width = 0, max(1, len(checkers))
    for chunk in chunks:
        count += len(chunk)
        if count > bounds.rows or count * width > bounds.cells:
            raise TableTooLarge(f"A table has more than {bounds.rows} rows, or {bounds.cells} cells.")
        _check(chunk, checkers)
    return count


def _chunks(rows: Iterator[list[str]], *, most: int) -> Iterator[list[list[str]]]:
    chunk: list[list[str]] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += sum(map(len, row))
        if len(chunk) == most or characters > CHECKED_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _check(rows: list[list[str]], checkers: Sequence[Callable[[Iterable[str]], bool]]) -> None:
    # Column by column, because a loop over the cells of thousands of bundles would take most of their time.
    columns = list(zip(*rows, strict=True))
    if len(columns) != len(checkers):
        raise TableInvalid(f"A row has {len(columns)} cells, the table {len(checkers)} columns.")
    if not all(check(filter(None, cells)) for check, cells in zip(checkers, columns, strict=True)):
        raise TableInvalid("A cell is not of the kind of its column.")


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
