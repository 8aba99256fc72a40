"""Owns how a table becomes CSV: column by column, each formatted in one go. Pure.

Refuses mixed kinds and values that text cannot give back exactly. Reading is `registry.bundle.tables`; whatever is
written here has the bytes that the csv module would write of the same cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pydantic_core import to_json

from registry.bundle.tables import Cell, Table, TableInvalid

# Of what a cell is quoted for; the line end is that of RFC 4180.
_QUOTED = (",", '"', "\r", "\n")
_LINE_END = "\r\n"
_EXACT_INT = 2**53


@dataclass(frozen=True)
class Columns:
    """A table given by its columns, as arrays are: `cells` has one sequence for each name, all of one length.

    A float that is not a number (NaN) stands for no value.
    """

    names: tuple[str, ...] = ()
    cells: tuple[Sequence[Cell], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Written:
    """A table as it is stored."""

    kinds: tuple[tuple[str, str], ...]
    """Name and kind of each column."""
    data: bytes
    """CSV with a header line."""


def write(table: Table | Columns) -> Written:
    """Return a table as it is stored. Raises TableInvalid for mixed kinds and values that CSV cannot give back."""
    names, cells = _turned(table) if isinstance(table, Table) else (table.names, table.cells)
    if len(set(names)) != len(names) or len(cells) != len(names) or len(set(map(len, cells))) > 1:
        raise TableInvalid("Columns must have different names, and every row one cell for each.")
    missing = isinstance(table, Columns)
    columns = [_column(name, column, nan_is_missing=missing) for name, column in zip(names, cells, strict=True)]
    lines = zip(*(texts for _, texts in columns), strict=True) if columns else ((),) * _height(table)
    try:
        data = _csv(_quoted(names), lines).encode()
    except UnicodeEncodeError as error:
        raise TableInvalid(f"A text cannot be written as UTF-8: {error.reason}.") from error
    return Written(kinds=tuple((name, kind) for name, (kind, _) in zip(names, columns, strict=True)), data=data)


def _turned(table: Table) -> tuple[tuple[str, ...], tuple[Sequence[Cell], ...]]:
    if any(len(row) != len(table.columns) for row in table.rows):
        raise TableInvalid("Columns must have different names, and every row one cell for each.")
    return table.columns, tuple(zip(*table.rows, strict=True)) if table.rows else ((),) * len(table.columns)


def _height(table: Table | Columns) -> int:
    return len(table.rows) if isinstance(table, Table) else 0


def _csv(names: Sequence[str], lines: Any) -> str:
    rows = [",".join(names), *map(",".join, lines)]
    if len(names) == 1:
        # A line with nothing on it would be no row.
        rows = [row or '""' for row in rows]
    return _LINE_END.join(rows) + _LINE_END


def _column(name: str, cells: Sequence[Cell], *, nan_is_missing: bool) -> tuple[str, Sequence[str]]:
    """Return the kind of a column and the texts of its cells."""
    types = frozenset(map(type, cells))
    kind = _kind(types)
    texts: Sequence[str] | None = None
    if kind == "float":
        plain = cells if types <= _PLAIN_FLOATS else _floats(cells)
        texts = None if plain is None else _float_texts(plain, nan_is_missing=nan_is_missing)
    elif kind in _WRITERS and not (kind == "text" and type(None) in types):
        texts = _WRITERS[kind](cells)
    if texts is None:
        raise TableInvalid(f"The column {name!r} holds mixed kinds, or values that text cannot give back exactly.")
    return kind, texts


def _kind(types: frozenset[type]) -> str:
    kinds = {_KINDS.get(each) or _kind_of_subclass(each) for each in types if each is not type(None)}
    return "float" if kinds in ({"int", "float"}, set()) else kinds.pop() if len(kinds) == 1 else ""


def _kind_of_subclass(cell: type) -> str:
    # Scalars of the numeric libraries derive from float; their own text is no number.
    return "float" if issubclass(cell, float) else "instant" if issubclass(cell, datetime) else "unknown"


def _floats(cells: Sequence[Any]) -> list[float | None] | None:
    """Return numbers of several types as floats; None where one is none exactly."""
    if any(isinstance(cell, int) and abs(cell) > _EXACT_INT for cell in cells):
        return None
    return [None if cell is None else float(cell) for cell in cells]


def _float_texts(cells: Sequence[Any], *, nan_is_missing: bool) -> list[str] | None:
    """Return the shortest exact text of each float, as Python writes it; None where one has none."""
    if not cells:
        return []
    # All at once by a library, eight times as fast; where it may choose another notation than Python, by Python.
    text = to_json(cells, inf_nan_mode="constants").decode()
    if "I" in text or ("N" in text and not nan_is_missing):
        return None
    if "e" in text or "0.0000" in text:
        return ["" if cell is None or math.isnan(cell) else float.__repr__(cell) for cell in cells]
    # A number has none of these letters, and every cell stands between two of the others.
    plain = text.replace("null", "").replace("NaN", "") if "N" in text or "u" in text else text
    return plain[1:-1].split(",")


def _instant_texts(cells: Sequence[Any]) -> list[str] | None:
    if any(cell is not None and cell.utcoffset() is None for cell in cells):
        return None
    return ["" if cell is None else cell.astimezone(UTC).isoformat() for cell in cells]


def _int_texts(cells: Sequence[Any]) -> list[str]:
    if not cells:
        return []
    texts = to_json(cells).decode()[1:-1].split(",")
    return ["" if each == "null" else each for each in texts] if None in cells else texts


def _quoted(cells: Sequence[Any]) -> Sequence[str]:
    together = "".join(cells)
    if not any(each in together for each in _QUOTED):
        return cells
    return [_in_quotes(cell) if any(each in cell for each in _QUOTED) else cell for cell in cells]


def _in_quotes(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


_PLAIN_FLOATS = frozenset({float, type(None)})
_KINDS: Mapping[type, str] = {
    bool: "switch", int: "int", float: "float", str: "text", datetime: "instant", date: "date",
}  # fmt: skip
_WRITERS: Mapping[str, Callable[[Sequence[Any]], Sequence[str] | None]] = {
    "switch": lambda cells: ["" if cell is None else "true" if cell else "false" for cell in cells],
    "int": _int_texts,
    "text": _quoted,
    "instant": _instant_texts,
    "date": lambda cells: ["" if cell is None else date.isoformat(cell) for cell in cells],
}
