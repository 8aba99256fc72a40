"""Brings the rows of each entity together, entities in the order of their keys, with little in memory.

A source that is in this order goes straight through. The rows of another are put on disk by ranges of entities, a
range small enough to be held, in a file without a name, which is gone with its process whatever ends it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

import numpy as np
from numpy.typing import NDArray

from training.normal_form import Rows, SourceChanged, edges, join

BUCKET_ROWS = 2_000_000
"""In memory at once while a source that is not in order is read, with some copies of them; more for one entity."""
MOST_BUCKETS = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """What entities a source has, from a first look at their column."""

    keys: Sequence[str]
    """Sorted."""
    counts: NDArray[np.int64]
    """Rows of each."""
    is_ordered: bool
    """Whether the rows of each entity stand together, and entities in the order of their keys."""


def survey(pieces: Iterable[tuple[Sequence[str], NDArray[np.int32]]]) -> Survey:
    """Look through all pieces of a source, each by its entities and every row's place among them."""
    counts: dict[str, int] = {}
    is_ordered, last = True, ""
    for names, codes in pieces:
        if not len(codes):
            continue
        found = np.bincount(codes, minlength=len(names))
        for place in np.flatnonzero(found).tolist():
            counts[names[place]] = counts.get(names[place], 0) + int(found[place])
        starts = edges(codes)[:-1]
        # Counted first: of rows in no order there are as many runs as rows, and no name of each is needed.
        is_ordered = is_ordered and len(starts) == np.count_nonzero(found) and _ascend(names, codes[starts], last)
        last = names[codes[-1]]
    keys = sorted(counts)
    return Survey(keys=keys, counts=np.array([counts[key] for key in keys], dtype=np.int64), is_ordered=is_ordered)


def _ascend(names: Sequence[str], codes: NDArray[np.int32], last: str) -> bool:
    """Whether the entities of a piece come in order behind the one before, which may go on."""
    keys = [names[code] for code in codes.tolist()]
    return last <= keys[0] and all(one < other for one, other in pairwise(keys))


def in_order(pieces: Iterable[Rows]) -> Iterator[Rows]:
    """Yield whole entities of a source that is in order, some at a time, keys sorted. Raises SourceChanged."""
    held: list[Rows] = []
    last = ""
    for piece in pieces:
        if not len(piece):
            continue
        starts = piece.starts()[:-1]
        if not _ascend(piece.keys, piece.codes[starts], last):
            raise SourceChanged("The rows are in another order than they were at a first look.")
        last = piece.keys[piece.codes[-1]]
        # The last entity of a piece may go on in the next.
        begins = int(starts[-1])
        if begins or (held and held[-1].keys[held[-1].codes[-1]] != piece.keys[piece.codes[0]]):
            yield _renumbered(join([*held, piece.take(slice(0, begins))]))
            held = []
        held.append(piece.take(slice(begins, None)))
    if held:
        yield _renumbered(join(held))


def _renumbered(rows: Rows) -> Rows:
    """Return the rows with their own keys only, in the order in which they come."""
    starts = rows.starts()
    keys = [rows.keys[code] for code in rows.codes[starts[:-1]].tolist()]
    codes = np.repeat(np.arange(len(keys), dtype=np.int32), np.diff(starts))
    return Rows(keys=keys, codes=codes, times=rows.times, is_local=rows.is_local, values=rows.values)


def by_ranges(pieces: Iterable[Rows], known: Survey) -> Iterator[Rows]:
    """Yield whole entities of a source in any order, a range of keys at a time. Raises SourceChanged."""
    ends = np.cumsum(known.counts)
    share = max(BUCKET_ROWS, int(ends[-1]) // MOST_BUCKETS + 1)
    # Entities go by where they end, so that no range holds more than its share, but for one that alone is larger.
    buckets = ((ends - 1) // share).astype(np.int16)
    places = {key: place for place, key in enumerate(known.keys)}
    with tempfile.TemporaryFile(prefix="perennial-rows-") as file:
        spill = _Spill(file, known.keys, buckets)
        for piece in pieces:
            spill.add(piece, np.array([places.get(key, -1) for key in piece.keys], dtype=np.int32))
        for bucket in np.unique(buckets).tolist():
            if (rows := spill.rows(bucket)) is not None:
                yield rows


class _Spill:
    """Rows in a file without a name, by the bucket of their entity; in a bucket they keep their order."""

    def __init__(self, file: IO[bytes], keys: Sequence[str], buckets: NDArray[np.int16]) -> None:
        self._file, self._keys, self._buckets = file, keys, buckets
        self._parts: dict[int, list[tuple[int, int]]] = {}
        self._columns = 0

    def add(self, piece: Rows, places: NDArray[np.int32]) -> None:
        codes = places[piece.codes]
        if (codes < 0).any():
            raise SourceChanged("There are entities that were not there at a first look.")
        buckets = self._buckets[codes]
        order = np.argsort(buckets, kind="stable")
        sorted_rows, buckets, codes = piece.take(order), buckets[order], codes[order]
        self._columns = len(piece.values)
        for start, stop in pairwise(np.flatnonzero(np.diff(buckets, prepend=-1, append=-1)).tolist()):
            self._parts.setdefault(int(buckets[start]), []).append((self._file.tell(), stop - start))
            some = sorted_rows.take(slice(start, stop))
            for column in (codes[start:stop], some.times, some.is_local, *some.values):
                self._file.write(column.view(np.uint8).data)

    def rows(self, bucket: int) -> Rows | None:
        """Return the rows of a bucket; None where there are none."""
        parts = self._parts.pop(bucket, [])
        total, columns = sum(count for _, count in parts), self._columns
        codes, times = np.empty(total, dtype=np.int32), np.empty(total, dtype="datetime64[us]")
        is_local, values = np.empty(total, dtype=np.bool_), np.empty((columns, total))
        first = 0
        for offset, count in parts:
            self._file.seek(offset)
            for column in (codes, times, is_local, *values):
                part = column[first : first + count]
                part[:] = np.frombuffer(self._file.read(part.nbytes), dtype=part.dtype)
            first += count
        if not total:
            return None
        lowest, highest = int(codes.min()), int(codes.max())
        return Rows(
            keys=self._keys[lowest : highest + 1],
            codes=codes - np.int32(lowest),
            times=times,
            is_local=is_local,
            values=values,
        )
