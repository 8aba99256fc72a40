"""Owns bytes in a folder: temporary name, fsync, rename. Refuses links; a lost mount is not a lost file."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from registry.store import marker
from registry.store.contract import KEY, PREFIX, Entry, Mark, Place, StoreKeyInvalid, StoreMissing, StoreUnavailable

# Windows can neither open a folder nor refuse a link while opening; the check before opening stays.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_TEMPORARY = re.compile(r"\.[0-9a-f]{64}(\.parquet)?\.[0-9a-f]{16}\.tmp")
_TOP_FOLDERS = ("artifacts/", "snapshots/")
COPIED_AT_ONCE = 1024**2


_FAN_OUT = tuple(f"{number:02x}" for number in range(256))
_settled: set[Path] = set()
"""Folders whose own names this process has made durable."""


class DiskStore:
    """A folder of this machine, or of a network file system that renames within a folder in one step."""

    can_vanish = True

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def put(self, key: str, data: bytes) -> bool:
        """See Store."""
        return self.put_file(key, io.BytesIO(data))

    def put_file(self, key: str, file: BinaryIO) -> bool:
        """See Store."""
        path = self._locate(key)
        with self._reported(key):
            if _renewed(path, file):
                return False
            is_new = not path.exists()
            _settle(path.parent)
            _write_whole(path, file)
            return is_new

    def put_each(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See Store. One after the other, as `get_each`."""
        for key, data in items:
            self.put(key, data)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See Store."""
        path = self._locate(key)
        with self._reported(key), _opened(path) as file:
            file.seek(start)
            return file.read(-1 if length is None else length)

    def get_each(self, places: Sequence[Place]) -> Iterator[bytes | StoreMissing | StoreKeyInvalid]:
        """See Store. One after the other: a disk is not quicker when it is asked for many."""
        for place in places:
            try:
                yield self.get(place.key, start=place.start, length=place.length)
            except (StoreMissing, StoreKeyInvalid) as error:
                yield error

    def exists(self, key: str) -> bool:
        """See Store."""
        path = self._locate(key)
        try:
            with self._reported(key):
                path.lstat()
        except StoreMissing:
            return False
        return True

    def find(self, key: str) -> Entry | None:
        """See Store."""
        path = self._locate(key)
        try:
            with self._reported(key):
                found = path.lstat()
        except StoreMissing:
            return None
        return _entry(key, found)

    def delete(self, keys: Sequence[str]) -> None:
        """See Store."""
        paths = [self._locate(key) for key in keys]
        with self._reported(keys[0] if keys else ""):
            for path in paths:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in paths}:
                if folder.exists():
                    _sync_folder(folder)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See Store."""
        for path in self._files(prefix):
            key = path.relative_to(self._root).as_posix()
            if KEY.fullmatch(key) and (found := _stat(path)) is not None:
                yield _entry(key, found)

    def folders(self) -> list[str]:
        """See Store."""
        return [top + name for top in _TOP_FOLDERS for name in _names(self._walk(top)) if PREFIX.fullmatch(top + name)]

    def sweep_temporary(self, folder: str, *, older_than: datetime) -> int:
        """See Store."""
        swept = 0
        for path in self._files(folder):
            if not _TEMPORARY.fullmatch(path.name):
                continue
            if (found := _stat(path)) is not None and found.st_mtime < older_than.timestamp():
                with self._reported(path.name):
                    path.unlink(missing_ok=True)
                swept += 1
        return swept

    def mark(self) -> Mark | None:
        """See Store."""
        try:
            with self._reported(marker.NAME), _opened(self._root / marker.NAME) as file:
                return marker.parse(file.read(marker.LONGEST))
        except StoreMissing:
            return None

    def claim(self, mark: Mark, *, replacing: bool = False) -> Mark:
        """See Store."""
        path = self._root / marker.NAME
        with self._reported(marker.NAME):
            # What lies above the store is not ours, and may not be ours to open.
            self._root.mkdir(parents=True, exist_ok=True)
            _write_whole(path, io.BytesIO(marker.dump(mark)), create=not replacing)
        return self.mark() or mark

    def _locate(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise StoreKeyInvalid(f"{key!r} is not a key of the store.")
        return self._walk(key)

    def _walk(self, key: str) -> Path:
        path = self._root
        for part in key.rstrip("/").split("/"):
            path = path / part
            if path.is_symlink():
                raise StoreKeyInvalid(f"{key!r} leads over a link, which the store does not follow.")
        return path

    def _files(self, prefix: str) -> Iterator[Path]:
        if not PREFIX.fullmatch(prefix):
            raise StoreKeyInvalid(f"{prefix!r} is not a folder of the store.")
        with self._reported(prefix):
            yield from _files(self._walk(prefix))

    @contextlib.contextmanager
    def _reported(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            # A mount that is gone leaves an empty folder, in which every file of every version seems to be missing.
            if key != marker.NAME and not (self._root / key.split("/")[0]).is_dir():
                raise StoreUnavailable(f"The store has no folder for {key}: is {self._root} mounted?") from error
            raise StoreMissing(f"Nothing is stored under {key}.") from error
        except OSError as error:
            raise StoreUnavailable(f"The store failed for {key}: {error.strerror or error}.") from error


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below, in the order of their keys, one folder's names in memory at a time."""
    for name in _names(folder):
        if name.endswith("/"):
            yield from _files(folder / name)
        else:
            yield folder / name


def _names(folder: Path) -> list[str]:
    """Return what lies in a folder, without links; a folder sorts as its key does, with the stroke behind its name."""
    try:
        with os.scandir(folder) as found:
            return sorted(
                each.name + "/" * each.is_dir(follow_symlinks=False) for each in found if not each.is_symlink()
            )
    except FileNotFoundError:
        return []


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | _NO_FOLLOW), "rb")


