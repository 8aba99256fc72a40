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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from registry import errors
from registry.bundle import Limits
from training.reading import Answer, Outcome

# Of the process and the libraries of a trainer, on a machine with much else to do.
START_SECONDS = 120.0
# An answer that has not come by then may take long: time to record the ones before it.
PATIENCE_SECONDS = 0.5
KEPT_BYTES = 1024
"""Of what the process says as its errors, which may tell why it ended."""
LAST_WORDS_SECONDS = 1.0
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
        self._words: _Tail | None = None
        self._ready: set[str] = set()

    def read(self, content: bytes, *, trainer: str, meanwhile: Callable[[], None]) -> Answer:
        """Return what became of the bytes; calls `meanwhile` once where that takes long.

        Raises TrainerAbsent, ReaderUnavailable.
        """
        process = self.prepare(trainer)
        frame = {"trainer": trainer, "size": len(content), "limits": asdict(self._limits)}
        with _clock(process, self._seconds) as expired:
            answer = _ask(process, _line(frame) + content, meanwhile)
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
            _stop(self._process)
            self._process = None

    def prepare(self, trainer: str) -> subprocess.Popen[bytes]:
        """Return the process with the trainer ready to read. Raises TrainerAbsent, ReaderUnavailable."""
        process = self._running()
        if trainer in self._ready:
            return process
        with _clock(process, START_SECONDS):
            answer = _ask(process, _line({"trainer": trainer}), _nothing)
        if answer is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=LAST_WORDS_SECONDS)
            self.end()
            told = self._words.last() if self._words else ""
            raise ReaderUnavailable(f"The process that reads forecasters of {trainer} does not start. {told}".strip())
        if answer.outcome is Outcome.ABSENT:
            raise TrainerAbsent(f"No forecaster of {trainer} can be read here: {answer.why}")
        self._ready.add(trainer)
        return process

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()  # It was ended by somebody between two versions, which is the fault of neither.
        try:
            self._process = _start()
        except OSError as error:
            raise ReaderUnavailable(f"No process starts that could read forecasters: {error}.") from error
        assert self._process.stderr is not None
        self._words, self._ready = _Tail(self._process.stderr), set()
        return self._process


class _Tail:
    """The end of what a process says as its errors, read while it speaks so that it never waits."""

    def __init__(self, said: IO[bytes]) -> None:
        self._said, self._kept = said, b""
        self._thread = threading.Thread(target=self._listen, name="reader's errors", daemon=True)
        self._thread.start()

    def last(self) -> str:
        """Return it once the process has ended; waits not long, for a child of it may have kept the pipe."""
        self._thread.join(timeout=LAST_WORDS_SECONDS)
        return self._kept.decode(errors="replace").strip()

    def _listen(self) -> None:
        with self._said:
            while more := os.read(self._said.fileno(), KEPT_BYTES):
                self._kept = (self._kept + more)[-KEPT_BYTES:]


def _line(frame: Mapping[str, object]) -> bytes:
    return json.dumps(frame).encode() + b"\n"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):  # What it did not take is flushed once more, in vain.
            pipe.close()


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
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[1],
        env={**kept, **threads},
    )
