"""Owns what is asked of the figures, and whether they meet it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MANUAL_SECONDS = 2.0
GAP_SECONDS = 5.0
DISPATCHED_SECONDS = 120.0
CONTROL_MIB = 256.0
WORKER_MIB = 1536.0


def accept(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each condition, with its value, its bound and whether it holds."""
    firings = figures["firings"]
    manual = max((each for firing in firings.values() for each in firing["manual_seconds"]), default=float("inf"))
    found = [_at_most("the slowest manual run begins after, in seconds", manual, MANUAL_SECONDS)]
    for name, firing in firings.items():
        dispatched = firing["seconds"]["all chunks dispatched"]
        found.append(_at_most(f"{name}: due tick to all chunks dispatched, in seconds", dispatched, DISPATCHED_SECONDS))
        ended = firing["succeeded"]
        found.append(_exactly(f"{name}: runs carried out, each once", ended, figures["models"]))
    gap = max(firing["longest_gap"] for firing in firings.values())
    found.append(_at_most("longest gap between ticks of control, in seconds", gap, GAP_SECONDS))
    for role, bound in (("control", CONTROL_MIB), ("looking", WORKER_MIB)):
        found.append(_at_most(f"peak MiB of a process: {role}", figures["peak_mib"].get(role, float("inf")), bound))
    return found


def _at_most(what: str, value: float, bound: float) -> dict[str, Any]:
    return {"what": what, "value": round(value, 2), "bound": f"<= {bound:g}", "ok": value <= bound}


def _exactly(what: str, value: int, bound: int) -> dict[str, Any]:
    return {"what": what, "value": value, "bound": f"= {bound}", "ok": value == bound}
