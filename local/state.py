"""Owns where the files of one machine lie; refuses a state folder that belongs to another user."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local import errors

PROJECT = Path(__file__).resolve().parent.parent

# A socket address holds 104 bytes on macOS, 108 on Linux; the longest name below the folder is `/run/.s.PGSQL.5432`.
MAX_ROOT_BYTES = 80


@dataclass(frozen=True)
class State:
    """One state folder, resolved. Everything below it is private to its owner (mode 0700)."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def sockets(self) -> Path:
        if len(os.fsencode(self.root)) <= MAX_ROOT_BYTES:
            return self.root / "run"
        return Path(tempfile.gettempdir()) / f"perennial-{os.geteuid()}-{self.digest}"

    @property
    def keeper_socket(self) -> Path:
        return self.sockets / "keeper.sock"

    @property
    def digest(self) -> str:
        """Twelve characters that tell this folder from every other one, for names outside it."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]

    def pid_file(self, server: str) -> Path:
        return self.root / f"{server}.pid"

    def hold_file(self, server: str) -> Path:
        return self.root / f"{server}.hold"

    def log_file(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def locate(state_dir: Path | None = None) -> State:
    """Name the state folder, by argument, by PERENNIAL_STATE_DIR or `.state` of the checkout, without touching it."""
    chosen = state_dir or os.environ.get("PERENNIAL_STATE_DIR") or PROJECT / ".state"
    return State(root=Path(chosen).expanduser().resolve())


def prepare(state: State) -> State:
    """Create the folders of this state. Raises LocalError `foreign_state` where another user owns one of them."""
    for folder in (state.root, state.logs, state.sockets):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise errors.LocalError(
                "foreign_state",
                f"The state folder {folder} belongs to another user.",
                "Set PERENNIAL_STATE_DIR to a folder of your own, or remove this one.",
            )
        folder.chmod(0o700)
    return state


def write_whole(path: Path, text: str) -> None:
    """Write by rename, so that a reader never sees half of it."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    aside.write_text(text)
    aside.rename(path)


@contextlib.contextmanager
def locked(path: Path, *, seconds: float) -> Iterator[int]:
    """Hold an exclusive lock on this file; yields its descriptor. Raises BlockingIOError after `seconds`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, deadline=time.monotonic() + seconds)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.02)
