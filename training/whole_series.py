"""Rules that need all rows of an entity: the hour that a clock repeats, duplicates, order, gaps. Pure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.normal_form import Rows, Rules, join
from training.trainers.base import Grid, Stamps

# A stray stamp in another century must not make a fill that exhausts memory; validation refuses such gaps anyway.
MOST_FILLED = 50


def settle(rows: Rows, rules: Rules) -> Rows:
    """Return the normal form of whole entities, whose rows come in the order of the source and whose keys are sorted.

    Sorted by entity and time; rows of one stamp stay in the order of the source.
    """
    ordered = _ordered(_in_utc(rows, rules.declared_zone))
    return _filled(_merged(ordered, rules.duplicates), rules)


def _in_utc(rows: Rows, zone: str) -> Rows:
    if not rows.is_local.any():
        return rows
    times = rows.times.copy()
    times[rows.is_local] = _instants(rows.take(rows.is_local), zone)
    return Rows(
        keys=rows.keys, codes=rows.codes, times=times, is_local=np.zeros(len(rows), dtype=np.bool_), values=rows.values
    )


def _instants(rows: Rows, zone: str) -> Stamps:
    local = pd.DatetimeIndex(rows.times)
    found = _utc(local.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward"))
    twice = np.isnat(found)
    if twice.any():
        met = pd.DataFrame({"entity": rows.codes[twice], "time": rows.times[twice]})
        met_before = met.groupby(["entity", "time"]).cumcount().to_numpy() > 0
        found[twice] = _utc(local[twice].tz_localize(zone, ambiguous=~met_before, nonexistent="shift_forward"))
    return found


def _utc(local: pd.DatetimeIndex) -> Stamps:
    return np.array(local.tz_convert("UTC").tz_localize(None), dtype="datetime64[us]")


def _ordered(rows: Rows) -> Rows:
    step, later = np.diff(rows.codes), rows.times[1:] >= rows.times[:-1]
    if ((step > 0) | ((step == 0) & later)).all():
        return rows
    return rows.take(np.lexsort((rows.times, rows.codes)))


def _merged(rows: Rows, rule: str) -> Rows:
    if rule == "refuse" or not len(rows):
        return rows
    again = (rows.codes[1:] == rows.codes[:-1]) & (rows.times[1:] == rows.times[:-1])
    if not again.any():
        return rows
    first, last = np.r_[True, ~again], np.r_[~again, True]
    if rule in ("first", "last"):
        return rows.take(first if rule == "first" else last)
    kept = rows.take(first)
    several = ~(first & last)
    kept.values[:, several[first]] = _summaries(rows.take(several), first[several], rule)
    return kept


def _summaries(rows: Rows, first: NDArray[np.bool_], rule: str) -> NDArray[np.float64]:
    groups = pd.DataFrame(rows.values.T).groupby(np.cumsum(first), sort=True)
    found = groups.mean().to_numpy().T.copy()
    if rule == "sum":
        # A sum of nothing but missing values is missing, not zero.
        found[0] = groups[0].sum(min_count=1).to_numpy()
    return found


def _filled(rows: Rows, rules: Rules) -> Rows:
    if rules.gaps == "leave" or not len(rows):
        return rows
    is_whole = _memory_of_whole(rules.grid)
    parts, since = [], 0
    for start, stop in pairwise(rows.starts().tolist()):
        if is_whole(rows.times[start:stop]):
            continue
        parts += [rows.take(slice(since, start)), _fill(rows.take(slice(start, stop)), rules)]
        since = stop
    return join([*parts, rows.take(slice(since, None))]) if parts else rows


def _memory_of_whole(grid: Grid) -> Callable[[Stamps], bool]:
    """Return whether stamps are all of the calendar; entities that begin and end together share one calendar."""
    known: dict[tuple[int, int], Stamps] = {}

    def is_whole(stamps: Stamps) -> bool:
        ends = int(stamps[0].astype(np.int64)), int(stamps[-1].astype(np.int64))
        if ends not in known:
            if len(known) > 1000:
                known.clear()
            known[ends] = stamps[:0] if _strays(stamps, grid) else grid.calendar(stamps[0], stamps[-1])
        return np.array_equal(known[ends], stamps)

    return is_whole


def _strays(stamps: Stamps, grid: Grid) -> bool:
    return grid.count(stamps[0], stamps[-1]) > MOST_FILLED * len(stamps) + 1000


def _fill(part: Rows, rules: Rules) -> Rows:
    stamps = part.times
    if (stamps[1:] == stamps[:-1]).any() or _strays(stamps, rules.grid):
        return part
    every = np.union1d(rules.grid.calendar(stamps[0], stamps[-1]), stamps)
    places = np.searchsorted(every, stamps)
    values = np.full((len(part.values), len(every)), np.nan)
    values[:, places] = part.values
    made = np.ones(len(every), dtype=np.bool_)
    made[places] = False
    values[0, made] = 0.0 if rules.gaps == "zero" else _between(values[0], every)[made]
    return Rows(
        keys=part.keys,
        codes=np.full(len(every), part.codes[0], dtype=np.int32),
        times=every,
        is_local=np.zeros(len(every), dtype=np.bool_),
        values=values,
    )


def _between(values: NDArray[np.float64], stamps: Stamps) -> NDArray[np.float64]:
    whole = pd.Series(values, index=pd.DatetimeIndex(stamps)).interpolate(method="index")
    return np.asarray(whole.to_numpy(), dtype=np.float64)
