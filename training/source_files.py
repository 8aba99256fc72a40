"""Reads CSV and Parquet files as a stream of pieces, of which one at a time is in memory. Knows no source's row. Pure.

Entities, and stamps that are no timestamps, come as categories: they are few beside the rows that have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

if TYPE_CHECKING:
    import pandas as pd

PIECE_ROWS = 500_000
PIECE_BYTES = 16 * 1024**2
"""Of CSV, where rows are not counted before they are read."""
BUFFER_BYTES = 1024**2
"""Read at once of a Parquet column; without it a column of a whole row group is in memory."""
KEYS = pa.dictionary(pa.int32(), pa.string())


class CellsMixed(Exception):
    """A CSV column is not of the type that its first rows have; it can be read as text."""


class Opened(Protocol):
    """A file whose pieces can be read, more than once."""

    names: Sequence[str]
    """Of all columns."""

    def pieces(self, columns: Sequence[str], *, keys: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield these columns of all rows, in order. Raises pyarrow.ArrowInvalid and OSError; of CSV, CellsMixed.

        Of `keys`, those are categories that are no timestamps.
        """


class ParquetPieces:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names: Sequence[str] = pyarrow.parquet.read_schema(path).names

    def pieces(self, columns: Sequence[str], *, keys: Sequence[str]) -> Iterator[pd.DataFrame]:
        """See Opened."""
        options = {"buffer_size": BUFFER_BYTES, "pre_buffer": False}
        schema = pyarrow.parquet.read_schema(self._path)
        texts = [name for name in keys if _is_text(schema.field(name).type)]
        with pyarrow.parquet.ParquetFile(self._path, read_dictionary=texts, **options) as file:
            for batch in file.iter_batches(PIECE_ROWS, columns=list(columns), use_threads=False):
                yield _frame(batch, keys)


class CsvPieces:
    """A CSV file, plain or compressed as its name says."""

    def __init__(self, path: Path, *, as_text: bool = False) -> None:
        self._path = path
        self._as_text = as_text
        self._types: dict[str, pa.DataType] = {}
        with self._open(pyarrow.csv.ConvertOptions(strings_can_be_null=True)) as reader:
            self._types = {field.name: field.type for field in reader.schema}
        self.names: Sequence[str] = list(self._types)

    def pieces(self, columns: Sequence[str], *, keys: Sequence[str]) -> Iterator[pd.DataFrame]:
        """See Opened."""
        # A stock code 00123 is not the number 123, and stamps are read by one rule.
        types = {name: KEYS if name in keys else self._type(name) for name in columns}
        options = pyarrow.csv.ConvertOptions(
            column_types=types, strings_can_be_null=True, include_columns=list(columns)
        )
        try:
            with self._open(options) as reader:
                for batch in reader:
                    yield _frame(batch, keys)
        except pa.ArrowInvalid as error:
            if self._as_text or "CSV conversion error" not in str(error):
                raise
            raise CellsMixed(str(error)) from error

    def _type(self, name: str) -> pa.DataType:
        if self._as_text:
            return pa.string()
        # What begins with whole numbers, or with nothing, may go on with others.
        found = self._types[name]
        return pa.float64() if pa.types.is_integer(found) or pa.types.is_null(found) else found

    def _open(self, options: pa.csv.ConvertOptions) -> pa.csv.CSVStreamingReader:
        reading = pyarrow.csv.ReadOptions(block_size=PIECE_BYTES, use_threads=False)
        return pyarrow.csv.open_csv(self._path, read_options=reading, convert_options=options)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _frame(batch: pa.RecordBatch, keys: Sequence[str]) -> pd.DataFrame:
    columns = [
        _coded(column) if name in keys else column for name, column in zip(batch.schema.names, batch, strict=True)
    ]
    frame: pd.DataFrame = pa.table(columns, names=batch.schema.names).to_pandas()
    return frame


def _coded(column: pa.Array) -> pa.Array:
    kept = pa.types.is_timestamp(column.type) or pa.types.is_dictionary(column.type)
    return column if kept else column.dictionary_encode()
