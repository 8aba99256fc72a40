"""Owns the processes that a benchmark starts: each in a session of its own, waited for until it serves, ended whole."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
READY_SECONDS = 180
STOP_SECONDS = 60
UP = (sys.executable, "manage.py", "up")
LOOK_SECONDS = 0.1
Process = subprocess.Popen[bytes]


class SiteFailed(Exception):
    """The installation did not start."""


@contextlib.contextmanager
def process(
    argv: Sequence[str], *, out: Path, environment: Mapping[str, str] | None = None, stop_seconds: float = STOP_SECONDS
) -> Iterator[Process]:
    """Run a command of the project for a block, with its environment and more; what it says goes to a file.

    At the end its whole session is told to stop, and killed where it does not in time.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as said:
        started = subprocess.Popen(
            argv,
            cwd=PROJECT,
            env={**os.environ, **(environment or {})},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(timeout=stop_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def wait(started: Sequence[Process], *, ready: Callable[[], bool], folder: Path) -> None:
    """Wait until they are ready. Raises SiteFailed where one ends before, or the time does."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and all(each.poll() is None for each in started):
        if ready():
            return
        time.sleep(LOOK_SECONDS)
    raise SiteFailed(f"The processes did not start; the files *.out below {folder} say why.")


def said(folder: Path) -> dict[str, Any]:
    """Return what `manage.py up` says of itself in its state folder, nothing before it does."""
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        told: dict[str, Any] = json.loads((folder / "up.json").read_text())
        return told
    return {}
