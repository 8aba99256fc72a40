"""Owns the other side: MLflow's server, on a database of its own in the same PostgreSQL server. Never installs it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from benchmarks.nodes import PROJECT
from benchmarks.registry.site import ROLE, Server

ENVIRONMENT = PROJECT / ".venv-mlflow"
PROGRAM = ENVIRONMENT / "bin" / "mlflow"
DATABASE = "mlflow"
READY_SECONDS = 180
STOP_SECONDS = 30


class MlflowMissing(Exception):
    """MLflow's environment is not there, or its server did not start."""


@contextlib.contextmanager
def running(folder: Path, *, server: Server) -> Iterator[str]:
    """Run the server with its defaults on loopback and give its address. Raises MlflowMissing."""
    check()
    server.create(DATABASE)
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    with (folder / "mlflow.out").open("wb") as out:
        process = subprocess.Popen(
            _command(folder, server.sockets, port),
            cwd=folder,
            env=_clean(),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await(process, port, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        # Its workers and its job runner are children of the one process that was started here.
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def check() -> None:
    """Raise MlflowMissing where it is not installed."""
    if not PROGRAM.exists():
        raise MlflowMissing("MLflow is not installed. Run `make bench NAME=registry`, or give --alone to go without.")


def version() -> str:
    """Return the release that is installed."""
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True, timeout=60)
    return said.stdout.split()[-1]


def _command(folder: Path, sockets: Path, port: int) -> list[str]:
    store = f"postgresql+psycopg2://{ROLE}@/{DATABASE}?host={quote(str(sockets))}"
    place = ["--host", "127.0.0.1", "--port", str(port)]
    return [str(PROGRAM), "server", "--backend-store-uri", store, "--artifacts-destination", str(folder / "a"), *place]


def _clean() -> dict[str, str]:
    own = ("PERENNIAL_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "VIRTUAL_ENV", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    path = f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**kept, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(port):
            return
        time.sleep(0.2)
    raise MlflowMissing(f"MLflow's server did not start; {folder / 'mlflow.out'} says why.")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
