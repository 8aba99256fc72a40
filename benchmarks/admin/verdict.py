"""Owns what is asked of the figures, and whether they meet it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAGE_MS = 300.0
QUERIES = 45


def accept(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each condition, with its value, its bound, the pages that miss it and whether it holds."""
    pages = figures["pages"]
    return [
        _each(pages, "the slowest page, in milliseconds", lambda each: each["ms"], PAGE_MS),
        _each(pages, "the most queries of a page", lambda each: each["queries"], QUERIES),
        _each(pages, "exact counts over a big table", lambda each: len(each["counts"]), 0),
        _each(pages, "pages that failed", lambda each: int(each["status"] >= 400), 0),
    ]


def _each(pages: Any, what: str, value: Any, bound: float) -> dict[str, Any]:
    missing = [each["page"] for each in pages if value(each) > bound]
    worst = max(map(value, pages), default=float("inf"))
    return {
        "what": what,
        "value": worst,
        "bound": f"<= {bound:g}",
        "missed_by": missing,
        "ok": not missing and worst <= bound,
    }
