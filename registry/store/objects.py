"""Owns bytes in an object store that speaks S3. Every request has deadlines; a lost bucket is not a lost file.

The library behind it is optional (extra `cloud`), imported when a store is opened, and does not survive a fork: a
process that forks workers must not read or write artifacts itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from registry import errors
from registry.store import marker
from registry.store.contract import (
    KEY,
    PREFIX,
    Entry,
    Mark,
    Place,
    StoreAddressInvalid,
    StoreKeyInvalid,
    StoreMissing,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

CONNECT_SECONDS = 5
MAX_RETRIES = 3
LISTED_AT_ONCE = 1000
# A request waits for the network some 10 to 50 ms, and what is on its way is in memory.
READ_AT_ONCE = 16
WRITTEN_AT_ONCE = 8
BYTES_AT_ONCE = 64 * 1024**2
PART_BYTES = 16 * 1024**2
PARTS_AT_ONCE = 2
_NEXT_STEP = "Check the bucket, its address, the keys (AWS_*) and the network, then try again."
_CODE = re.compile(r"<Code>(\w+)</Code>")


class CloudMissing(errors.Unavailable):
    """The artifacts are in an object store, and the library for it is not installed."""

    code = "cloud_missing"
    next_step = "Install it: uv sync --extra cloud."


class ObjectStore:
    """A bucket, or what lies under one prefix in it."""

    can_vanish = False

    def __init__(self, url: str, *, endpoint: str, seconds: float) -> None:
        self._name = url
        self._client = _connect(url, endpoint=endpoint, seconds=seconds)
        self._pid = os.getpid()

    def put(self, key: str, data: bytes) -> bool:
        """See Store. One request carries the whole object and its SHA-256, which the store compares."""
        import obstore

        _check(key)
        with self._reported(key):
            try:
                obstore.put(self._client, key, data, mode="create", use_multipart=False)
                return True
            except obstore.exceptions.AlreadyExistsError:
                # Written once more, whatever it holds: it is repaired where damaged, and young in any case.
                obstore.put(self._client, key, data, use_multipart=False)
                return False

    def put_file(self, key: str, file: BinaryIO) -> bool:
        """See Store. A small one goes as `put`; a larger one in parts, each with its checksum, and appears whole."""
        import obstore

        _check(key)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size <= PART_BYTES:
            return self.put(key, file.read())
        is_new = self.find(key) is None
        with self._reported(key):
            obstore.put(self._client, key, file, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        return is_new

    def put_each(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See Store."""
        with ThreadPoolExecutor(WRITTEN_AT_ONCE) as pool:
            for _ in pool.map(lambda item: self.put(*item), items):
                pass

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See Store."""
        import obstore

        _check(key)
        with self._reported(key):
            if length is None:
                return obstore.get(self._client, key).bytes().to_bytes()[start:]
            try:
                return obstore.get_range(self._client, key, start=start, length=length).to_bytes()
            except obstore.exceptions.GenericError as error:
                # A range that begins behind the end is refused by the store, but it only is empty.
                if "status code: 416" in str(error):
                    return b""
                raise

    def get_each(self, places: Sequence[Place]) -> Iterator[bytes | StoreMissing | StoreKeyInvalid]:
        """See Store."""
        with ThreadPoolExecutor(READ_AT_ONCE) as pool:
            for group in _groups(places):
                yield from pool.map(self._tried, group)

    def exists(self, key: str) -> bool:
        """See Store."""
        return self.find(key) is not None

    def find(self, key: str) -> Entry | None:
        """See Store."""
        import obstore

        _check(key)
        with self._reported(key):
            try:
                found = obstore.head(self._client, key)
            except FileNotFoundError:
                # The answer has no body, which would say whether the object or the whole bucket is missing.
                next(iter(obstore.list(self._client, key)), None)
                return None
            return Entry(key=key, size=found["size"], modified=found["last_modified"].astimezone(UTC))

    def delete(self, keys: Sequence[str]) -> None:
        """See Store."""
        import obstore

        for key in keys:
            _check(key)
        with self._reported(keys[0] if keys else ""):
            obstore.delete(self._client, list(keys))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See Store."""
        import obstore

        if not PREFIX.fullmatch(prefix):
            raise StoreKeyInvalid(f"{prefix!r} is not a folder of the store.")
        with self._reported(prefix):
            for page in obstore.list(self._client, prefix.rstrip("/"), chunk_size=LISTED_AT_ONCE):
                for each in page:
                    if KEY.fullmatch(each["path"]):
                        modified = each["last_modified"].astimezone(UTC)
                        yield Entry(key=each["path"], size=each["size"], modified=modified)

    def folders(self) -> list[str]:
        """See Store. An object appears whole or not at all, so there is nothing to sweep."""
        return []

    def sweep_temporary(self, folder: str, *, older_than: datetime) -> int:
        """See Store."""
        return 0

    def mark(self) -> Mark | None:
        """See Store."""
        import obstore

        try:
            with self._reported(marker.NAME):
                return marker.parse(
                    obstore.get_range(self._client, marker.NAME, start=0, end=marker.LONGEST).to_bytes()
                )
        except StoreMissing:
            return None

    def claim(self, mark: Mark, *, replacing: bool = False) -> Mark:
        """See Store."""
        import obstore

        data = marker.dump(mark)
        with self._reported(marker.NAME), contextlib.suppress(obstore.exceptions.AlreadyExistsError):
            obstore.put(
                self._client, marker.NAME, data, mode="overwrite" if replacing else "create", use_multipart=False
            )
        return self.mark() or mark

    def _tried(self, place: Place) -> bytes | StoreMissing | StoreKeyInvalid:
        try:
            return self.get(place.key, start=place.start, length=place.length)
        except (StoreMissing, StoreKeyInvalid) as error:
            return error

    @contextlib.contextmanager
    def _reported(self, key: str) -> Iterator[None]:
        import obstore

        if self._pid != os.getpid():
            # Without this the library waits for threads that the fork has not copied.
            raise StoreUnavailable(
                f"{self._name} was opened before this process was forked.",
                next_step="Read and write artifacts in the workers only, not in the process that forks them.",
            )
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise StoreUnavailable(f"{self._name}: there is no such bucket.", next_step=_NEXT_STEP) from error
            raise StoreMissing(f"Nothing is stored under {key}.") from error
        except (obstore.exceptions.BaseError, OSError) as error:
            sentence = f"{self._name} failed for {key}: {_first_line(error)}."
            raise StoreUnavailable(sentence, next_step=_NEXT_STEP) from error


