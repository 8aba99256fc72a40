"""Owns the processes under the demo: joins those that run on this state folder, or starts them and stops them again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config import checks, processes
from local import children, errors, postgres, redis, state, supervisor
from training import workers

# Workers compile and import every library at the very first start, on cores that may be busy.
READY_SECONDS = 150.0
STOP_SECONDS = 90.0
DEFAULT_PORT = 8000


@dataclass(frozen=True, kw_only=True)
class Running:
    """An installation that is ready for work."""

    address: str
    joined: bool
    """Whether it ran before, and is left running."""
    is_alive: Callable[[], bool]


@contextlib.contextmanager
def running(*, port: int | None) -> Iterator[Running]:
    """Yield a ready installation; what this starts it stops. Raises LocalError with the last words of what failed."""
    folder = state.prepare(state.locate())
    if _is_running(folder):
        yield Running(
            address=_await(folder, lambda: _is_running(folder)), joined=True, is_alive=lambda: _is_running(folder)
        )
        return
    child = _start(folder, port)
    try:
        address = _await(folder, lambda: child.poll() is None)
        yield Running(address=address, joined=False, is_alive=lambda: child.poll() is None)
    finally:
        _stop(child)


def _is_running(folder: state.State) -> bool:
    try:
        with supervisor.claimed(folder):
            return False
    except errors.LocalError:
        return True


def _start(folder: state.State, port: int | None) -> subprocess.Popen[bytes]:
    argv = [sys.executable, str(state.PROJECT / "manage.py"), "up", "--web-port", str(_port(port))]
    (folder.root / "up.json").unlink(missing_ok=True)
    with folder.log_file("up").open("wb") as log:
        return children.spawn(
            argv, output=log, death_signal=signal.SIGTERM, env=_environment(folder), cwd=state.PROJECT
        )


def _port(wanted: int | None) -> int:
    """Return the port that was asked for, else the usual one, or any where that is taken. Raises LocalError."""
    try:
        return processes.free_port(DEFAULT_PORT if wanted is None else wanted)
    except OSError as taken:
        if wanted is None:
            return 0
        sentence = f"Port {wanted} is taken by another program."
        raise errors.LocalError("port_taken", sentence, "Choose another with --port, or 0 for any free.") from taken


def _environment(folder: state.State) -> Mapping[str, str]:
    """Leave the addresses of embedded servers out, so that `up` keeps these servers alive itself."""
    embedded = {"DATABASE_URL": postgres.url(folder.sockets), "REDIS_URL": redis.url(folder.sockets)}
    return {name: value for name, value in os.environ.items() if embedded.get(name) != value}


def _await(folder: state.State, is_alive: Callable[[], bool]) -> str:
    """Return the address once every process is ready and the workers have reported themselves."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and is_alive():
        page = _page(folder)
        if page.get("ready") and not workers.unserved(checks.QUEUES):
            return str(page["address"])
        time.sleep(0.2)
    log = folder.log_file("up")
    words = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    sentence = f"The processes did not become ready; the last of their log: {words[0] if words else 'nothing'}"
    raise errors.LocalError("not_ready", sentence, f"Read {log}.")


def _page(folder: state.State) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder.root / "up.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        children.kill_group(child.pid)
        child.wait()
