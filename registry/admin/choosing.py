"""Rows that were chosen from a list, by their keys: a page that names a few of thousands reads those alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from django.db.models import QuerySet


class Chosen(Sequence[Any]):
    """Rows in the order of their keys; read as they are looked at, all of them only by who goes through all."""

    def __init__(self, rows: QuerySet[Any], keys: Sequence[Any]) -> None:
        self._rows = rows.order_by()
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return self._read(self.keys[place])
        found = self._read([self.keys[place]])
        if not found:
            raise IndexError(place)
        return found[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read(self.keys))

    def _read(self, keys: Sequence[Any]) -> list[Any]:
        found = self._rows.in_bulk(list(keys))
        return [found[key] for key in keys if key in found]


def keys_of(rows: Sequence[Any]) -> Sequence[Any]:
    """Return the keys of rows, without reading those that were chosen."""
    return rows.keys if isinstance(rows, Chosen) else [each.pk for each in rows]
