"""Owns a set of processes on one machine: start, logs, restart, clean stop. Refuses a second set in one folder."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

from local import errors, state
from local.console import Console
from local.supervised import Process, Supervised, Timing

TICK_SECONDS = 0.2
PROBE_SECONDS = 0.5
UPKEEP_SECONDS = 1.0
STILL_WAITING_SECONDS = 30.0
NAME = "up"


@dataclass(frozen=True)
class Site:
    """Where a set of processes runs, and the address that it shows when everything is ready."""

    folder: state.State
    address: str


@contextlib.contextmanager
def claimed(folder: state.State) -> Iterator[None]:
    """Be the only supervisor of this folder. Raises LocalError `already_running` that names the other one."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(state.locked(folder.root / "up.lock", seconds=0))
        except BlockingIOError:
            raise _already_running(folder) from None
        yield


def _already_running(folder: state.State) -> errors.LocalError:
    try:
        other = json.loads((folder.root / "up.json").read_text())
    except (OSError, ValueError):
        other = {"pid": "unknown", "address": "an address not yet known"}
    sentence = f"Perennial is already running for {folder.root}: process {other['pid']}, {other['address']}."
    return errors.LocalError("already_running", sentence, f"Use it, or stop it first: kill {other['pid']}")


class Supervisor:
    """One set of processes. `up.json` in the state folder names the processes that live, current at every change."""

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        site: Site,
        stream: TextIO,
        timing: Timing | None = None,
        upkeep: Callable[[], None] | None = None,
    ) -> None:
        self.site = site
        self.timing = timing or Timing()
        self.upkeep = upkeep
        self.console = Console(stream, [NAME, *(process.name for process in processes)])
        self.selector = selectors.DefaultSelector()
        self.slots = [Supervised(process, timing=self.timing, say=self.console.line) for process in processes]
        self.stop_requested = False
        self.announced = False
        self.shown: object = None
        self.next_probe_at = self.next_upkeep_at = 0.0
        self.waiting_since = time.monotonic()

    def run(self) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP, or until nobody reads the output; then stop everything."""
        with self._signals():
            try:
                while not (self.stop_requested or self.console.is_gone):
                    self.tick()
            finally:
                self.stop()

    def tick(self) -> None:
        """Start what is due, pass on what was written, probe what is not ready yet."""
        now = time.monotonic()
        for slot in self.slots:
            slot.look_after(self.selector, now=now)
        if now >= self.next_probe_at:
            self._probe()
            self.next_probe_at = time.monotonic() + PROBE_SECONDS
        if self.upkeep is not None and now >= self.next_upkeep_at:
            self.upkeep()
            self.next_upkeep_at = now + UPKEEP_SECONDS
        self._publish()
        self._pump(TICK_SECONDS)

    @property
    def is_ready(self) -> bool:
        """Whether every process has been found ready since its last start."""
        return all(slot.is_ready for slot in self.slots)

    def stop(self) -> None:
        """Ask every process to end, wait for the grace, then end whole process groups by force."""
        self.console.line(NAME, "stopping")
        deadline = time.monotonic() + self.timing.grace_seconds
        for slot in self.slots:
            slot.ask_to_end()
        while any(slot.is_alive() for slot in self.slots) and time.monotonic() < deadline:
            self._pump(0.05)
        for slot in self.slots:
            slot.end_by_force(self.selector)
        self._publish()
        (self.site.folder.root / "up.json").unlink(missing_ok=True)
        self.console.line(NAME, "stopped")

    def _probe(self) -> None:
        was_ready = self.is_ready
        for slot in self.slots:
            slot.probe()
        if self.is_ready and not was_ready:
            self._announce()
        if self.is_ready:
            self.waiting_since = time.monotonic()
        elif time.monotonic() - self.waiting_since >= STILL_WAITING_SECONDS:
            self.waiting_since = time.monotonic()
            missing = ", ".join(slot.process.name for slot in self.slots if not slot.is_ready)
            self.console.line(NAME, f"still waiting for {missing}")

    def _announce(self) -> None:
        if self.announced:
            self.console.line(NAME, "everything is ready again")
        else:
            self.console.plain(f"ready  {self.site.address}")
        self.announced = True

    def _pump(self, seconds: float) -> None:
        for key, _ in self.selector.select(seconds):
            slot: Supervised = key.data
            slot.read(self.selector)

    def _publish(self) -> None:
        described = {slot.process.name: slot.describe() for slot in self.slots}
        if described == self.shown:
            return
        self.shown = described
        page = {"pid": os.getpid(), "address": self.site.address, "ready": self.is_ready, "processes": described}
        state.write_whole(self.site.folder.root / "up.json", json.dumps(page, indent=1) + "\n")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Only set a flag: signals may come twice, from the terminal and from a parent, also while stopping."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True
