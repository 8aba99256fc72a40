"""Reads series from where they come into the normal form, with limits. Refuses with the name of the source."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from registry import errors
from registry.models import Fleet
from training import cells, conf, gathering, panels, row_files, source_files, whole_series
from training.models import Source
from training.normal_form import Rows, Rules
from training.trainers.base import Grid

if TYPE_CHECKING:
    import pandas as pd

COPIED_AT_ONCE = 1024**2
MICROSECONDS_OF_DAY = 24 * 3600 * 1_000_000


class SourceMissing(errors.Unavailable):
    """The file is not there, or cannot be opened."""

    code = "source_missing"
    status = 409
    next_step = "Put the file there, or correct the path in the fleet file."


class SourceTooLarge(errors.Invalid):
    """The file is larger than this installation reads."""

    code = "source_too_large"
    next_step = "Split the file, or raise PERENNIAL_TRAINING_SOURCE_MAX_BYTES."


class SourceUnreadable(errors.Invalid):
    """The bytes are not of the declared format."""

    code = "source_unreadable"
    next_step = "Open the file and compare it with `format` and `columns` of the source."


class FormatUnknown(errors.Invalid):
    """Neither the option nor the ending of the path names a format."""

    code = "format_unknown"
    next_step = 'Set `format = "csv"` or `format = "parquet"` in [source].'


def grid_of(fleet: Fleet) -> Grid:
    """Return the calendar of a fleet."""
    return Grid(
        frequency=fleet.frequency,
        horizon=fleet.horizon,
        season_length=fleet.season_length,
        kind=fleet.kind,
        time_zone=fleet.time_zone,
    )


def rules_of(source: Source, grid: Grid) -> Rules:
    """Return how the rows of a source are read."""
    columns = source.columns
    return Rules(
        source=source.name,
        entity=columns.entity,
        time=columns.time,
        target=columns.target,
        features=(*columns.features, *(regressor.name for regressor in columns.regressors)),
        declared_zone=source.time_zone,
        grid=grid,
        duplicates=source.duplicates,
        gaps=source.gaps,
    )


def write(source: Source, grid: Grid, file: IO[bytes], *, days: float | None = None) -> row_files.Written:
    """Write all rows of a source in normal form, as Parquet, to an empty file that can be read too.

    With `days`, only those of the last so many days before the newest stamp of all. A piece of the source is in memory
    at a time. Raises the errors of this module and of `normal_form`.
    """
    path = _checked(source)
    kind = _format(source, path)
    rules = rules_of(source, grid)
    try:
        written = _write(_told(source, path, kind), rules, file)
    except source_files.CellsMixed:
        file.seek(0)
        file.truncate()
        written = _write(_told(source, path, kind, as_text=True), rules, file)
    begin = None if days is None else written.newest - np.timedelta64(round(days * MICROSECONDS_OF_DAY), "us")
    return written if begin is None or written.oldest > begin else _cut(file, rules, begin)


def _write(opened: source_files.Opened, rules: Rules, file: IO[bytes]) -> row_files.Written:
    cells.check_columns(opened.names, rules)
    known = _survey(opened, rules)
    intake = cells.Intake(rules)
    pieces = (rows for frame in opened.pieces(rules.columns, keys=_keys(rules)) if (rows := intake.rows(frame)))
    read = _closing(pieces, intake)
    gathered = gathering.in_order(read) if known is None or known.is_ordered else gathering.by_ranges(read, known)
    settled = (whole_series.settle(rows, rules) for rows in gathered)
    return row_files.write(settled, file, features=rules.features)


def _survey(opened: source_files.Opened, rules: Rules) -> gathering.Survey | None:
    if not rules.entity:
        return None
    intake = cells.Intake(rules)
    return gathering.survey(intake.keys(frame) for frame in opened.pieces([rules.entity], keys=[rules.entity]))


def _closing(pieces: Iterator[Rows], intake: cells.Intake) -> Iterator[Rows]:
    yield from pieces
    intake.close()


def _keys(rules: Rules) -> list[str]:
    return [name for name in (rules.entity, rules.time) if name]


def _cut(file: IO[bytes], rules: Rules, begin: np.datetime64) -> row_files.Written:
    """Put the rows that are later than an instant in the place of all."""
    with tempfile.TemporaryFile(prefix="perennial-rows-") as whole:
        file.seek(0)
        shutil.copyfileobj(file, whole, COPIED_AT_ONCE)
        file.seek(0)
        file.truncate()
        fetch, known = opened_rows(whole)
        later = gathering.in_order(panels.blocks(fetch, known, after=begin))
        return row_files.write(later, file, features=rules.features)


def opened_rows(file: IO[bytes]) -> tuple[panels.Fetch, panels.Footer]:
    """Return how to read a file that `write` wrote, and what its end says."""

    def fetch(spans: Sequence[panels.Span]) -> Iterator[bytes]:
        for first, length in spans:
            file.seek(first)
            yield file.read(length)

    return fetch, panels.footer(fetch, size=file.seek(0, io.SEEK_END))


class _Told:
    """A file whose failures name the source."""

    def __init__(self, open_file: Callable[[], source_files.Opened], told: str) -> None:
        self._said = told
        with self._named():
            self._opened = open_file()
        self.names = self._opened.names

    def pieces(self, columns: Sequence[str], *, keys: Sequence[str]) -> Iterator[pd.DataFrame]:
        """See source_files.Opened."""
        read = self._opened.pieces(columns, keys=keys)
        while True:
            # Around each step alone: what fails where a piece is used is no failure of the source.
            with self._named():
                frame = next(read, None)
            if frame is None:
                return
            yield frame

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError, UnicodeDecodeError) as error:
            raise SourceUnreadable(f"{self._said}: {error}.") from error


def _told(source: Source, path: Path, kind: str, *, as_text: bool = False) -> source_files.Opened:
    def open_file() -> source_files.Opened:
        if kind == "parquet":
            return source_files.ParquetPieces(path)
        return source_files.CsvPieces(path, as_text=as_text)

    return _Told(open_file, f"Source {source.name}: {path.name} cannot be read as {kind}")


def _checked(source: Source) -> Path:
    path = Path(source.options.path)
    if not path.is_file():
        raise SourceMissing(f"Source {source.name}: there is no file {path}.")
    limit = conf.current().source_max_bytes
    if path.stat().st_size > limit:
        raise SourceTooLarge(
            f"Source {source.name}: {path.name} has {path.stat().st_size} bytes, at most {limit} are read."
        )
    return path


def _format(source: Source, path: Path) -> str:
    named = source.options.format or next(
        (suffix[1:] for suffix in path.suffixes if suffix in (".csv", ".parquet")), ""
    )
    if named not in ("csv", "parquet"):
        raise FormatUnknown(f"Source {source.name}: the format of {path.name} is not known.")
    return named
