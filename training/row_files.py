"""Writes the normal form as Parquet: sorted by entity and time, in row groups that a slice of entities is read from.

Equal rows make equal bytes, however they came in pieces. A group holds whole entities as long as they fit; a larger
entity begins one of its own. Pure; `panels` reads what is written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from training.normal_form import RESERVED, Rows, SourceEmpty, join

ROWS_IN_GROUP = 50_000
ENTITY, TIME, TARGET = RESERVED


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a file holds."""

    rows: int
    entities: int
    oldest: np.datetime64
    newest: np.datetime64
    """First and last stamp of all entities, in microseconds."""


def write(blocks: Iterable[Rows], file: IO[bytes], *, features: Sequence[str]) -> Written:
    """Write rows of the normal form, whole entities in each block. Raises SourceEmpty where there are none."""
    seen: list[Written] = []
    schema = _schema(features)
    options = {
        "compression": "zstd",
        "store_schema": False,
        "use_dictionary": [ENTITY, TIME],
        "write_page_index": False,
    }
    with pyarrow.parquet.ParquetWriter(file, schema, **options) as writer:
        for group in _groups(_watched(blocks, seen)):
            writer.write_table(_table(group, schema), row_group_size=len(group))
    if not seen:
        raise SourceEmpty("There is no row to keep.")
    return Written(
        rows=sum(each.rows for each in seen),
        entities=sum(each.entities for each in seen),
        oldest=min(each.oldest for each in seen),
        newest=max(each.newest for each in seen),
    )


def aware(stamp: np.datetime64) -> datetime:
    """Return a stamp of the normal form as the aware UTC instant that rows of the database have."""
    microseconds = int(stamp.astype("datetime64[us]").astype(np.int64))
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _watched(blocks: Iterable[Rows], seen: list[Written]) -> Iterator[Rows]:
    for block in blocks:
        if len(block):
            ends = block.times.min(), block.times.max()
            seen.append(Written(rows=len(block), entities=len(block.starts()) - 1, oldest=ends[0], newest=ends[1]))
            yield block


def _schema(features: Sequence[str]) -> pa.Schema:
    numbers = [pa.field(name, pa.float64(), nullable=False) for name in (TARGET, *features)]
    entity = pa.field(ENTITY, pa.dictionary(pa.int32(), pa.string()), nullable=False)
    return pa.schema([entity, pa.field(TIME, pa.timestamp("us"), nullable=False), *numbers])


def _table(rows: Rows, schema: pa.Schema) -> pa.Table:
    starts = rows.starts()
    # Only the keys that are here, in order: what else is known would be in the bytes.
    keys = pa.array([rows.keys[code] for code in rows.codes[starts[:-1]].tolist()], pa.string())
    places = np.repeat(np.arange(len(keys), dtype=np.int32), np.diff(starts))
    columns = [pa.DictionaryArray.from_arrays(places, keys), pa.array(rows.times), *map(pa.array, rows.values)]
    return pa.Table.from_arrays(columns, schema=schema)


def _groups(blocks: Iterable[Rows]) -> Iterator[Rows]:
    held: list[Rows] = []
    for block in blocks:
        rows = join([*held, block])
        start, ends = 0, rows.starts()[1:]
        while len(rows) - start > ROWS_IN_GROUP:
            last = int(np.searchsorted(ends, start + ROWS_IN_GROUP, side="right")) - 1
            whole = int(ends[last]) if last >= 0 else 0
            stop = whole if whole > start else start + ROWS_IN_GROUP
            yield rows.take(slice(start, stop))
            start = stop
        held = [rows.take(slice(start, None))]
    yield from held
