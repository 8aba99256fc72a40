"""Owns what one page asked of the database, told in the head of its answer; runs in the web process alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse

HEAD = "X-Asked"
# As large as the fleet, or larger.
BIG = ("registeredmodel", "modelversion", "event", "export", "hold", "trainingrun", "runlog", "forecast")
_BIG = re.compile(rf'(FROM|JOIN)\s+"?(registry|training)_({"|".join(BIG)})\b', re.IGNORECASE)
_COUNT = re.compile(r"\bcount\s*\(", re.IGNORECASE)
# What is counted is the rows of a subquery that stops at a bound, or of a sample.
_BOUNDED = re.compile(r"(FROM|IN)\s+\(\s*SELECT\b.*\bLIMIT\s+\S+\s*\)|TABLESAMPLE", re.IGNORECASE | re.DOTALL)
SHOWN = 500


def is_exact_count(statement: str) -> bool:
    """Whether a statement counts rows of a big table without a bound."""
    return bool(_COUNT.search(statement) and _BIG.search(statement) and not _BOUNDED.search(statement))


def telling(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return a view around all others (a middleware) that tells the number of queries and the exact counts."""

    def around(request: HttpRequest) -> HttpResponse:
        asked: list[tuple[str, float]] = []

        def keep(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
            start = time.perf_counter()
            try:
                return execute(sql, params, many, context)
            finally:
                asked.append((str(sql), 1000 * (time.perf_counter() - start)))

        began = time.thread_time()
        with connection.execute_wrapper(keep):
            found = answer(request)
        slowest = max(asked, key=lambda each: each[1], default=("", 0.0))
        found[HEAD] = json.dumps(
            {
                "queries": len(asked),
                "cpu_ms": round(1000 * (time.thread_time() - began), 1),
                "counts": [sql[:SHOWN] for sql, _ in asked if is_exact_count(sql)],
                "slowest": [round(slowest[1], 1), slowest[0][-SHOWN:]],
            }
        )
        return found

    return around
