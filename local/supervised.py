"""Owns one process under supervision: starts, pauses after a crash, output. Refuses to leave its group behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from local import children
from local.console import LineBuffer


@dataclass(frozen=True)
class Process:
    """One program to keep running. `is_ready` is asked until it is true, and must answer within about a second."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Timing:
    """Seconds. The pause after a crash doubles from first to longest and starts over after a healthy while."""

    first_pause: float = 1.0
    longest_pause: float = 30.0
    healthy_seconds: float = 60.0
    # Above the 60 seconds that a worker gets to finish what it runs.
    grace_seconds: float = 75.0
    # A process that names no test of readiness counts as ready once it has lived this long.
    settle_seconds: float = 1.0


class Supervised:
    """The live side of one Process."""

    def __init__(self, process: Process, *, timing: Timing, say: Callable[[str, str], None]) -> None:
        self.process = process
        self.timing = timing
        self.say = say
        self.child: subprocess.Popen[bytes] | None = None
        self.lines = LineBuffer()
        self.is_ready = False
        self.restarts = 0
        self.crashes = 0
        self.started_at = 0.0
        self.next_start_at = 0.0

    def look_after(self, selector: selectors.BaseSelector, *, now: float) -> None:
        """Start the process when it is due, and notice when it has ended."""
        if self.child is not None and self.child.poll() is not None:
            self._note_end(selector, now=now)
        if self.child is None and now >= self.next_start_at:
            self._start(selector, now=now)

    def probe(self) -> None:
        """Find out whether the process is ready, once for each start."""
        if self.is_ready or not self.is_alive():
            return
        if self.process.is_ready is None:
            self.is_ready = time.monotonic() - self.started_at >= self.timing.settle_seconds
        else:
            self.is_ready = self.process.is_ready()

    def read(self, selector: selectors.BaseSelector) -> None:
        """Pass on what the process has written."""
        if self.child is None or self.child.stdout is None:
            return
        piece = os.read(self.child.stdout.fileno(), 65536)
        if not piece:
            selector.unregister(self.child.stdout)
        for line in self.lines.feed(piece):
            self.say(self.process.name, line)

    def describe(self) -> dict[str, object]:
        """What `up.json` says of it."""
        return {"pid": self.child.pid if self.child else None, "ready": self.is_ready, "restarts": self.restarts}

    def is_alive(self) -> bool:
        """Whether the started program itself still runs."""
        return self.child is not None and self.child.poll() is None

    def ask_to_end(self) -> None:
        """Send SIGTERM to the program; it ends its own children."""
        if self.child is not None and self.is_alive():
            self.child.send_signal(signal.SIGTERM)

    def end_by_force(self, selector: selectors.BaseSelector) -> None:
        """End whatever is left of the process group and pass on its last words."""
        if self.child is None:
            return
        if self.is_alive():
            self.say(self.process.name, "did not end in time, ended by force")
        self._clear(self.child, selector)

    def _start(self, selector: selectors.BaseSelector, *, now: float) -> None:
        # SIGKILL: with the supervisor gone its servers go too, so nobody could use a slow goodbye.
        self.child = children.spawn(
            self.process.argv,
            output=subprocess.PIPE,
            death_signal=signal.SIGKILL,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.process.env},
        )
        self.started_at = now
        self.lines = LineBuffer()
        if self.child.stdout is not None:
            os.set_blocking(self.child.stdout.fileno(), False)
            selector.register(self.child.stdout, selectors.EVENT_READ, self)

    def _note_end(self, selector: selectors.BaseSelector, *, now: float) -> None:
        child = self.child
        if child is None:
            return
        self._clear(child, selector)
        if now - self.started_at >= self.timing.healthy_seconds:
            self.crashes = 0
        pause = min(self.timing.longest_pause, self.timing.first_pause * 2.0**self.crashes)
        self.crashes += 1
        self.restarts += 1
        self.next_start_at = now + pause
        self.say(self.process.name, f"{_ending(child.returncode)}, started again in {pause:g} s")

    def _clear(self, child: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
        # The group also when its leader is gone: a pool must not go on without its worker.
        children.kill_group(child.pid)
        child.wait()
        if child.stdout is not None:
            self._drain(child.stdout.fileno())
            if child.stdout in selector.get_map():
                selector.unregister(child.stdout)
            child.stdout.close()
        self.child = None
        self.is_ready = False

    def _drain(self, descriptor: int) -> None:
        try:
            while piece := os.read(descriptor, 65536):
                for line in self.lines.feed(piece):
                    self.say(self.process.name, line)
        except BlockingIOError:
            # Somebody outside the group still holds the pipe; what it writes is lost.
            pass
        for line in self.lines.feed(b""):
            self.say(self.process.name, line)


def _ending(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"
