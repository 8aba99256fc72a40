"""Owns what letting go costs, in a process of its own: `python -m benchmarks.registry.letting_go TASK ARGUMENT`."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import django


def preview(fleet_name: str) -> dict[str, Any]:
    """Return what previewing the grown fleet takes; the peak is that of the whole process, Django included."""
    from registry import retention, timestamps
    from registry.models import Fleet

    fleet = Fleet.objects.get(name=fleet_name)
    start = time.perf_counter()
    found = retention.preview(fleet, at=timestamps.utc_now())
    seconds = time.perf_counter() - start
    kept = sum(tally.versions for tally in found.kept.values())
    return {
        "versions": found.marked.versions + kept,
        "would_mark": found.marked.versions,
        "seconds": round(seconds, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def sweep(versions: str) -> dict[str, Any]:
    """Sweep what is due and return the versions per second of each quarter."""
    from registry import ownership, timestamps
    from registry.retention import sweeping

    ownership.claim(ownership.ARTIFACTS)
    start = time.perf_counter()
    steps = [(0, 0.0)]
    for step in sweeping.sweep(actor="benchmark", at=timestamps.utc_now()):
        steps.append((steps[-1][0] + len(step.versions), time.perf_counter() - start))
    swept = steps[-1][0]
    rates = [_rate(steps, swept * quarter / 4, swept * (quarter + 1) / 4) for quarter in range(4)]
    return {"asked": int(versions), "versions": swept, "seconds": round(steps[-1][1], 2), "quarters_per_second": rates}


def _rate(steps: list[tuple[int, float]], start: float, end: float) -> float:
    """Return versions per second between two places, each at the nearest step."""
    (first, began), (last, ended) = (min(steps, key=lambda step: abs(step[0] - place)) for place in (start, end))
    return round((last - first) / (ended - began), 1) if ended > began else 0.0


def main() -> None:
    """Do the task that the command line names."""
    django.setup()
    task, argument = sys.argv[1:]
    print(json.dumps({"preview": preview, "sweep": sweep}[task](argument)))


if __name__ == "__main__":
    main()
