"""The words of the normal form: rules of a source, rows on their way, and why rows are refused. Pure.

`cells` reads each row by itself, `gathering` brings the rows of each entity together, `whole_series` applies the rules
that need all of them, and `panels` keeps the outcome: entity, time, y, then the features, sorted by entity and time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry.errors import Conflict, Invalid
from training.trainers.base import Floats, Grid, Stamps

RESERVED = ("entity", "time", "y")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the rows of one source are read.

    `time` of the normal form is naive: UTC for grids finer than daily, else dates at midnight. A naive stamp is read in
    the declared zone: one that the clock shows twice is the earlier instant when first met and the later one when met
    again; one that the clock skips moves forward to the first valid instant. Rows that share entity and stamp stay, for
    `dataset.validate` to refuse, unless `duplicates` says which to keep (first, last, mean, sum; under sum features are
    averaged). `gaps` fills absent stamps between first and last (zero, interpolate).
    """

    source: str
    time: str
    target: str
    grid: Grid
    entity: str = ""
    """Empty: the whole source is one entity, named as the source."""
    features: tuple[str, ...] = ()
    declared_zone: str = ""
    duplicates: str = "refuse"
    gaps: str = "leave"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that are read of the source."""
        return tuple(dict.fromkeys(name for name in (self.entity, self.time, self.target, *self.features) if name))


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of several entities, n of them with k features, column by column."""

    keys: Sequence[str]
    """Entities; those of which no row is here may be among them."""
    codes: NDArray[np.int32]
    """(n,), the place of each row's entity in `keys`."""
    times: Stamps
    """(n,), never NaT."""
    is_local: NDArray[np.bool_]
    """(n,), whether the time is wall time of the declared zone, to be made UTC yet."""
    values: Floats
    """(1 + k, n): the target, then each feature."""

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Rows:
        """Return some rows; nothing is copied for a slice."""
        picked = rows if isinstance(rows, slice) or rows.dtype != np.bool_ else np.flatnonzero(rows)
        return Rows(
            keys=self.keys,
            codes=self.codes[picked],
            times=self.times[picked],
            is_local=self.is_local[picked],
            # Not by an index, which would leave the numbers of a row of the source side by side.
            values=self.values[:, picked] if isinstance(picked, slice) else self.values.take(picked, axis=1),
        )

    def starts(self) -> NDArray[np.intp]:
        """Return where another entity begins, as `edges`."""
        return edges(self.codes)


def edges(codes: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return where runs of equal codes begin, and as the last how many codes there are."""
    changes = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    return np.concatenate([[0], changes, [len(codes)]]) if len(codes) else np.zeros(1, dtype=np.intp)


def join(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all, in order; an entity that ends one part may begin the next."""
    if len(parts) == 1:
        return parts[0]
    keys, codes = parts[0].keys, [part.codes for part in parts]
    if any(part.keys is not keys for part in parts):
        places = {key: place for place, key in enumerate(dict.fromkeys(key for part in parts for key in part.keys))}
        keys = list(places)
        codes = [np.array([places[key] for key in part.keys], dtype=np.int32)[part.codes] for part in parts]
    return Rows(
        keys=keys,
        codes=np.concatenate(codes),
        times=np.concatenate([part.times for part in parts]),
        is_local=np.concatenate([part.is_local for part in parts]),
        values=np.concatenate([part.values for part in parts], axis=1),
    )


class DataInvalid(Invalid):
    """The rows of a source cannot be used as they are."""

    code = "data_invalid"
    next_step = "Correct the data or the source's declaration, then run again."


class SourceEmpty(DataInvalid):
    """The source answered without a row."""

    code = "empty"
    next_step = "Check the path or query of the source, and its look-back."


class ColumnMissing(DataInvalid):
    """A declared column is not in the data."""

    code = "column_missing"
    next_step = "Correct the source's columns, or add the column to the data."


class ColumnReserved(DataInvalid):
    """A feature has the name of a column of the normal form."""

    code = "column_reserved"
    next_step = "Rename the column in the data."


class NotNumeric(DataInvalid):
    """A target or feature holds something that is not a number."""

    code = "not_numeric"
    next_step = "Correct the value; a missing one is left empty."


class NotATime(DataInvalid):
    """A stamp cannot be read."""

    code = "not_a_time"
    next_step = "Write stamps as ISO 8601, such as 2026-03-01T18:30:00+01:00."


class NotADate(DataInvalid):
    """A daily or coarser series has a stamp with a time of day or an offset."""

    code = "not_a_date"
    next_step = "Write dates alone, such as 2026-03-01, or declare a finer frequency."


class ZoneMissing(DataInvalid):
    """Stamps have no offset, and the source declares no zone to read them in."""

    code = "zone_missing"
    next_step = "Declare the source's time_zone, such as Europe/Berlin, or write stamps with an offset."


class EntityInvalid(DataInvalid):
    """An entity key is missing or breaks the pattern."""

    code = "entity_invalid"
    next_step = "Use letters, digits and . _ : -, at most 128, beginning with a letter or digit."


class GapsInvalid(DataInvalid):
    """Gaps are to be filled where no row can be invented."""

    code = "gaps_invalid"
    next_step = "Set the source's gaps to leave: a regression has no value for the features of an absent row."


class SourceChanged(Conflict):
    """The source was another in the middle of its reading than at its beginning."""

    code = "source_changed"
    next_step = "Run again, and replace the file in one step (write another, then rename it)."
