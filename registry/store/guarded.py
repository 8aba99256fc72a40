"""Owns a store that is asked whose it is before bytes go in or out for good, and before any are taken for missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import BinaryIO

from registry.store.contract import Entry, Mark, Place, Store, StoreKeyInvalid, StoreMissing


class GuardedStore:
    """Another store behind two questions, which raise StoreUnavailable where it is not the right one.

    `admit` is asked before bytes are written, `judge` before others are listed, deleted or said to be missing: a lost
    mount, or another bucket, would answer each of these with an empty folder.
    """

    def __init__(self, inner: Store, *, admit: Callable[[], object], judge: Callable[[], object]) -> None:
        self._inner = inner
        self._admit = admit
        self._judge = judge
        self.can_vanish = inner.can_vanish

    def put(self, key: str, data: bytes) -> bool:
        """See Store."""
        self._admit()
        return self._inner.put(key, data)

    def put_file(self, key: str, file: BinaryIO) -> bool:
        """See Store."""
        self._admit()
        return self._inner.put_file(key, file)

    def put_each(self, items: Sequence[tuple[str, bytes]]) -> None:
        """See Store. Asks once, here: what has its own threads for the writing knows no database."""
        if items:
            self._admit()
        self._inner.put_each(items)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See Store."""
        try:
            return self._inner.get(key, start=start, length=length)
        except StoreMissing:
            self._judge()
            raise

    def get_each(self, places: Sequence[Place]) -> Iterator[bytes | StoreMissing | StoreKeyInvalid]:
        """See Store."""
        for found in self._inner.get_each(places):
            if isinstance(found, StoreMissing):
                self._judge()
            yield found

    def exists(self, key: str) -> bool:
        """See Store."""
        return self.find(key) is not None

    def find(self, key: str) -> Entry | None:
        """See Store."""
        found = self._inner.find(key)
        if found is None:
            self._judge()
        return found

    def delete(self, keys: Sequence[str]) -> None:
        """See Store."""
        if keys:
            self._judge()
        self._inner.delete(keys)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """See Store."""
        self._judge()
        yield from self._inner.entries(prefix)

    def folders(self) -> list[str]:
        """See Store."""
        self._judge()
        return self._inner.folders()

    def sweep_temporary(self, folder: str, *, older_than: datetime) -> int:
        """See Store."""
        return self._inner.sweep_temporary(folder, older_than=older_than)

    def mark(self) -> Mark | None:
        """See Store."""
        return self._inner.mark()

    def claim(self, mark: Mark, *, replacing: bool = False) -> Mark:
        """See Store."""
        return self._inner.claim(mark, replacing=replacing)
