"""`python -m benchmarks.fleet.case MODELS …`: one installation, one slot; prints its figures as one JSON object.

A process of its own, because settings and tables are those of one scratch folder, which is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import scratch
from benchmarks.fleet import site
from benchmarks.nodes import SiteFailed


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured once."""

    models: int
    nodes: int = 1
    slots: int = 2
    """Fits at the same time on each node."""
    store: str = "disk"
    """`disk`, or `s3`: an S3 server on loopback, which is the only store that nodes share."""
    kill_every: float = 0.0
    """Seconds between two kills of a training child; 0: none is killed."""

    def argv(self) -> list[str]:
        """Return the words that `main` reads this case from."""
        return [f"--{name.replace('_', '-')}={value}" for name, value in asdict(self).items()]


def main(argv: Sequence[str]) -> int:
    """Measure in a scratch folder; 2 where the installation does not start."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet.case", description=__doc__)
    for name, kind in (("models", int), ("nodes", int), ("slots", int), ("store", str), ("kill-every", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    case = Case(**vars(parser.parse_args(argv)))
    with scratch.folder() as folder:
        try:
            print(json.dumps(measure(case, folder)))
        except SiteFailed as refusal:
            print(refusal, file=sys.stderr)
            return 2
    return 0


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Return all figures of one case."""
    with site.prepared(folder, store=case.store) as object_server:
        from benchmarks.fleet import counting, stock, watching

        began = time.monotonic()
        made = stock.fill(folder, models=case.models)
        stocked = round(time.monotonic() - began, 1)
        servers = {"postgresql": site.database_process()} | ({"s3": object_server} if object_server else {})
        with site.running(folder, count=case.nodes, slots=case.slots) as nodes:
            watch = watching.Watch(stock=made, nodes=nodes, servers=servers, kill_every=case.kill_every)
            figures = watch.fire()
            of_nodes = counting.of_nodes(figures["batch"], watch.of_nodes)
        return {
            **asdict(case),
            "champions": stock.SAID,
            "stock_seconds": stocked,
            **figures,
            "models_per_second": round(case.models / figures["seconds"], 2),
            "milliseconds_per_model": round(1000 * figures["seconds"] / case.models, 3),
            "processor_milliseconds_per_model": round(1000 * sum(figures["cpu_seconds"].values()) / case.models, 3),
            "models_of_nodes": of_nodes,
            "found": counting.count(made, figures["batch"]),
        }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
