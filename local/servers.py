"""Owns how a command gets its PostgreSQL and Redis: attach to running ones or start them. Refuses to wait for ever."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from local import errors, postgres, redis, state

ATTACH_SECONDS = 90.0
START_SECONDS = 75.0
VARIABLES = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}


@dataclass(frozen=True)
class Servers:
    """Where the two servers answer: the database for django-environ's `db_url`, Redis in the form of redis-py."""

    database_url: str
    redis_url: str


@dataclass(frozen=True)
class Attachment:
    """What this process asked of one keeper; to the keeper the open connection is a user of the servers."""

    connection: socket.socket
    wanted: list[str]
    durable: bool


# Held until this process ends.
_attachments: dict[Path, Attachment] = {}


def attach(*, state_dir: Path | None = None, durable: bool = True) -> Servers:
    """Return the servers of this command, started if need be and kept up until this process ends.

    DATABASE_URL and REDIS_URL each replace the embedded server; with both set nothing is started. `durable=False`, for
    tests, starts servers that may lose their data with the machine. Raises LocalError.
    """
    given = _given()
    wanted = [name for name in VARIABLES if name not in given]
    if not wanted:
        return Servers(database_url=given["postgres"], redis_url=given["redis"])
    folder = state.prepare(state.locate(state_dir))
    found = _request(folder, wanted, durable=durable) | given
    return Servers(database_url=found["postgres"], redis_url=found["redis"])


def addresses(*, state_dir: Path | None = None) -> Servers:
    """Return where the servers of this state folder would answer, for commands that need settings but no server."""
    sockets = state.locate(state_dir).sockets
    found = {"postgres": postgres.url(sockets), "redis": redis.url(sockets)} | _given()
    return Servers(database_url=found["postgres"], redis_url=found["redis"])


def export(servers: Servers) -> None:
    """Set DATABASE_URL and REDIS_URL for this process and its children, which therefore do not attach themselves."""
    os.environ[VARIABLES["postgres"]] = servers.database_url
    os.environ[VARIABLES["redis"]] = servers.redis_url


def is_attached(*, state_dir: Path | None = None) -> bool:
    """Whether the keeper that this process asked is still there; a killed keeper took its servers along."""
    attachment = _attachments.get(state.locate(state_dir).root)
    return attachment is not None and not _has_hung_up(attachment.connection)


def renew(*, state_dir: Path | None = None) -> None:
    """Start the servers of this process again if their keeper was killed; the addresses stay what they are."""
    folder = state.locate(state_dir)
    lost = _attachments.get(folder.root)
    if lost is not None and _has_hung_up(lost.connection):
        lost.connection.close()
        _request(state.prepare(folder), lost.wanted, durable=lost.durable)


def _given() -> dict[str, str]:
    return {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}


def _request(folder: state.State, wanted: list[str], *, durable: bool) -> dict[str, str]:
    request = json.dumps({"servers": wanted, "durable": durable}).encode()
    deadline = time.monotonic() + ATTACH_SECONDS
    while time.monotonic() < deadline:
        connection = _connect(folder)
        answer = _ask(connection, request)
        if answer is not None:
            connection.setblocking(False)
            found = _checked(answer)
            _attachments[folder.root] = Attachment(connection, wanted, durable)
            atexit.register(connection.close)
            return found
        # The keeper was on its way out; its successor waits until the servers are down.
        connection.close()
    raise errors.LocalError(
        "keeper_silent",
        f"The keeper of the servers in {folder.root} does not answer.",
        f"End the process named in {folder.root / 'keeper.pid'} and try again.",
    )


def _connect(folder: state.State) -> socket.socket:
    # The lock makes one of many commands that start at once the one that starts the keeper.
    with state.locked(folder.root / "start.lock", seconds=ATTACH_SECONDS):
        existing = _open(folder)
        if existing is not None:
            return existing
        _start_keeper(folder)
        started = _open(folder)
    if started is None:
        raise _keeper_failed(folder)
    return started


def _open(folder: state.State) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ATTACH_SECONDS)
    try:
        connection.connect(str(folder.keeper_socket))
    except OSError:
        connection.close()
        return None
    return connection


def _start_keeper(folder: state.State) -> None:
    with folder.log_file("keeper").open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "local.keeper", str(folder.root)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=state.PROJECT,
            timeout=START_SECONDS,
        )
    if done.returncode != 0:
        raise _keeper_failed(folder)


def _keeper_failed(folder: state.State) -> errors.LocalError:
    log = folder.log_file("keeper")
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
    sentence = f"The keeper of the embedded servers did not start; it last said: {last[0]}"
    return errors.LocalError("keeper_failed", sentence, f"Read {log}, or set DATABASE_URL and REDIS_URL.")


def _ask(connection: socket.socket, request: bytes) -> bytes | None:
    try:
        connection.sendall(request)
        answer = connection.recv(65536)
    except OSError:
        return None
    return answer or None


def _checked(answer: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(answer)
    if "code" in found:
        raise errors.LocalError(found["code"], found["sentence"], found["next_step"])
    return found


def _has_hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
