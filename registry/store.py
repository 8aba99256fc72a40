"""Owns bytes under a key, written whole or not at all. Refuses every key that is not of a known pattern, and links."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from registry import errors

KEY = re.compile(r"artifacts/(?P<fan>[0-9a-f]{2})/(?P=fan)[0-9a-f]{62}|snapshots/[0-9]{1,19}/[0-9a-f]{64}\.parquet")
PREFIX = re.compile(r"artifacts/([0-9a-f]{2}/)?|snapshots/([0-9]{1,19}/)?")
# Windows can neither open a folder nor refuse a link while opening; the check before opening stays.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class StoreKeyInvalid(errors.Invalid):
    """The key is none that this product makes."""

    code = "store_key_invalid"
    next_step = "Use the key that the row records; keys are never made from names."


class StoreMissing(errors.NotFound):
    """No bytes are stored under the key."""

    code = "store_missing"
    next_step = "Restore the file from a backup."


class StoreUnavailable(errors.Unavailable):
    """The store does not take or give bytes."""

    code = "store_unavailable"
    next_step = "Check free space, mounts and permissions of the artifact folder, then try again."


class Store(Protocol):
    """What every kind of store can do; keys are text of the pattern `KEY`."""

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes durably before returning; replaces others in one step, does nothing for the same ones."""

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the bytes from `start`, at most `length` of them. Raises StoreMissing."""

    def exists(self, key: str) -> bool:
        """Whether bytes are stored under the key."""

    def delete(self, key: str) -> None:
        """Remove the bytes; nothing happens where there are none."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a folder of the store, in order; half-written files are no keys."""


def open_store(url: str) -> Store:
    """Return the store of a `file:///` URL. Raises Invalid for any other."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path:
        raise errors.Invalid(f"{url!r} is not a store.", next_step="Use file:/// and the absolute path of a folder.")
    return DiskStore(Path(unquote(parts.path)))


class DiskStore:
    """A folder of this machine, or of a network file system that renames within a folder in one step."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def put(self, key: str, data: bytes) -> None:
        """See Store. Raises StoreKeyInvalid, StoreUnavailable."""
        path = self._locate(key)
        with _reported(key):
            if self._holds(path, data):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, data)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See Store. Raises StoreKeyInvalid, StoreMissing, StoreUnavailable."""
        path = self._locate(key)
        with _reported(key), os.fdopen(os.open(path, os.O_RDONLY | _NO_FOLLOW), "rb") as file:
            file.seek(start)
            return file.read(-1 if length is None else length)

    def exists(self, key: str) -> bool:
        """See Store. Raises StoreKeyInvalid."""
        return self._locate(key).is_file()

    def delete(self, key: str) -> None:
        """See Store. Raises StoreKeyInvalid, StoreUnavailable."""
        path = self._locate(key)
        with _reported(key):
            path.unlink(missing_ok=True)
            if path.parent.exists():
                _sync_folder(path.parent)

    def keys(self, prefix: str) -> Iterator[str]:
        """See Store. Raises StoreKeyInvalid."""
        if not PREFIX.fullmatch(prefix):
            raise StoreKeyInvalid(f"{prefix!r} is not a folder of the store.")
        for path in sorted(self._walk(prefix).rglob("*")):
            key = path.relative_to(self._root).as_posix()
            if KEY.fullmatch(key) and path.is_file() and not path.is_symlink():
                yield key

    def _locate(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise StoreKeyInvalid(f"{key!r} is not a key of the store.")
        return self._walk(key)

    def _walk(self, key: str) -> Path:
        path = self._root
        for part in key.split("/"):
            path = path / part
            if path.is_symlink():
                raise StoreKeyInvalid(f"{key!r} leads over a link, which the store does not follow.")
        return path

    def _holds(self, path: Path, data: bytes) -> bool:
        # Comparing, and not only looking for the file, lets storing again repair a damaged one.
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


@contextlib.contextmanager
def _reported(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StoreMissing(f"Nothing is stored under {key}.") from error
    except OSError as error:
        raise StoreUnavailable(f"The store failed for {key}: {error.strerror or error}.") from error


def _write_whole(path: Path, data: bytes) -> None:
    # In the same folder, because a rename is one step only within one file system.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o640), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Without it the name, not the bytes, may be lost with the machine. The parents may be as new as the folder.
    if os.name == "nt":
        return
    for directory in (folder, folder.parent, folder.parent.parent):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
