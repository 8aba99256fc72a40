"""Owns CSV that spreadsheets open without running anything: a text that could begin a formula gets an apostrophe. Pure.

Numbers stay numbers, without quotes; texts are quoted. Taking one apostrophe off a cell gives back what was put in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

# What spreadsheets take for the beginning of a formula, in full width too; and the apostrophe itself, so that whoever
# takes one apostrophe off each text that has one gets back what was written.
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def text(value: str) -> str:
    """Return a text as a cell holds it."""
    return f"'{value}" if value.startswith(DANGEROUS) else value


def lines(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as lines of CSV (RFC 4180, UTF-8): None is an empty cell, an instant is written in UTC."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC).writerows(
        [_cell(value) for value in row] for row in rows
    )
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        # float() and int(): scalars of the numeric libraries write themselves otherwise.
        return value if value is None or isinstance(value, int) else float(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return text(value.isoformat() if isinstance(value, date) else str(value))
