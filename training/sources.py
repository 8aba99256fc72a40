"""Reads series from where they come: bytes to a normalised frame, with limits. Refuses with the name of the source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from registry import errors
from registry.models import Fleet
from training import conf, normal_form
from training.models import Source
from training.trainers.base import Grid

if TYPE_CHECKING:
    import pandas as pd


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


def read(source: Source, grid: Grid) -> pd.DataFrame:
    """Return all rows of a source in normal form. Raises the errors of this module and of `normal_form`."""
    frame = _table(source).to_pandas()
    columns = source.columns
    return normal_form.normalise(
        frame,
        source=source.name,
        entity=columns.entity,
        time=columns.time,
        target=columns.target,
        features=[*columns.features, *(regressor.name for regressor in columns.regressors)],
        declared_zone=source.time_zone,
        grid=grid,
        duplicates=source.duplicates,
        gaps=source.gaps,
    )


def _table(source: Source) -> pa.Table:
    path = _checked(source)
    kind = _format(source, path)
    wanted = _wanted(source)
    try:
        return _parquet(path, wanted) if kind == "parquet" else _csv(path, source)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError, UnicodeDecodeError) as error:
        raise SourceUnreadable(f"Source {source.name}: {path.name} cannot be read as {kind}: {error}.") from error


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


def _wanted(source: Source) -> list[str]:
    columns = source.columns
    named = [
        columns.entity,
        columns.time,
        columns.target,
        *columns.features,
        *(each.name for each in columns.regressors),
    ]
    return [name for name in named if name]


def _parquet(path: Path, wanted: list[str]) -> pa.Table:
    file = pyarrow.parquet.ParquetFile(path)
    # A missing column is reported by `normal_form`, which also says which ones are there.
    return file.read(columns=wanted if set(wanted) <= set(file.schema_arrow.names) else None)


def _csv(path: Path, source: Source) -> pa.Table:
    # Entities and stamps stay text: a stock code 00123 is not the number 123, and stamps are read by one rule.
    text = {name: pa.string() for name in (source.columns.entity, source.columns.time) if name}
    options = pyarrow.csv.ConvertOptions(column_types=text, strings_can_be_null=True)
    return pyarrow.csv.read_csv(path, convert_options=options)
