"""Reads slices of entities from a Parquet of the normal form, wherever its bytes lie: its end once, then ranges. Pure.

A range is read once for groups that lie side by side, so that neighbouring entities cost one request.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from training.dataset import Panel
from training.normal_form import RESERVED, Rows

ENTITY, TIME, TARGET = RESERVED
END_BYTES = 1024 * 1024
"""Read at first of a file's end, which describes some thousand row groups; more where that was not all."""
NEAR_BYTES = 256 * 1024
"""Groups that lie no farther apart are read with what lies between: a request costs more than that many bytes."""
GROUPS_AT_ONCE = 10
"""Half a million rows, where all are read."""
_TAIL = 8

Span = tuple[int, int]
"""First byte and length."""
Fetch = Callable[[Sequence[Span]], Iterable[bytes]]
"""Reads ranges of one file, in their order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Footer:
    """What the end of a file says of its row groups; small, and worth keeping between two slices."""

    metadata: pa.parquet.FileMetaData
    spans: tuple[Span, ...]
    """Of each group."""
    firsts: tuple[str, ...]
    lasts: tuple[str, ...]
    """Least and greatest entity of each group, in the order of the groups."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return the columns behind entity, time and target."""
        return tuple(name for name in self.metadata.schema.names if name not in RESERVED)


def footer(fetch: Fetch, *, size: int) -> Footer:
    """Read the end of a file of so many bytes. Raises pyarrow.ArrowInvalid for other bytes."""
    metadata = pyarrow.parquet.read_metadata(pa.BufferReader(_end(fetch, size)))
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    named = [group.column(0).statistics for group in groups]
    return Footer(
        metadata=metadata,
        spans=tuple(map(_span, groups)),
        firsts=tuple(each.min for each in named),
        lasts=tuple(each.max for each in named),
    )


def _end(fetch: Fetch, size: int) -> bytes:
    begin = max(0, size - END_BYTES)
    (end,) = fetch([(begin, size - begin)])
    needed = int.from_bytes(end[-_TAIL:-4], "little") + _TAIL
    if len(end) < needed <= size:
        (end,) = fetch([(size - needed, needed)])
    # Nothing of what lies before it: it is then a file of its own, without rows.
    return end[-needed:]


def _span(group: pa.parquet.RowGroupMetaData) -> Span:
    spans = [_column_span(group, place) for place in range(group.num_columns)]
    begin = min(first for first, _ in spans)
    return begin, max(first + length for first, length in spans) - begin


def _column_span(group: pa.parquet.RowGroupMetaData, place: int) -> Span:
    column = group.column(place)
    has_dictionary = column.has_dictionary_page and column.dictionary_page_offset is not None
    first = column.dictionary_page_offset if has_dictionary else column.data_page_offset
    return int(first), int(column.total_compressed_size)


def read(fetch: Fetch, known: Footer, *, entities: Sequence[str] | None = None) -> Panel:
    """Return the rows of these entities, or of all; groups that hold none of them are not read."""
    wanted = None if entities is None else sorted(set(entities))
    groups = [place for place in range(len(known.spans)) if wanted is None or _holds(known, place, wanted)]
    table = _table(fetch, known, groups)
    keys, starts = _runs(table)
    chosen = set(keys) if wanted is None else set(wanted)
    return _panel(table, keys, starts, np.array([key in chosen for key in keys], dtype=np.bool_), known.features)


def _holds(known: Footer, place: int, wanted: Sequence[str]) -> bool:
    at = bisect_left(wanted, known.firsts[place])
    return at < len(wanted) and wanted[at] <= known.lasts[place]


def _table(fetch: Fetch, known: Footer, groups: Sequence[int]) -> pa.Table:
    spans = _joined([known.spans[place] for place in groups])
    parts = [(first, data) for (first, _), data in zip(spans, fetch(spans), strict=True)]
    return _opened(parts, known).read_row_groups(list(groups), use_threads=False)


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for first, length in spans:
        if joined and first - sum(joined[-1]) <= NEAR_BYTES:
            joined[-1] = joined[-1][0], first + length - joined[-1][0]
        else:
            joined.append((first, length))
    return joined


