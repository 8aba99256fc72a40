"""Owns one server process: start, readiness, restart after a crash, clean stop. Refuses to start beside a survivor."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from local import children, errors, state
from local.state import State

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
SURVIVOR_SECONDS = 10.0
# One failure may be the backends of a killed server that still hold its memory; three are a reason to give up.
CRASHES_AT_START = 3
LONGEST_PAUSE_SECONDS = 30.0
# A log beyond this size is set aside at the next start, one generation.
LOG_BYTES = 10_000_000


class Server(Protocol):
    """What a server has to say about itself; see local.postgres and local.redis."""

    @property
    def name(self) -> str: ...
    @property
    def mark(self) -> str: ...
    @property
    def stop_signal(self) -> signal.Signals: ...
    @property
    def death_signal(self) -> signal.Signals: ...
    @property
    def become(self) -> Callable[[], None] | None: ...
    def prepare(self) -> None: ...
    def argv(self) -> list[str]: ...
    def is_ready(self, process: int) -> bool: ...


class Host:
    """One server of one state folder, held as a child of this process."""

    def __init__(self, server: Server, folder: State) -> None:
        self.server = server
        self.folder = folder
        self.child: subprocess.Popen[bytes] | None = None
        self.crashes = 0
        self.next_start_at = 0.0

    def start(self) -> None:
        """Start the server after whatever an earlier keeper left of it is gone. Returns before it is ready."""
        pid_file = self.folder.pid_file(self.server.name)
        _end_survivor(pid_file, self.server)
        self.server.prepare()
        with _open_log(self.folder.log_file(self.server.name)) as log:
            self.child = children.spawn(
                self.server.argv(),
                output=log,
                death_signal=self.server.death_signal,
                become=self.server.become,
            )
        state.write_whole(pid_file, f"{self.child.pid}\n")

    def wait_until_ready(self) -> None:
        """Block until the server takes connections, or is held down. Raises LocalError `server_not_ready`."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_held() and not self._is_ready():
            if self.crashes >= CRASHES_AT_START or time.monotonic() >= deadline:
                raise self._not_ready()
            self.look_after()
            time.sleep(0.01)
        self.crashes = 0

    def look_after(self) -> None:
        """Start the server again if it crashed and no hold file asks for its absence."""
        if self.child is not None and self._has_ended():
            children.kill_group(self.child.pid)
            self.folder.pid_file(self.server.name).unlink(missing_ok=True)
            self.child = None
            self.next_start_at = time.monotonic() + min(LONGEST_PAUSE_SECONDS, 0.1 * 2**self.crashes)
            self.crashes += 1
        if self.child is None and not self._is_held() and time.monotonic() >= self.next_start_at:
            self.start()

    def stop(self) -> None:
        """Stop the server cleanly, by force after STOP_SECONDS; nothing of it is left."""
        if self.child is None:
            return
        if not self._has_ended():
            self.child.send_signal(self.server.stop_signal)
            # A paused server could not hear the signal.
            self.child.send_signal(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(STOP_SECONDS)
        children.kill_group(self.child.pid)
        self.child.wait()
        self.folder.pid_file(self.server.name).unlink(missing_ok=True)
        self.child = None

    def _is_held(self) -> bool:
        return self.folder.hold_file(self.server.name).exists()

    def _is_ready(self) -> bool:
        return self.child is not None and self.server.is_ready(self.child.pid)

    def _has_ended(self) -> bool:
        return self.child is None or self.child.poll() is not None

    def _not_ready(self) -> errors.LocalError:
        log = self.folder.log_file(self.server.name)
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        variable = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}[self.server.name]
        sentence = f"The embedded {self.server.name} server did not start; it last said: {last[0]}"
        return errors.LocalError("server_not_ready", sentence, f"Read {log}, or set {variable} to another server.")


def _end_survivor(pid_file: Path, server: Server) -> None:
    """End the server that a killed keeper left, if the kernel has not done so already."""
    try:
        survivor = int(pid_file.read_text())
    except (OSError, ValueError):
        return
    if server.mark in children.command_line(survivor):
        os.kill(survivor, server.death_signal)
        # A paused server could not hear the signal.
        os.kill(survivor, signal.SIGCONT)
    deadline = time.monotonic() + SURVIVOR_SECONDS
    while server.mark in children.command_line(survivor):
        if time.monotonic() >= deadline:
            children.kill_group(survivor)
        time.sleep(0.02)
    pid_file.unlink(missing_ok=True)


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
