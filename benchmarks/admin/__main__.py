"""`python -m benchmarks.admin [--models N] [--quick] --json`: fetches each page of the admin and prints one JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import scratch
from benchmarks.nodes import SiteFailed
from benchmarks.registry import machine
from benchmarks.registry import site as registry_site

SETTINGS = {"DJANGO_SETTINGS_MODULE": "benchmarks.admin.settings"}


def main(argv: Sequence[str]) -> int:
    """Measure in a scratch folder that is removed at the end; 1 where a figure misses its bound, 2 without a start."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.admin", description=__doc__)
    parser.add_argument("--models", type=int, default=100_000, help="models of the large fleet; default: 100000")
    parser.add_argument("--rounds", type=int, default=3, help="times that each page is fetched once warm")
    parser.add_argument("--quick", action="store_true", help="300 models, each page once: shows that it runs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON (it does always)")
    given = parser.parse_args(argv)
    models, rounds = (min(given.models, 300), 1) if given.quick else (given.models, given.rounds)
    with scratch.folder() as folder:
        try:
            figures = measure(folder, models=models, rounds=rounds)
        except SiteFailed as refusal:
            print(refusal, file=sys.stderr)
            return 2
    print(json.dumps(figures, indent=2))
    return 0 if all(each["ok"] for each in figures["accept"]) else 1


def measure(folder: Path, *, models: int, rounds: int) -> dict[str, Any]:
    """Return the figures of every page and what is asked of them."""
    server = registry_site.prepare(folder)
    from benchmarks.admin import fetching, pages, stock, verdict
    from registry import ownership

    # The rows that follow have no files: the store could not be told for theirs by what it holds.
    ownership.claim(ownership.ARTIFACTS)
    made = stock.fill(server, models=models)
    cookie = fetching.session_of(made.user)
    found = []
    with registry_site.running(folder, SETTINGS) as address:
        for page in pages.every(made):
            found.append(fetching.fetch(address, cookie, page, rounds=rounds))
            print(f"{found[-1]['ms']:8.1f} ms  {page.name}", file=sys.stderr)
    figures: dict[str, Any] = {"machine": machine.facts(), "models": models, "pages": found}
    return {**figures, "accept": verdict.accept(figures)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