def _opened(parts: Sequence[tuple[int, bytes]], known: Footer) -> pa.parquet.ParquetFile:
    size = max((first + len(data) for first, data in parts), default=0)
    return pyarrow.parquet.ParquetFile(
        _Ranges(parts, size), metadata=known.metadata, read_dictionary=[ENTITY], pre_buffer=False
    )


def _runs(table: pa.Table) -> tuple[list[str], NDArray[np.int64]]:
    """Return the entities of sorted rows, and where each begins; one more than there are entities."""
    if not len(table):
        return [], np.zeros(1, dtype=np.int64)
    column = table[ENTITY].unify_dictionaries().combine_chunks()
    codes = column.indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    keys = column.dictionary.take(pa.array(codes[starts])).to_pylist()
    return keys, np.append(starts, len(codes))


def _panel(
    table: pa.Table, keys: list[str], starts: NDArray[np.int64], kept: NDArray[np.bool_], features: tuple[str, ...]
) -> Panel:
    sizes = np.diff(starts)
    rows = slice(None) if kept.all() else np.repeat(kept, sizes)
    columns = [table[name].to_numpy()[rows] for name in (TIME, TARGET, *features)]
    return Panel(
        entities=tuple(key for key, is_kept in zip(keys, kept.tolist(), strict=True) if is_kept),
        starts=np.concatenate([[0], np.cumsum(sizes[kept])]).astype(np.int64),
        instants=columns[0].astype("datetime64[us]", copy=False),
        target=columns[1],
        features=np.column_stack(columns[2:]) if features else np.empty((len(columns[1]), 0)),
        feature_names=features,
    )


def entities(fetch: Fetch, known: Footer) -> list[str]:
    """Return all entities, sorted; of each group only their own column is read."""
    spans = [_column_span(known.metadata.row_group(place), 0) for place in range(len(known.spans))]
    found: dict[str, None] = {}
    for place, (span, data) in enumerate(zip(spans, fetch(spans), strict=True)):
        table = _opened([(span[0], data)], known).read_row_group(place, columns=[ENTITY], use_threads=False)
        found.update(dict.fromkeys(table[ENTITY].unique().to_pylist()))
    return sorted(found)


def blocks(fetch: Fetch, known: Footer, *, after: np.datetime64) -> Iterator[Rows]:
    """Yield the rows that are later than an instant, as they were written, some groups at a time."""
    every = range(len(known.spans))
    for first in every[::GROUPS_AT_ONCE]:
        table = _table(fetch, known, every[first : first + GROUPS_AT_ONCE])
        keys, starts = _runs(table)
        values = [table[name].to_numpy() for name in (TARGET, *known.features)]
        times = table[TIME].to_numpy().astype("datetime64[us]", copy=False)
        yield Rows(
            keys=keys,
            codes=np.repeat(np.arange(len(keys), dtype=np.int32), np.diff(starts)),
            times=times,
            is_local=np.zeros(len(times), dtype=np.bool_),
            values=np.stack(values),
        ).take(times > after)


class _Ranges(io.RawIOBase):
    """A file of which only some ranges are here. Raises EOFError where others are asked for."""

    def __init__(self, parts: Sequence[tuple[int, bytes]], size: int) -> None:
        self._parts = sorted(parts, key=lambda part: part[0])
        self._firsts = [first for first, _ in self._parts]
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def seekable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def tell(self) -> int:
        """See io.RawIOBase."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io.RawIOBase."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        """See io.RawIOBase."""
        stop = self._size if count < 0 else min(self._at + count, self._size)
        place = bisect_left(self._firsts, self._at + 1) - 1
        if stop <= self._at:
            return b""
        first, data = self._parts[place] if place >= 0 else (0, b"")
        if stop > first + len(data):
            raise EOFError(f"Bytes {self._at} to {stop} were not read.")
        part = data[self._at - first : stop - first]
        self._at = stop
        return part
