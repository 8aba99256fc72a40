"""Owns the process that reads forecasters from elsewhere: started when needed, watched by a clock, ended when it fails.

It is `training.reading`, and gets no variable of this process. A version has its own clock, which begins when its
trainer is ready: a slow start of a library is no fault of the bytes.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from registry import errors
from registry.bundle import Limits
from training.reading import Answer, Outcome

# Of the process and the libraries of a trainer, on a machine with much else to do.
START_SECONDS = 120.0
# An answer that has not come by then may take long: time to record the ones before it.
PATIENCE_SECONDS = 0.5
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


class ReaderUnavailable(errors.Unavailable):
    """No process that could read forecasters starts here."""

    code = "reader_unavailable"
    next_step = "See that the worker has memory and its libraries, then run `manage.py inspect`."


class TrainerAbsent(errors.Unavailable):
    """The trainer of a version is not installed where it is to be read."""

    code = "trainer_absent"
    next_step = "Install what the sentence names on the workers; the version is read then."


class Reader:
    """A process that reads forecasters, started when the first is asked for and again after one ended it."""

    def __init__(self, *, seconds: float, limits: Limits) -> None:
        self._seconds, self._limits = seconds, limits
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, content: bytes, *, trainer: str, meanwhile: Callable[[], None]) -> Answer:
        """Return what became of the bytes; calls `meanwhile` once where that takes long.

        Raises TrainerAbsent, ReaderUnavailable.
        """
        process = self._prepare(trainer, len(content))
        with _clock(process, self._seconds) as expired:
            answer = _ask(process, content, meanwhile)
        if expired.is_set():
            answer = answer or Answer(outcome=Outcome.UNREAD, why=f"reading it takes longer than {self._seconds:g} s.")
        answer = answer or Answer(outcome=Outcome.UNREAD, why="reading it ended the process that tried.")
        if expired.is_set() or answer.outcome is Outcome.UNREAD:
            # What ran out of memory once may have little of it left for the next.
            self.end()
        return answer

    def end(self) -> None:
        """Stop the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _prepare(self, trainer: str, size: int) -> subprocess.Popen[bytes]:
        process = self._process = self._process or _start()
        frame = {"trainer": trainer, "size": size, "limits": asdict(self._limits)}
        with _clock(process, START_SECONDS):
            answer = _ask(process, json.dumps(frame).encode() + b"\n", _nothing)
        if answer is None:
            self.end()
            raise ReaderUnavailable(f"The process that reads forecasters of {trainer} does not start.")
        if answer.outcome is Outcome.ABSENT:
            raise TrainerAbsent(f"No forecaster of {trainer} can be read here: {answer.why}")
        return process


def _ask(process: subprocess.Popen[bytes], said: bytes, meanwhile: Callable[[], None]) -> Answer | None:
    """Return the answer to what is said, None where the process ends instead."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(said)
        process.stdin.flush()
    except OSError:
        return None
    if not select.select([process.stdout], [], [], PATIENCE_SECONDS)[0]:
        meanwhile()
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        return None
    told = json.loads(line)
    return Answer(outcome=Outcome(told["outcome"]), why=told["why"])


@contextmanager
def _clock(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """End the process when the seconds are over, and tell so. It ends whatever waits for it, to write or to read."""
    expired = threading.Event()

    def end() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
        timer.join()


def _nothing() -> None:
    pass


def _start() -> subprocess.Popen[bytes]:
    # Without the variables of this process: what a forecaster might reach must find no secret.
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "training.reading"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).resolve().parents[1],
        env={**kept, **threads},
    )
