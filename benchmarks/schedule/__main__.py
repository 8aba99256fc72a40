"""`python -m benchmarks.schedule [--models N] [--quick] --json`: fires a policy twice and prints one JSON object."""

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
from benchmarks.schedule import verdict

DONE = (
    "Beat, control and interactive run as `manage.py up` runs them. The training worker (2 slots) is the real one but"
    " that it only looks at a run and ends it: no series is read for it, nothing is fitted. `unknown`: nothing was"
    " known of how long a run takes; `known`: the same policy a second time. Seconds count from the tick that fired."
)


def main(argv: Sequence[str]) -> int:
    """Measure in a scratch folder that is removed at the end; 1 where a figure misses its bound, 2 without a start."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedule", description=__doc__)
    parser.add_argument("--models", type=int, default=100_000, help="models of the policy; default: 100000")
    parser.add_argument("--quick", action="store_true", help="300 models: shows that it runs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON (it does always)")
    given = parser.parse_args(argv)
    with scratch.folder() as folder:
        try:
            figures = measure(folder, models=min(given.models, 300) if given.quick else given.models)
        except SiteFailed as refusal:
            print(refusal, file=sys.stderr)
            return 2
    print(json.dumps(figures, indent=2))
    return 0 if all(each["ok"] for each in figures["accept"]) else 1


def measure(folder: Path, *, models: int) -> dict[str, Any]:
    """Return all figures and what is asked of them."""
    registry_site.prepare(folder)
    from benchmarks.schedule import site, stock, watching

    made = stock.fill(folder, models=models)
    figures: dict[str, Any] = {"machine": machine.facts(), "done": DONE, "models": models, "firings": {}}
    with site.running(folder) as roots:
        watch = watching.Watch(stock=made, roots=roots)
        watch.warm_up()
        # Of late slots as well as of punctual ones the newest fires.
        for name, minutes_ago in (("unknown", 30), ("known", 1)):
            print(f"firing: {name}", file=sys.stderr)
            watch.ask()
            figures["firings"][name] = watch.fire(minutes_ago=minutes_ago)
        figures["peak_mib"] = watch.peaks
    return {**figures, "accept": verdict.accept(figures)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
