"""`python -m benchmarks.registry [--models N] [--quick] [--alone] --json`: measures all and prints one JSON object."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import scratch
from benchmarks.nodes import SiteFailed
from benchmarks.registry import machine, mlflow_server, plan, site, verdict
from benchmarks.registry.client import Client
from benchmarks.registry.mlflow_server import MlflowMissing
from benchmarks.registry.plan import Plan

THEIR_WORKERS = "4 uvicorn workers (its default)"
OUR_WORKERS = "1 gunicorn worker with 4 threads (the default of `manage.py up`)"


def main(argv: Sequence[str]) -> int:
    """Measure in a scratch folder that is removed at the end; 1 where a figure misses its bound, 2 without MLflow."""
    wanted = plan.read(argv)
    with scratch.folder() as folder:
        try:
            figures = measure(wanted, folder)
        except (MlflowMissing, SiteFailed) as refusal:
            print(refusal, file=sys.stderr)
            return 2
    print(json.dumps(figures, indent=2))
    return 0 if all(each["ok"] for each in figures["accept"]) else 1


def measure(wanted: Plan, folder: Path) -> dict[str, Any]:
    """Return all figures and what is asked of them."""
    if not wanted.alone:
        mlflow_server.check()
    server = site.prepare(folder)
    from benchmarks.registry import run

    figures: dict[str, Any] = {"machine": machine.facts(), "perennial": OUR_WORKERS}
    with contextlib.ExitStack() as stack:
        token = run.arrange(server, wanted)
        ours = Client(stack.enter_context(site.running(folder)), token=token)
        grown = Client(stack.enter_context(site.running(folder / run.LARGE, run.of_large(server))), token=token)
        theirs = None
        if not wanted.alone:
            figures["mlflow"] = f"{mlflow_server.version()}, {THEIR_WORKERS}"
            address = stack.enter_context(mlflow_server.running(folder / "mlflow", server=server))
            theirs = run.Theirs(plain=Client(address), prompt=Client(address, prompt=True))
        figures |= run.everything(server, folder, wanted, ours=ours, grown=grown, theirs=theirs)
    return {**figures, "accept": verdict.accept(figures)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
