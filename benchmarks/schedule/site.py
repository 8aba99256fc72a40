"""Owns the processes: beat, control and interactive as `manage.py up` runs them, and the training worker that looks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import nodes

SLOTS = 2


@contextlib.contextmanager
def running(folder: Path) -> Iterator[list[int]]:
    """Run all of them for the length of a block; give the ids of the two that were started. Raises SiteFailed."""
    up = [*nodes.UP, "--only", "beat,control,interactive", "--no-migrate"]
    worker = [sys.executable, "-m", "celery", "-A", "benchmarks.schedule.looking", "--quiet", "worker"]
    worker += ["-Q", "training", "-n", "looking@bench", "--concurrency", str(SLOTS), "--pool", "prefork"]
    worker += ["--loglevel=INFO", "--without-gossip", "--without-mingle"]
    with contextlib.ExitStack() as stack:
        commands = {"up": up, "looking": worker}
        started = [
            stack.enter_context(nodes.process(argv, out=folder / f"{name}.out")) for name, argv in commands.items()
        ]
        nodes.wait(started, ready=lambda: _serve(folder), folder=folder)
        yield [process.pid for process in started]


def _serve(folder: Path) -> bool:
    from training import workers

    return bool(nodes.said(folder).get("ready")) and not workers.unserved(["control", "interactive", "training"])
