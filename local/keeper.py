"""Owns the running servers of one state folder: `python -m local.keeper STATE_DIR`. Refuses a second keeper there.

Every command holds one connection to `keeper.sock` for as long as it lives; the kernel closes it also after kill -9.
The first one that asks for a server gets it started, a server that crashed is started again, and when no connection
has been open for LINGER_SECONDS the keeper stops what it started and ends.

For tests of faults: `postgres.pid` and `redis.pid` in the state folder name the live server, and while
`postgres.hold` or `redis.hold` exists there a server that was killed stays down.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

from local import errors, postgres, redis, state
from local.hosting import Host

LINGER_SECONDS = 1.0
# The command that started this keeper connects at once; the margin is for a machine under load.
FIRST_CONNECTION_SECONDS = 15.0
TICK_SECONDS = 0.1
# The keeper before this one may still be stopping its servers.
HANDOVER_SECONDS = 60


class Keeper:
    """The loop of one keeper process; `run` returns when nobody needs the servers any more."""

    def __init__(self, folder: state.State, listener: socket.socket) -> None:
        self.folder = folder
        self.listener = listener
        self.identity = folder.keeper_socket.stat().st_ino
        self.hosts: dict[str, Host] = {}
        self.connections: set[socket.socket] = set()
        self.idle_at = time.monotonic() + FIRST_CONNECTION_SECONDS
        self.stopping = False
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until idle, told to stop, or robbed of the socket file; then stop every server cleanly."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            while not self._is_over():
                self._tick()
        finally:
            self._leave()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _is_over(self) -> bool:
        if not self._owns_socket():
            return True
        return self.stopping or (not self.connections and time.monotonic() >= self.idle_at)

    def _owns_socket(self) -> bool:
        # A removed state folder takes the socket with it: nobody could find these servers again.
        try:
            return self.folder.keeper_socket.stat().st_ino == self.identity
        except OSError:
            return False

    def _tick(self) -> None:
        for key, _ in self.selector.select(TICK_SECONDS):
            if key.fileobj is self.listener:
                self._accept()
            elif isinstance(key.fileobj, socket.socket):
                self._hear(key.fileobj)
        for host in self.hosts.values():
            host.look_after()

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(5)
        self.connections.add(connection)
        self.selector.register(connection, selectors.EVENT_READ)

    def _hear(self, connection: socket.socket) -> None:
        try:
            request = connection.recv(4096)
        except OSError:
            request = b""
        if request:
            self._answer(connection, request)
        else:
            self._drop(connection)

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        try:
            wanted = json.loads(request)
            answer = self._provide(wanted["servers"], durable=wanted["durable"])
        except errors.LocalError as refusal:
            answer = {"code": refusal.code, "sentence": refusal.sentence, "next_step": refusal.next_step}
        except (ValueError, KeyError, TypeError):
            return self._drop(connection)
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps(answer).encode() + b"\n")

    def _provide(self, servers: list[str], *, durable: bool) -> dict[str, str]:
        return {name: self._address(name, durable=durable) for name in servers}

    def _address(self, name: str, *, durable: bool) -> str:
        if name == "redis":
            self._host(name, redis.embedded(self.folder, durable=durable))
            return redis.url(self.folder.sockets)
        runner = postgres.find_runner(self.folder)
        self._host(name, postgres.Postgres(runner=runner, durable=durable))
        return postgres.url(runner.sockets)

    def _host(self, name: str, server: postgres.Postgres | redis.Redis) -> None:
        if name not in self.hosts:
            host = Host(server, self.folder)
            host.start()
            self.hosts[name] = host
        self.hosts[name].wait_until_ready()

    def _drop(self, connection: socket.socket) -> None:
        self.selector.unregister(connection)
        self.connections.discard(connection)
        connection.close()
        self.idle_at = time.monotonic() + LINGER_SECONDS

    def _leave(self) -> None:
        # First the door, then the servers: who comes now waits for the next keeper instead of a dying server.
        if self._owns_socket():
            self.folder.keeper_socket.unlink(missing_ok=True)
        self.listener.close()
        for connection in self.connections:
            connection.close()
        for host in self.hosts.values():
            host.stop()
        self.folder.pid_file("keeper").unlink(missing_ok=True)


def open_door(folder: state.State) -> socket.socket:
    """Listen on this folder's socket; the caller holds the lock that makes an existing file a stale one."""
    folder.keeper_socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder.keeper_socket))
    listener.listen(128)
    return listener


def main(state_dir: Path) -> None:
    """Become the keeper of this folder and return to the caller as soon as commands can connect.

    The process that was started ends at once and its child carries on, so no command has to outlive its keeper.
    """
    folder = state.prepare(state.locate(state_dir))
    with state.locked(folder.root / "keeper.lock", seconds=HANDOVER_SECONDS):
        listener = open_door(folder)
        if os.fork() != 0:
            return
        os.setsid()
        state.write_whole(folder.pid_file("keeper"), f"{os.getpid()}\n")
        Keeper(folder, listener).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
