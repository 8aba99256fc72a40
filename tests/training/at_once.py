"""The rules of the normal form on one frame, all at once and plainly: what reading in pieces is held against."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

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
    SourceEmpty,
    ZoneMissing,
)
from training.trainers.base import Grid

ENTITY_KEY = re.compile(identifiers.ENTITY_KEY)
OFFSET = r"\d{2}:\d{2}.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)\s*$"
FEATURE_RULE = {"refuse": "first", "first": "first", "last": "last", "mean": "mean", "sum": "mean"}
MOST_FILLED = 50


def normalise(
    frame: pd.DataFrame,
    *,
    time: str,
    target: str,
    entity: str = "",
    features: Sequence[str] = (),
    source: str,
    declared_zone: str = "",
    grid: Grid,
    duplicates: str = "refuse",
    gaps: str = "leave",
) -> pd.DataFrame:
    """Return the normal form: columns entity, time, y, then the features (float64), sorted by entity and time.

    `time` is naive datetime64[us]: UTC for grids finer than daily, else dates at midnight. A naive stamp is read in the
    declared zone: one that the clock shows twice is the earlier instant when first met and the later one when met
    again; one that the clock skips moves forward to the first valid instant. Rows that share entity and stamp stay, for
    `dataset.validate` to refuse, unless `duplicates` says which to keep (first, last, mean, sum; under sum features are
    averaged). `gaps` fills absent stamps between first and last (zero, interpolate). The frame given is not changed.
    Raises subclasses of DataInvalid.
    """
    _columns(frame, [name for name in (entity, time, target, *features) if name], features, source)
    keys = _keys(frame, entity, source)
    rows = pd.DataFrame({"entity": keys, "time": _times(frame[time], keys, declared_zone, grid)})
    rows["y"] = _numbers(frame[target])
    for name in features:
        rows[name] = _numbers(frame[name])
    rows = _merged(rows, duplicates, list(features)).sort_values(["entity", "time"], kind="stable", ignore_index=True)
    return _filled(rows, gaps, grid)


def _columns(frame: pd.DataFrame, wanted: Sequence[str], features: Sequence[str], source: str) -> None:
    absent = [name for name in wanted if name not in frame.columns]
    if absent:
        present = ", ".join(map(str, frame.columns))
        raise ColumnMissing(f"Source {source} has no column {', '.join(absent)}; it has {present}.", field=absent[0])
    taken = [name for name in features if name in RESERVED]
    if taken:
        raise ColumnReserved(f"Feature {taken[0]} has a name that is kept for the normal form.", field=taken[0])
    if frame.empty:
        raise SourceEmpty(f"Source {source} has no rows.")


def _keys(frame: pd.DataFrame, entity: str, source: str) -> pd.Series:
    if not entity:
        return pd.Series(source, index=frame.index, dtype="str")
    keys = frame[entity].astype("str").where(frame[entity].notna(), "")
    for key in keys.unique():
        if not ENTITY_KEY.fullmatch(key):
            row = int(np.argmax((keys == key).to_numpy()))
            raise EntityInvalid(
                f"Column {entity} has {key!r} in row {row + 1}, which is not an entity key.", field=entity
            )
    return keys


def _numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    _first_bad(column, column.notna() & numbers.isna(), NotNumeric, "which is not a number")
    return numbers


def _first_bad(column: pd.Series, bad: pd.Series, error: type[DataInvalid], what: str) -> None:
    if bad.any():
        row = int(np.argmax(bad.to_numpy()))
        value = str(column.iloc[row])[:80]
        raise error(f"Column {column.name} has {value!r} in row {row + 1}, {what}.", field=str(column.name))


def _times(column: pd.Series, keys: pd.Series, declared_zone: str, grid: Grid) -> pd.Series:
    naive, aware = _parsed(column)
    if grid.dated:
        wrong = aware.notna() | (naive != naive.dt.normalize())
        _first_bad(column, wrong, NotADate, f"but frequency {grid.frequency} has dates")
        return naive
    if naive.notna().any():
        if not declared_zone:
            _first_bad(column, naive.notna(), ZoneMissing, "without an offset, and the source declares no time zone")
        aware = aware.fillna(_in_zone(naive, keys, declared_zone))
    utc: pd.Series = aware.dt.tz_localize(None).astype("datetime64[us]")
    return utc


def _parsed(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the stamps without offset as naive, and those with one as UTC; each is NaT where the other has a value."""
    empty_naive = pd.Series(pd.NaT, index=column.index, dtype="datetime64[us]")
    empty_aware = pd.Series(pd.NaT, index=column.index, dtype="datetime64[us, UTC]")
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        naive, aware = empty_naive, column.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    elif pd.api.types.is_datetime64_dtype(column.dtype):
        naive, aware = column.astype("datetime64[us]"), empty_aware
    else:
        text = column.map(_iso).astype("str")
        with_offset = text.str.contains(OFFSET, regex=True).fillna(False).astype(bool)
        naive = _read(text.mask(with_offset), utc=False).astype("datetime64[us]")
        aware = _read(text.where(with_offset), utc=True).astype("datetime64[us, UTC]")
    _first_bad(column, naive.isna() & aware.isna(), NotATime, "which is not a time")
    return naive, aware