@functools.lru_cache(maxsize=8)
def open_store(url: str, *, endpoint: str, seconds: float) -> ObjectStore:
    """Return the store of an `s3://bucket/prefix` address, kept with its connections.

    Raises StoreAddressInvalid, CloudMissing.
    """
    return ObjectStore(url, endpoint=endpoint, seconds=seconds)


def _connect(url: str, *, endpoint: str, seconds: float) -> Client:
    try:
        import obstore.store
    except ImportError as error:
        raise CloudMissing(f"{url} needs the library obstore, which is not installed.") from error
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc:
        # What stands before an @ may be a secret.
        shown = url.rpartition("@")[2]
        raise StoreAddressInvalid(f"{shown!r} is not a store.")
    try:
        return obstore.store.S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config={"checksum_algorithm": "sha256", **({"endpoint": endpoint} if endpoint else {})},
            client_options={
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=seconds),
                "allow_http": endpoint.startswith("http://"),
            },
            retry_config={"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=seconds)},
        )
    except obstore.exceptions.BaseError as error:
        raise StoreUnavailable(f"{url} cannot be opened: {_first_line(error)}.", next_step=_NEXT_STEP) from error


def _groups(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Yield what is read at once: few enough, and (where a length is said) small enough together."""
    group: list[Place] = []
    size = 0
    for place in places:
        length = BYTES_AT_ONCE if place.length is None else place.length
        if group and (len(group) == READ_AT_ONCE or size + length > BYTES_AT_ONCE):
            yield group
            group, size = [], 0
        group.append(place)
        size += length
    if group:
        yield group


def _check(key: str) -> None:
    if not KEY.fullmatch(key):
        raise StoreKeyInvalid(f"{key!r} is not a key of the store.")


def _first_line(error: Exception) -> str:
    """Return the first line of the library's text, without the store's XML but with the code in it."""
    code = _CODE.search(str(error))
    line = str(error).partition("\n")[0].partition("<")[0].strip(" :-.")
    return f"{line} ({code.group(1)})" if code else line
