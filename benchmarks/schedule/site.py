"""Owns the processes: beat, control and interactive as `manage.py up` runs them, and the training worker that looks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.registry.site import PROJECT, READY_SECONDS, STOP_SECONDS, SiteFailed

SLOTS = 2


@contextlib.contextmanager
def running(folder: Path) -> Iterator[list[int]]:
    """Run all of them for the length of a block; give the ids of the two that were started. Raises SiteFailed."""
    up = [sys.executable, "manage.py", "up", "--only", "beat,control,interactive", "--no-migrate"]
    worker = [sys.executable, "-m", "celery", "-A", "benchmarks.schedule.looking", "--quiet", "worker"]
    worker += ["-Q", "training", "-n", "looking@bench", "--concurrency", str(SLOTS), "--pool", "prefork"]
    worker += ["--loglevel=INFO", "--without-gossip", "--without-mingle"]
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(_process(argv, folder)) for argv in (up, worker)]
        _wait(started, folder)
        yield [process.pid for process in started]


@contextlib.contextmanager
def _process(argv: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    out = (folder / f"{'up' if 'up' in argv else 'looking'}.out").open("wb")
    process = subprocess.Popen(
        argv, cwd=PROJECT, env={**os.environ}, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        out.close()


def _wait(started: list[subprocess.Popen[bytes]], folder: Path) -> None:
    from training import workers

    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in started):
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            ready = json.loads((folder / "up.json").read_text()).get("ready")
            if ready and not workers.unserved(["control", "interactive", "training"]):
                return
        time.sleep(0.2)
    raise SiteFailed(f"The processes did not start; {folder}/*.out says why.")
