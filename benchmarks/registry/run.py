"""Owns the order of the run: what is made before anything is measured, then each measurement by itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connections

from benchmarks.registry import bulk, calls, growth, pairs, retaining, site, stock
from benchmarks.registry.client import Client
from benchmarks.registry.plan import Plan
from benchmarks.registry.site import MAIN, Server
from registry import ownership

LARGE = "large"
SMALLER = 100


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """MLflow's server, called as by any HTTP library, and by a client that acknowledges every packet at once."""

    plain: Client
    prompt: Client


def arrange(server: Server, wanted: Plan) -> str:
    """Make two registries of which the second is a hundred times larger, and return a token for both."""
    token = site.admit()
    # The rows that follow have no files: the store could not be told for theirs by what it holds.
    ownership.claim(ownership.ARTIFACTS)
    connections.close_all()
    server.create(LARGE, like=MAIN)
    growth.fill(server, MAIN, models=_small(wanted))
    growth.fill(server, LARGE, models=wanted.models)
    return token


def of_large(server: Server) -> dict[str, str]:
    """Return what a process needs to know to work on the large registry."""
    return {"DATABASE_URL": server.url(LARGE)}


def everything(
    server: Server, folder: Path, wanted: Plan, *, ours: Client, grown: Client, theirs: Theirs | None
) -> dict[str, Any]:
    """Measure all, one after the other."""
    figures: dict[str, Any] = {"calls": _side_by_side(wanted, ours, theirs)}
    _say("bulk")
    figures["bulk"] = bulk.register(versions=wanted.bulk, repetitions=wanted.repetitions)
    figures["growth"] = _growth(wanted, ours, grown)
    _say("retention")
    figures["preview"] = retaining.child("preview", of_large(server), growth.FLEET)
    artifacts = folder / LARGE / "artifacts"
    retaining.mark(server, LARGE, versions=wanted.swept, artifacts=artifacts)
    at_large = {**of_large(server), "PERENNIAL_STATE_DIR": str(folder / LARGE)}
    figures["sweep"] = retaining.child("sweep", at_large, str(wanted.swept))
    others = (theirs.plain.dropped + theirs.prompt.dropped) if theirs else 0
    figures["dropped_calls"] = {"perennial": ours.dropped + grown.dropped, "mlflow": others}
    return figures


def _side_by_side(wanted: Plan, ours: Client, theirs: Theirs | None) -> dict[str, Any]:
    made = stock.ours(versions=wanted.stock)
    our_calls = calls.ours(ours, made.versions)
    plain: Mapping[str, pairs.Timed] = {}
    prompt: Mapping[str, pairs.Timed] = {}
    if theirs is not None:
        stock.theirs(theirs.plain, versions=wanted.stock)
        plain, prompt = calls.theirs(theirs.plain), calls.theirs(theirs.prompt)
    bare = calls.bare(ours, made.versions[0])
    figures = {}
    for kind, call in our_calls.items():
        _say(kind)
        other = {"mlflow": plain[kind]} if plain else {}
        found = pairs.measure({"perennial": call, **other, "bare": bare}, rounds=wanted.rounds, warm_up=wanted.warm_up)
        figures[kind] = {side: times.plain() for side, times in found.items()}
        if prompt:
            # By itself: one client's packets change how the other's are acknowledged.
            found = pairs.measure(
                {"perennial": call, "mlflow": prompt[kind]}, rounds=wanted.rounds, warm_up=wanted.warm_up
            )
            figures[kind]["prompt_client"] = {side: times.plain() for side, times in found.items()}
    return figures


def _growth(wanted: Plan, ours: Client, grown: Client) -> dict[str, Any]:
    small, large = growth.reads(ours, models=_small(wanted)), growth.reads(grown, models=wanted.models)
    figures: dict[str, Any] = {
        "sizes": {
            "small": _small(wanted) * growth.VERSIONS_OF_A_MODEL,
            "large": wanted.models * growth.VERSIONS_OF_A_MODEL,
        }
    }
    for kind in small:
        # The large one has a web process of its own, whose connections have planned nothing yet.
        _say(f"growth: {kind}")
        found = pairs.measure(
            {"small": small[kind], "large": large[kind]}, rounds=wanted.rounds, warm_up=3 * wanted.warm_up
        )
        figures[kind] = {side: times.plain() for side, times in found.items()}
    return figures


def _small(wanted: Plan) -> int:
    return max(wanted.models // SMALLER, 10)


def _say(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr)
