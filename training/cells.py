"""Reads the rows of a source piece by piece, each cell by itself. Refuses what cannot be read: column, row and value.

What is refused does not hang on how the rows were cut into pieces: of several faults the one is told whose rule comes
first (entities, stamps, their meaning, the target, each feature), and of these the one in the first row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from registry import identifiers
from training.normal_form import (
    RESERVED,
    ColumnMissing,
    ColumnReserved,
    DataInvalid,
    EntityInvalid,
    GapsInvalid,
    NotADate,
    NotATime,
    NotNumeric,
    Rows,
    Rules,
    SourceEmpty,
    ZoneMissing,
)
from training.trainers.base import Floats, Stamps

ENTITY_KEY = re.compile(identifiers.ENTITY_KEY)
OFFSET = r"\d{2}:\d{2}.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)\s*$"
READABLE, MEANING, TARGET = range(1, 4)
"""Rules in their order; that of entities comes before, those of features after."""


def check_columns(present: Sequence[object], rules: Rules) -> None:
    """Refuse a source without a declared column, or with a feature whose name is taken. Raises DataInvalid."""
    absent = [name for name in rules.columns if name not in present]
    if absent:
        named = f"Source {rules.source} has no column {', '.join(absent)}; it has {', '.join(map(str, present))}."
        raise ColumnMissing(named, field=absent[0])
    taken = [name for name in rules.features if name in RESERVED]
    if taken:
        raise ColumnReserved(f"Feature {taken[0]} has a name that is kept for the normal form.", field=taken[0])


class Intake:
    """One reading of a source: takes its pieces in order, and is closed after the last."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._taken = 0
        self._known: set[str] = set()
        self._refused: tuple[int, DataInvalid] | None = None

    def keys(self, frame: pd.DataFrame) -> tuple[list[str], NDArray[np.int32]]:
        """Take a piece of which only the entities matter; return them, and each row's place. Raises EntityInvalid."""
        found = self._keys(frame)
        self._taken += len(frame)
        return found

    def rows(self, frame: pd.DataFrame) -> Rows | None:
        """Take a piece and return its rows; None where something is refused, which `close` tells.

        Raises EntityInvalid, before which no other rule comes.
        """
        keys, codes = self._keys(frame)
        rules = self._rules
        parsed = self._tried(READABLE, lambda: self._parsed(frame[rules.time]))
        meant = self._tried(MEANING, lambda: self._meant(frame[rules.time], parsed))
        names = (rules.target, *rules.features)
        numbers = [self._tried(TARGET + place, partial(self._numbers, frame[name])) for place, name in enumerate(names)]
        self._taken += len(frame)
        if self._refused or meant is None:
            return None
        times, is_local = meant
        return Rows(keys=keys, codes=codes, times=times, is_local=is_local, values=np.stack(numbers))

    def close(self) -> None:
        """Raise what was refused, a subclass of DataInvalid."""
        if not self._taken:
            raise SourceEmpty(f"Source {self._rules.source} has no rows.")
        if self._refused:
            raise self._refused[1]
        if self._rules.gaps != "leave" and self._rules.grid.kind == "regression":
            raise GapsInvalid(f"Gaps are set to {self._rules.gaps} for a regression.", field="gaps")

    def _tried(self, rule: int, read: Callable[[], Any]) -> Any:
        if self._refused and self._refused[0] <= rule:
            return None
        try:
            return read()
        except DataInvalid as error:
            self._refused = rule, error
            return None

    def _keys(self, frame: pd.DataFrame) -> tuple[list[str], NDArray[np.int32]]:
        rules = self._rules
        if not rules.entity:
            return [rules.source], np.zeros(len(frame), dtype=np.int32)
        keys, codes = _coded(frame[rules.entity])
        fresh = {key for key in keys if key not in self._known}
        bad = {key for key in fresh if not ENTITY_KEY.fullmatch(key)}
        self._known |= fresh - bad
        wrong = codes < 0
        if bad:
            wrong |= np.isin(codes, [place for place, key in enumerate(keys) if key in bad])
        if wrong.any():
            row = int(np.argmax(wrong))
            key = "" if codes[row] < 0 else keys[codes[row]]
            told = f"Column {rules.entity} has {key!r} in row {self._taken + row + 1}, which is not an entity key."
            raise EntityInvalid(told, field=rules.entity)
        return keys, codes

    def _parsed(self, column: pd.Series) -> tuple[Stamps, Stamps]:
        """Return stamps without offset, and those with one as UTC; each is NaT where the other has a value."""
        naive, aware = _stamps(column)
        self._refuse(column, np.isnat(naive) & np.isnat(aware), NotATime, "which is not a time")
        return naive, aware

    def _meant(self, column: pd.Series, parsed: tuple[Stamps, Stamps]) -> tuple[Stamps, NDArray[np.bool_]]:
        naive, aware = parsed
        rules, bare = self._rules, ~np.isnat(naive)
        if rules.grid.dated:
            wrong = ~bare | (naive != naive.astype("datetime64[D]"))
            self._refuse(column, wrong, NotADate, f"but frequency {rules.grid.frequency} has dates")
            return naive, np.zeros(len(naive), dtype=np.bool_)
        if bare.any():
            if not rules.declared_zone:
                self._refuse(column, bare, ZoneMissing, "without an offset, and the source declares no time zone")
            _check_zone(rules.declared_zone)
        return np.where(bare, naive, aware), bare

    def _numbers(self, column: pd.Series) -> Floats:
        if pd.api.types.is_numeric_dtype(column.dtype):
            return np.asarray(column.to_numpy(), dtype=np.float64)
        numbers = pd.to_numeric(column, errors="coerce").astype("float64")
        self._refuse(column, (column.notna() & numbers.isna()).to_numpy(), NotNumeric, "which is not a number")
        return np.asarray(numbers.to_numpy(), dtype=np.float64)

    def _refuse(self, column: pd.Series, bad: NDArray[np.bool_], error: type[DataInvalid], what: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            value = str(column.iloc[row])[:80]
            named = f"Column {column.name} has {value!r} in row {self._taken + row + 1}, {what}."
            raise error(named, field=str(column.name))


def _coded(column: pd.Series) -> tuple[list[str], NDArray[np.int32]]:
    """Return the distinct keys and the place of each row's among them, -1 where there is none."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("str").where(column.notna()).astype("category")
    return [str(key) for key in column.cat.categories], np.asarray(column.cat.codes.to_numpy(), dtype=np.int32)


def _stamps(column: pd.Series) -> tuple[Stamps, Stamps]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        # Days and hours are few beside the rows that have them.
        known = _stamps(pd.Series(column.cat.categories.append(pd.Index([None], dtype=object)), name=column.name))
        codes = column.cat.codes.to_numpy()
        return known[0][codes], known[1][codes]
    nothing = np.full(len(column), np.datetime64("NaT"), dtype="datetime64[us]")
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return nothing, _plain(column.dt.tz_convert("UTC").dt.tz_localize(None))
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return _plain(column), nothing
    text = column.map(_iso).astype("str")
    with_offset = text.str.contains(OFFSET, regex=True).fillna(False).astype(bool)
    aware = _read(text.where(with_offset), utc=True)
    return _plain(_read(text.mask(with_offset), utc=False)), _plain(aware.dt.tz_localize(None))


def _plain(stamps: pd.Series) -> Stamps:
    return np.asarray(stamps.astype("datetime64[us]").to_numpy())


def _iso(value: object) -> str | None:
    """Return text as it is and dates as ISO text; a bare number is no time, whatever epoch it may count from."""
    if isinstance(value, str):
        return value.strip()
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat is not None and value is not pd.NaT else None


def _read(text: pd.Series, *, utc: bool) -> pd.Series:
    return pd.to_datetime(text, errors="coerce", format="ISO8601", utc=utc)


def _check_zone(zone: str) -> None:
    try:
        pd.Timestamp(0).tz_localize(zone)
    except (KeyError, ValueError, OSError) as error:
        raise ZoneMissing(f"The declared time zone {zone!r} is unknown.", field="time_zone") from error
