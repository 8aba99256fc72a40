"""Owns what every kind of store does, the keys that it takes, and how it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol
from uuid import UUID

from registry import errors

KEY = re.compile(r"artifacts/(?P<fan>[0-9a-f]{2})/(?P=fan)[0-9a-f]{62}|snapshots/[0-9]{1,19}/[0-9a-f]{64}\.parquet")
PREFIX = re.compile(r"artifacts/([0-9a-f]{2}/)?|snapshots/([0-9]{1,19}/)?")


def artifact_key(digest: str) -> str:
    """Return the key under which an artifact of this SHA-256 is stored."""
    return f"artifacts/{digest[:2]}/{digest}"


class StoreKeyInvalid(errors.Invalid):
    """The key is none that this product makes."""

    code = "store_key_invalid"
    next_step = "Use the key that the row records; keys are never made from names."


class StoreAddressInvalid(errors.Unavailable):
    """The address that is set is none of a store."""

    code = "store_address_invalid"
    next_step = "Use file:/// and the absolute path of a folder, or s3://bucket/prefix; keys come from AWS_*."


class StoreMissing(errors.NotFound):
    """The store answers, and nothing is stored under the key."""

    code = "store_missing"
    next_step = "Restore the file from a backup."


class StoreUnavailable(errors.Unavailable):
    """The store does not take or give bytes; nothing is known about what it holds."""

    code = "store_unavailable"
    next_step = "Check free space, mounts and permissions of the artifact folder, then try again."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object of a listing."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    """When its bytes were last put, new or not; aware UTC, by the clock of the store."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Whose a store is, and for what; it lies at the root of the store, where no key leads."""

    installation: UUID
    purpose: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """Bytes under a key: all, or a range."""

    key: str
    start: int = 0
    length: int | None = None


class Store(Protocol):
    """What every kind of store can do; keys are text of the pattern `KEY`. All raise StoreKeyInvalid, StoreUnavailable.

    Whoever deletes takes only old objects that no row cites: an object is young after each `put`, until its row is in.
    A folder that lost its mount looks like an empty one: there `get` and `exists` raise StoreUnavailable, and listings
    are empty, so nobody concludes from a listing alone that something is missing.
    """

    can_vanish: bool
    """Whether the place behind the address may become another from one moment to the next, as where a mount ends."""

    def put(self, key: str, data: bytes) -> bool:
        """Store the bytes durably before returning, replacing others in one step; the object is young afterwards.

        True where the object is new; False where one was there before, which a sweeper may be about to delete.
        """

    def put_file(self, key: str, file: BinaryIO) -> bool:
        """Do what `put` does with all that a file holds, from its beginning; a part of it is in memory at a time.

        The file must be one that can be read again. Of an object store, two who store the same key at once may both
        be told that it is new; both have just put it.
        """

    def put_each(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Do what `put` does for each key with its bytes; where a request takes long, some are on their way at once."""

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the bytes from `start`, at most `length` of them. Raises StoreMissing."""

    def get_each(self, places: Sequence[Place]) -> Iterator[bytes | StoreMissing | StoreKeyInvalid]:
        """Yield what `get` returns for each, in their order, or why nothing of this one.

        Where a request takes long, some are on their way at once, and no more than those are in memory.
        """

    def exists(self, key: str) -> bool:
        """Whether bytes are stored under the key."""

    def find(self, key: str) -> Entry | None:
        """Return what a listing would say of this key; None where nothing is stored under it."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove the bytes under these keys; nothing happens where there are none."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield what lies under a folder of the store (pattern `PREFIX`), in the order of the keys.

        Half-written files are never among it. Memory is bounded by the largest folder, not by the store.
        """

    def folders(self) -> list[str]:
        """Return the folders in which half-written files can lie, in their order; none where objects appear whole."""

    def sweep_temporary(self, folder: str, *, older_than: datetime) -> int:
        """Remove half-written files of a folder that were last touched before that instant; return how many."""

    def mark(self) -> Mark | None:
        """Return whose the store is; None where nothing says, as in an empty one."""

    def claim(self, mark: Mark, *, replacing: bool = False) -> Mark:
        """Write whose the store is, where nothing says yet or in place of what does; return what stands afterwards."""
