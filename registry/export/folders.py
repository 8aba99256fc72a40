"""Owns folders and files below one root: written whole under a temporary name, then renamed. Follows no link.

Every step is taken relative to a folder that is held open, where the system can do so: a link that is put in the way
is refused, and what is opened lies below the root.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from registry import errors

# Windows can neither open a folder nor refuse a link while opening; there each part is looked at before it is used.
HAS_HANDLES = {os.open, os.mkdir, os.rename, os.symlink, os.unlink, os.rmdir, os.stat} <= os.supports_dir_fd
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | os.O_RDONLY
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_WAITLESS = getattr(os, "O_NONBLOCK", 0)
# What is read as a whole: pointers, lists and metadata are a thousandth of it.
READ_BYTES = 16 * 1024**2
TEMPORARY = "."


class ExportFailed(errors.Unavailable):
    """The export folder does not take what is written."""

    code = "export_failed"
    next_step = (
        "Check free space, mounts and permissions there. Where a fleet asks for exports it is tried again by itself."
    )


def _nothing() -> None:
    pass


class Folder:
    """One folder, held open; its methods take the names of what lies directly in it."""

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path = path
        self._handle = handle

    @contextlib.contextmanager
    def below(self, *names: str) -> Iterator[Folder]:
        """Open a folder below, made where it is missing."""
        with contextlib.ExitStack() as held:
            found = self
            for name in names:
                found = held.enter_context(found._child(name))
            yield found

    @contextlib.contextmanager
    def found(self, *names: str) -> Iterator[Folder | None]:
        """Open a folder below, or None where it is missing or something else has its name; nothing is made."""
        with contextlib.ExitStack() as held:
            found = self
            for name in names:
                try:
                    found = held.enter_context(_opened(found.path / name, found._at(name), **found._where()))
                except OSError:
                    yield None
                    return
            yield found

    @contextlib.contextmanager
    def _child(self, name: str) -> Iterator[Folder]:
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._at(name), 0o750, **self._where())
            self.sync()
        with _opened(self.path / name, self._at(name), **self._where()) as found:
            yield found

    def names(self) -> list[str]:
        """Return what lies in it, unfinished things left out."""
        return sorted(name for name in os.listdir(self._listed) if not name.startswith(TEMPORARY))

    def leftovers(self) -> list[str]:
        """Return what interrupted writers left in it."""
        return sorted(name for name in os.listdir(self._listed) if name.startswith(TEMPORARY))

    def is_folder(self, name: str) -> bool:
        """Whether it has a folder, and no link, of that name."""
        found = self._status(name)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def written_at(self, name: str) -> float | None:
        """Return when that was last written, in seconds since 1970 by the file system's clock; None without it."""
        found = self._status(name)
        return found.st_mtime if found else None

    def read(self, name: str, *, limit: int = READ_BYTES) -> bytes | None:
        """Return the bytes of a file; None where there is none, or something else, or one of more bytes than that."""
        file = self._open(name, limit)
        if file is None:
            return None
        with file:
            return file.read(limit)

    def digest(self, name: str, *, limit: int) -> str | None:
        """Return the SHA-256 of a file, in hex; None where `read` returns it."""
        file = self._open(name, limit)
        if file is None:
            return None
        with file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, name: str, content: bytes, *, before: Callable[[], None] = _nothing) -> None:
        """Write a file durably in one step, in the place of another; `before` is called last before that step."""
        temporary = _temporary()
        with contextlib.ExitStack() as undo:
            undo.callback(self.remove, temporary)
            self._create(temporary, content)
            before()
            self._rename(temporary, name)
            undo.pop_all()

    def write_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder with its files in one step; one that is there stays as it is."""
        temporary = _temporary()
        self._fill(temporary, files)
        try:
            self._rename(temporary, name)
        except OSError:
            self.remove(temporary)
            if not self.is_folder(name):
                raise

    def replace_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder in the place of whatever has its name; for an instant nothing has it."""
        temporary = _temporary()
        self._fill(temporary, files)
        self._swap(temporary, name)

    def link(self, name: str, target: str, *, before: Callable[[], None] = _nothing) -> bool:
        """Make a link, in one step in the place of another; False where links cannot be made."""
        if self.target(name) == target:
            return True
        temporary = _temporary()
        try:
            os.symlink(target, self._at(temporary), True, **self._where())
        except (OSError, NotImplementedError):
            return False
        with contextlib.ExitStack() as undo:
            undo.callback(self.remove, temporary)
            before()
            self._swap(temporary, name)
            undo.pop_all()
        return True

    def hide(self, name: str, *, before: Callable[[], None] = _nothing) -> str:
        """Take the name of a folder away in one step, and return the one by which it can be removed."""
        hidden = _temporary()
        before()
        self._rename(name, hidden)
        return hidden

    def remove(self, name: str) -> None:
        """Remove a file, a link or a whole folder; first it loses its name, so that nobody finds a half of it."""
        if not self.is_folder(name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._at(name), **self._where())
            return
        gone = self.hide(name)
        with self._child(gone) as folder:
            for each in os.listdir(folder._listed):
                folder.remove(each)
        os.rmdir(self._at(gone), **self._where())

    def probe(self) -> None:
        """Make something in it and take it away again."""
        name = _temporary()
        os.mkdir(self._at(name), 0o750, **self._where())
        os.rmdir(self._at(name), **self._where())

    def sync(self) -> None:
        """Make names durable, not only bytes."""
        if self._handle is not None:
            os.fsync(self._handle)

    def _fill(self, name: str, files: Mapping[str, bytes]) -> None:
        try:
            with self._child(name) as fresh:
                for each, content in files.items():
                    fresh._create(each, content)
                fresh.sync()
        except OSError:
            self.remove(name)
            raise

    def _swap(self, name: str, to: str) -> None:
        try:
            self._rename(name, to)
        except OSError:
            # A folder with something in it, or on Windows a link, cannot be replaced in one step.
            self.remove(to)
            self._rename(name, to)

    def _open(self, name: str, limit: int) -> BufferedReader | None:
        # Looked at first: whoever opens a pipe or a device waits, or makes it do something.
        if not _is_file(self._status(name), limit):
            return None
        try:
            file = os.fdopen(os.open(self._at(name), os.O_RDONLY | _FILE | _WAITLESS, **self._where()), "rb")
        except FileNotFoundError:
            return None
        if _is_file(os.fstat(file.fileno()), limit):
            return file
        file.close()
        return None

    def _create(self, name: str, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE
        with os.fdopen(os.open(self._at(name), flags, 0o640, **self._where()), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _rename(self, name: str, to: str) -> None:
        if self._handle is None:
            os.replace(self.path / name, self.path / to)
        else:
            os.replace(name, to, src_dir_fd=self._handle, dst_dir_fd=self._handle)
        self.sync()

    def target(self, name: str) -> str | None:
        """Return where a link points; None where there is no link."""
        try:
            return os.readlink(self._at(name), **self._where())
        except OSError:
            return None

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(self._at(name), follow_symlinks=False, **self._where())
        except FileNotFoundError:
            return None

    @property
    def _listed(self) -> int | str:
        return str(self.path) if self._handle is None else self._handle

    def _at(self, name: str) -> str:
        return name if self._handle is not None else str(self.path / name)

    def _where(self) -> dict[str, Any]:
        return {} if self._handle is None else {"dir_fd": self._handle}


@contextlib.contextmanager
def root(path: Path) -> Iterator[Folder]:
    """Open the folder below which all else lies, made where it is missing; the links in its own path are followed."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "It is a file", str(path))
    path.mkdir(parents=True, exist_ok=True)
    with _opened(path.resolve(), str(path.resolve())) as found:
        yield found


@contextlib.contextmanager
def reported(what: str) -> Iterator[None]:
    """Turn what the system refuses into ExportFailed."""
    try:
        yield
    except OSError as error:
        raise ExportFailed(f"{what} cannot be written: {error.strerror or error}.") from error


@contextlib.contextmanager
def _opened(path: Path, at: str, **where: Any) -> Iterator[Folder]:
    if not HAS_HANDLES:
        if path.is_symlink() or not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a link or a file stands in the way", str(path))
        yield Folder(path, None)
        return
    handle = os.open(at, _FOLDER, **where)
    try:
        yield Folder(path, handle)
    finally:
        os.close(handle)


def _is_file(found: os.stat_result | None, limit: int) -> bool:
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size <= limit


def _temporary() -> str:
    return f"{TEMPORARY}{secrets.token_hex(8)}"