def _entry(key: str, found: os.stat_result) -> Entry:
    return Entry(key=key, size=found.st_size, modified=datetime.fromtimestamp(found.st_mtime, UTC))


def _stat(path: Path) -> os.stat_result | None:
    # A listing meets files that somebody else removes meanwhile.
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _renewed(path: Path, data: BinaryIO) -> bool:
    """Make a file that holds these bytes young; False where there is none, or it is not ours to touch."""
    try:
        # Comparing, and not only looking for the file, lets storing again repair a damaged one.
        if path.stat().st_size == data.seek(0, os.SEEK_END) and _same(path, data):
            os.utime(path)
            # Whoever wrote it may not have come to this yet, and the caller's row relies on the name from here on. Its
            # age may be lost with the machine: the row that it waits for, which keeps the file, is then lost as well.
            _settle(path.parent)
            _sync_folder(path.parent)
            return True
    except (FileNotFoundError, PermissionError):
        return False
    return False


def _same(path: Path, data: BinaryIO) -> bool:
    data.seek(0)
    with _opened(path) as file:
        while part := file.read(COPIED_AT_ONCE):
            if part != data.read(COPIED_AT_ONCE):
                return False
    return True


def _write_whole(path: Path, data: BinaryIO, *, create: bool = False) -> None:
    """Write a file in one step; to `create` leaves one that is there as it is."""
    # In the same folder, because a rename is one step only within one file system.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o640), "wb") as file:
            data.seek(0)
            shutil.copyfileobj(data, file, COPIED_AT_ONCE)
            file.flush()
            os.fsync(file.fileno())
        if not (create and _linked(temporary, path)):
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _linked(temporary: Path, path: Path) -> bool:
    """Give a file its name unless that is taken; False on a file system without such links, where nobody has it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:
        if not path.exists():
            return False
    temporary.unlink()
    return True


def _settle(folder: Path) -> None:
    """Make a folder, and its own name durable: once for each process, which cannot know whether its maker did so."""
    if folder in _settled and folder.is_dir():
        return
    # All that lie beside it at once: each by itself would hold up 256 registrations of every process.
    made = [folder.with_name(name) for name in _FAN_OUT] if folder.parent.name == "artifacts" else [folder]
    for each in made:
        # Where something else has the name, it stands in the way of what goes there alone.
        with contextlib.suppress(FileExistsError):
            each.mkdir(parents=True, exist_ok=True)
    for above in (folder.parent, folder.parent.parent):
        _sync_folder(above)
    _settled.update(made)


def _sync_folder(folder: Path) -> None:
    # Without it the name, not the bytes, may be lost with the machine.
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
