"""How the runs of the last 30 days ended, by day: counted while they are few, of very many a sample of the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, QuerySet
from django.db.models.functions import TruncDate
from django.http import HttpRequest

from monitoring import attention
from registry import counting, display
from registry.admin import charts
from training.admin.outcomes import OUTCOMES
from training.models import TrainingRun

DAYS = 30
SAMPLED = 20_000
"""Runs that are looked at where there are very many; a hundredth of them is then known to a fourteenth."""
INDEXED = ("failed", "held", "refused")
"""What an index leads to: a sample would miss the few that somebody has to look at."""


def card(request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Return the chart by day and the totals, each with the list behind it."""
    first = (now - timedelta(days=DAYS - 1)).date()
    began = datetime.combine(first, time(), UTC)
    rows = attention.seen_runs(request).filter(
        id__gte=attention.since(now - timedelta(days=DAYS)), finished_at__gte=began
    )
    is_whole = counting.of(rows).is_exact
    by_day = _counted(rows) if is_whole else _sampled(rows)
    days = [first + timedelta(days=offset) for offset in range(DAYS)]
    parts = {name: [by_day.get(day, {}).get(name, 0) for day in days] for name in OUTCOMES}
    totals = [
        (number, name, display.listing(TrainingRun, outcome=name, requested_at__gte=f"{first.isoformat()}T00:00:00Z"))
        for name, number in _totals(parts, rows, is_whole=is_whole)
    ]
    if not totals:
        return {"empty": "No run ended in the last 30 days."}
    labels = [f"{day:%d %b}" for day in days]
    chart = charts.stacks(labels=labels, parts=parts, description="Outcomes of runs by day")
    note = "" if is_whole else f"By a sample of about {SAMPLED:,} runs."
    return {"chart": chart, "totals": totals, "note": note}


def _totals(parts: Mapping[str, list[int]], rows: QuerySet[Any], *, is_whole: bool) -> Iterable[tuple[str, Any]]:
    for name, counts in parts.items():
        number: Any = sum(counts)
        if not is_whole and name in INDEXED:
            number = counting.plain(counting.of(rows.filter(OUTCOMES[name])))
        elif not is_whole and number:
            number = counting.about(number)
        if number:
            yield name, number


def _by_day(rows: QuerySet[Any]) -> Any:
    counted = {name: Count("pk", filter=condition) for name, condition in OUTCOMES.items()}
    return rows.order_by().values(day=TruncDate("finished_at")).annotate(**counted)


def _counted(rows: QuerySet[Any]) -> dict[date, dict[str, int]]:
    few = TrainingRun.objects.filter(pk__in=rows.order_by().values("pk")[: counting.BOUND])
    return {row["day"]: row for row in _by_day(few)}


def _sampled(rows: QuerySet[Any]) -> dict[date, dict[str, int]]:
    """Return what a part of the table's pages says, as if it were all of them."""
    share = min(1.0, SAMPLED / max(counting.expected(TrainingRun.objects.order_by()), 1))
    asked, parameters = _by_day(rows).query.sql_with_params()
    table = f'FROM "{TrainingRun._meta.db_table}"'
    # The same pages each time: the picture does not change from look to look.
    asked = asked.replace(table, f"{table} TABLESAMPLE SYSTEM ({100 * share}) REPEATABLE (1)", 1)
    with connection.cursor() as cursor:
        cursor.execute(asked, parameters)
        names = [each.name for each in cursor.description or ()]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {row["day"]: {name: round(row[name] / share) for name in OUTCOMES} for row in found}