def _iso(value: object) -> str | None:
    """Return text as it is and dates as ISO text; a bare number is no time, whatever epoch it may count from."""
    if isinstance(value, str):
        return value.strip()
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat is not None and value is not pd.NaT else None


def _read(text: pd.Series, *, utc: bool) -> pd.Series:
    return pd.to_datetime(text, errors="coerce", format="ISO8601", utc=utc)


def _in_zone(naive: pd.Series, keys: pd.Series, zone: str) -> pd.Series:
    met_before = pd.DataFrame({"entity": keys, "time": naive}).groupby(["entity", "time"], dropna=False).cumcount() > 0
    try:
        local = naive.dt.tz_localize(zone, ambiguous=~met_before.to_numpy(), nonexistent="shift_forward")
    except (KeyError, ValueError, OSError) as error:
        raise ZoneMissing(f"The declared time zone {zone!r} is unknown.", field="time_zone") from error
    utc: pd.Series = local.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return utc


def _merged(rows: pd.DataFrame, rule: str, features: list[str]) -> pd.DataFrame:
    if rule == "refuse" or not rows.duplicated(["entity", "time"]).any():
        return rows
    if rule in ("first", "last"):
        return rows.drop_duplicates(["entity", "time"], keep="first" if rule == "first" else "last")
    # A sum of nothing but missing values is missing, not zero.
    target = "mean" if rule == "mean" else lambda values: values.sum(min_count=1)
    columns = {"y": target} | dict.fromkeys(features, FEATURE_RULE[rule])
    return rows.groupby(["entity", "time"], as_index=False, sort=False).agg(columns)


def _filled(rows: pd.DataFrame, rule: str, grid: Grid) -> pd.DataFrame:
    if rule == "leave":
        return rows
    if grid.kind == "regression":
        raise GapsInvalid(f"Gaps are set to {rule} for a regression.", field="gaps")
    parts = [_fill(part, rule, grid) for _, part in rows.groupby("entity", sort=False)]
    return pd.concat(parts, ignore_index=True)


def _fill(part: pd.DataFrame, rule: str, grid: Grid) -> pd.DataFrame:
    stamps = part["time"].to_numpy(dtype="datetime64[us]")
    if part["time"].duplicated().any() or grid.count(stamps[0], stamps[-1]) > MOST_FILLED * len(part) + 1000:
        return part
    calendar = pd.Index(grid.calendar(stamps[0], stamps[-1]), name="time")
    whole = part.set_index("time").reindex(calendar.union(pd.Index(part["time"])))
    made = ~whole.index.isin(stamps)
    if rule == "zero":
        whole.loc[made, "y"] = 0.0
    else:
        whole.loc[made, "y"] = whole["y"].interpolate(method="index")[made]
    whole["entity"] = part["entity"].iloc[0]
    return whole.reset_index()[list(part.columns)]
