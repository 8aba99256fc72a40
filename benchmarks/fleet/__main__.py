"""`python -m benchmarks.fleet [--models N …] [--quick] --json`: retrains whole fleets and prints one JSON object."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import scratch
from benchmarks.fleet import shapes, verdict
from benchmarks.fleet.case import Case
from benchmarks.nodes import PROJECT
from benchmarks.registry import machine

DONE = (
    "Beat, control and the training workers run as `manage.py up` runs them, on the embedded servers. Seconds count"
    " from the tick that wrote the batch to the statement that ended it: models listed, source read into a snapshot,"
    " chunks formed, every candidate, twin and refit fitted, scored, judged, packed, read back, stored, registered and"
    " placed, its forecast published. Only making the file and the champions is not measured."
)
QUICK_MODELS = 60
BASELINE_SECONDS, BASELINE_MODELS = 60.0, 1200


class PartFailed(Exception):
    """A part of the benchmark ended without figures."""


def main(argv: Sequence[str]) -> int:
    """Measure in scratch folders that are removed at the end; 1 where a figure misses its bound, 2 without figures."""
    given = _given(argv)
    try:
        figures = measure(given)
    except PartFailed as refusal:
        print(refusal, file=sys.stderr)
        return 2
    print(json.dumps(figures, indent=2))
    return 0 if all(each["ok"] for each in figures["accept"]) else 1


def _given(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[1000], help="sizes, one after the other; or one")
    parser.add_argument("--kill-every", type=float, default=0.0, metavar="SECONDS", help="kill a training child")
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 2), help="2: on one node of one slot, then on two")
    parser.add_argument("--profile", action="store_true", help="one chunk in one process: milliseconds by step")
    parser.add_argument("--alone", action="store_true", help="without the baseline")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_MODELS} models at most: shows that it runs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON (it does always)")
    given = parser.parse_args(argv)
    given.models = [min(each, QUICK_MODELS) for each in given.models] if given.quick else given.models
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Return all figures and what is asked of them. Raises PartFailed."""
    figures: dict[str, Any] = {"machine": machine.facts(), "done": DONE, "series": shapes.SAID}
    if given.profile:
        return {**figures, "profile": _part("profile", str(given.models[0])), "accept": []}
    figures["baseline"] = None if given.alone else _baseline(1.0 if given.quick else BASELINE_SECONDS)
    figures["cases"] = [_case(case) for case in cases(given.models, nodes=given.nodes, kill_every=given.kill_every)]
    if figures["baseline"]:
        figures["times_the_baseline"] = verdict.times(figures["cases"], figures["baseline"])
    if (times := verdict.speed_up(figures["cases"])) is not None:
        figures["two_nodes_over_one"] = times
    return {**figures, "accept": verdict.accept(figures)}


def cases(sizes: Sequence[int], *, nodes: int, kill_every: float) -> list[Case]:
    """Return what is measured, in its order: of each size one, or one node beside two, twice."""
    if nodes == 1:
        return [Case(models=size, kill_every=kill_every) for size in sizes]
    return [
        Case(models=size, nodes=number, slots=1, store="s3", kill_every=kill_every)
        for size in sizes
        # Both ways round: a machine that others load as well changes meanwhile.
        for number in (1, nodes, nodes, 1)
    ]


def _case(case: Case) -> dict[str, Any]:
    print(f"measuring: {' '.join(case.argv())}", file=sys.stderr)
    return _part("case", *case.argv())


def _baseline(seconds: float) -> dict[str, Any]:
    print("measuring: the baseline", file=sys.stderr)
    with scratch.folder() as folder:
        file = folder / "sold.parquet"
        for _ in shapes.write(file, models=BASELINE_MODELS):
            pass
        return _part("baseline", str(file), str(seconds), str(folder))


def _part(name: str, *argv: str) -> dict[str, Any]:
    """Return the figures of a process of its own. Raises PartFailed."""
    command = [sys.executable, "-m", f"benchmarks.fleet.{name}", *argv]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise PartFailed(f"benchmarks.fleet.{name} ended with {done.returncode}.")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
