"""How many rows a query has, without reading them all: exact up to a bound, beyond it as the database expects.

Refuses to wait: a count that would take longer than a page may is given up, and the expectation stands for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

BOUND = 10_000  # a COUNT up to here takes a few ms where an index leads to the rows
FIGURES = 2
"""Of an expected number; more would pretend to be counted."""
QUERY_CANCELED = "57014"
_HURRY = """
SELECT set_config('perennial.statement_timeout', current_setting('statement_timeout'), true),
       set_config('statement_timeout', %s, true)
"""
_NO_HURRY = "SELECT set_config('statement_timeout', current_setting('perennial.statement_timeout'), true)"


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many there are: exactly, or about."""

    number: int
    is_exact: bool = True

    def __str__(self) -> str:
        return f"{self.number:,}" if self.is_exact else f"about {self.number:,}"


def of(rows: QuerySet[Any], *, bound: int = BOUND, seconds: float | None = None) -> Count:
    """Return how many rows a query has. The order and what is read along with the rows play no part.

    Without `seconds` an index has to lead to the rows: then the bound alone keeps it short.
    """
    plain = rows.order_by()
    counted = plain[: bound + 1].count() if seconds is None else _counted(plain[: bound + 1], seconds=seconds)
    if counted is not None and counted <= bound:
        return Count(number=counted)
    return about(max(expected(plain), counted or 0))


def about(number: int) -> Count:
    """Return a number that is expected, rounded to what can be known of it."""
    unit = 10 ** max(len(str(number)) - FIGURES, 0)
    return Count(number=round(number / unit) * unit, is_exact=False)


def plain(found: Count) -> int | Count:
    """Return a plain number where it is exact."""
    return found.number if found.is_exact else found


def expected(rows: QuerySet[Any]) -> int:
    """Return how many rows the planner expects of a query; its statistics follow the table by minutes."""
    sql, parameters = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        [told] = cursor.fetchone()
    plan = json.loads(told) if isinstance(told, str) else told
    return int(plan[0]["Plan"]["Plan Rows"])


def _counted(rows: QuerySet[Any], *, seconds: float) -> int | None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_HURRY, [f"{seconds * 1000:.0f}ms"])
            found = rows.count()
            # A page that is one transaction has further statements.
            cursor.execute(_NO_HURRY)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != QUERY_CANCELED:
            raise
        return None
    return found
