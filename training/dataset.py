"""From rows to series: panel and validation. Pure; the one place where local time is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.policy_terms import Expectations
from training.trainers.base import Floats, Grid, Refused, Series, Stamps

CACHED = 256
"""Sets of stamps that are remembered: a fleet's series mostly share theirs."""
# Clocks of sources and a date that has begun elsewhere are no future.
FUTURE_TOLERANCE = {True: timedelta(days=1), False: timedelta(minutes=5)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """The rows of m entities side by side, sorted by entity and time: n rows with k features."""

    entities: tuple[str, ...]
    """Sorted."""
    starts: NDArray[np.int64]
    """(m + 1,), the first row of each entity; the last is n."""
    instants: Stamps
    """(n,), UTC; for daily or coarser fleets the dates at midnight."""
    target: Floats
    """(n,), NaN where it is missing."""
    features: Floats
    """(n, k)"""
    feature_names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """What validation found; `series` has the usable rows, on which split and fit are to be called."""

    series: Series
    refused: Refused | None = None
    warnings: tuple[str, ...] = ()
    completeness: float = 0.0
    """Usable rows over the stamps of the calendar (forecast) or over all rows (regression), 0 to 1."""
    dropped: int = 0
    """Rows without a finite target, or of a regression without finite features."""


def series_of(panel: Panel, grid: Grid) -> dict[str, Series]:
    """Return the series of each entity, as views of the panel; wall time is made once, for all."""
    times = grid.local(panel.instants)
    edges = panel.starts.tolist()
    return {
        key: Series(
            entity=key,
            instants=panel.instants[start:stop],
            times=times[start:stop],
            target=panel.target[start:stop],
            features=panel.features[start:stop],
            feature_names=panel.feature_names,
        )
        for key, (start, stop) in zip(panel.entities, pairwise(edges), strict=True)
        if stop > start
    }


def look_back(series: Series, days: float, *, newest: datetime) -> Series:
    """Return the observations of the last `days` days up to `newest`, a view; `newest` is the last stamp of all."""
    return series.slice(int(np.searchsorted(series.instants, begin_of(days, newest=newest), side="right")), None)


@lru_cache(maxsize=CACHED)
def begin_of(days: float, *, newest: datetime) -> np.datetime64:
    """Return the instant after which a look-back of so many days begins."""
    begin = pd.Timestamp(newest).tz_convert("UTC").tz_localize(None) - pd.Timedelta(days=days)
    return np.datetime64(begin.as_unit("us").asm8)


def validate(
    series: Series,
    *,
    expectations: Expectations,
    grid: Grid,
    minimum: int,
    recommended: int,
    now: datetime,
) -> Validation:
    """Judge one series before anything is fitted.

    `minimum` and `recommended` count usable observations and hold where the expectations say nothing. Refusals, in
    order: empty, duplicate_stamps, future_stamps, off_grid, no_finite_target, too_many_missing, too_few_points,
    too_many_gaps, constant_target.
    """
    usable = _usable(series, grid)
    kept = series.select(usable)
    completeness = _completeness(series, kept, grid)
    refused = (
        _stamps_refused(series, grid, now)
        or _values_refused(series, kept, expectations, grid)
        or _amount_refused(kept, completeness, expectations, grid, minimum)
    )
    return Validation(
        series=kept,
        refused=refused,
        warnings=() if refused else tuple(_warnings(series, kept, expectations, grid, recommended)),
        completeness=completeness,
        dropped=len(series) - len(kept),
    )


def _usable(series: Series, grid: Grid) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    usable = np.isfinite(series.target)
    return usable & np.isfinite(series.features).all(axis=1) if grid.kind == "regression" else usable


def _completeness(series: Series, kept: Series, grid: Grid) -> float:
    if not len(series):
        return 0.0
    whole = len(series) if grid.kind == "regression" else _looked(grid, series.instants.tobytes()).count
    return min(1.0, len(kept) / max(1, whole))


def _stamps_refused(series: Series, grid: Grid, now: datetime) -> Refused | None:
    if not len(series):
        return _refuse("empty", f"{series.entity} has no rows.", "Check the look-back and the entity's key.")
    found = _looked(grid, series.instants.tobytes())
    if len(found.repeated):
        sentence = f"{series.entity} has {len(found.repeated)} repeated stamps, the first at {found.repeated[0]}."
        return _refuse("duplicate_stamps", sentence, "Remove them, or set the source's duplicates rule.")
    if series.instants[-1] > _latest(now, grid.dated):
        sentence = f"{series.entity} has a stamp in the future, {series.instants[-1]}."
        return _refuse("future_stamps", sentence, "Correct the stamp, or the zone of the source.")
    if len(found.off):
        sentence = f"{series.entity} has {len(found.off)} stamps off the calendar {grid.frequency}"
        sentence += f" that begins at {series.instants[0]}, the first at {found.off[0]}."
        return _refuse("off_grid", sentence, "Correct the stamps or the fleet's frequency, such as W-MON for Mondays.")
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Looked:
    """What stamps say by themselves, the same for every series on them."""

    repeated: Stamps
    off: Stamps
    """Those that do not lie on the calendar, of a forecast."""
    count: int
    """Stamps that the calendar has from the first to the last, of a forecast."""


@lru_cache(maxsize=CACHED)
def _looked(grid: Grid, stamps: bytes) -> _Looked:
    instants = np.frombuffer(stamps, dtype="datetime64[us]")
    repeated = instants[1:][np.diff(instants) == np.timedelta64(0, "us")]
    if grid.kind != "forecast":
        return _Looked(repeated=repeated, off=instants[:0], count=len(instants))
    off = instants[:0] if len(repeated) else instants[~grid.aligned(instants)]
    return _Looked(repeated=repeated, off=off, count=grid.count(instants[0], instants[-1]))


@lru_cache(maxsize=2)
def _latest(now: datetime, dated: bool) -> np.datetime64:
    """Return the last stamp that is no future yet."""
    latest = pd.Timestamp(now).tz_convert("UTC").tz_localize(None) + FUTURE_TOLERANCE[dated]
    return np.datetime64(latest.as_unit("us").asm8)


def _values_refused(series: Series, kept: Series, expectations: Expectations, grid: Grid) -> Refused | None:
    finite = np.isfinite(series.target)
    if not finite.any():
        sentence = f"None of the {len(series)} targets of {series.entity} is a finite number."
        return _refuse("no_finite_target", sentence, "Check the target column of the source.")
    missing, limit = 1 - len(kept) / len(series), expectations.maximum_missing_ratio
    if missing > limit:
        where = "target" if (~finite).mean() > limit or grid.kind == "forecast" else _worst_feature(series)
        sentence = (
            f"{missing:.1%} of the rows of {series.entity} lack a finite value (mostly {where}), limit {limit:.1%}."
        )
        return _refuse("too_many_missing", sentence, "Repair the column, or raise the policy's maximum_missing_ratio.")
    return None


def _worst_feature(series: Series) -> str:
    return series.feature_names[int(np.argmin(np.isfinite(series.features).mean(axis=0)))]


def _amount_refused(
    kept: Series, completeness: float, expectations: Expectations, grid: Grid, minimum: int
) -> Refused | None:
    least = minimum if expectations.minimum is None else expectations.minimum
    if len(kept) < least:
        sentence = f"{kept.entity} has {len(kept)} usable observations, at least {least} are needed."
        return _refuse("too_few_points", sentence, "Wait for more observations, or lengthen the look-back.")
    if grid.kind == "forecast" and 1 - completeness > expectations.maximum_gap_ratio:
        sentence = f"{1 - completeness:.1%} of the stamps of {kept.entity} are absent,"
        sentence += f" limit {expectations.maximum_gap_ratio:.1%}."
        return _refuse("too_many_gaps", sentence, "Fill them by the source's gaps rule, or correct the frequency.")
    if not expectations.allow_constant and np.ptp(kept.target) == 0:
        sentence = f"The target of {kept.entity} is always {kept.target[0]:g}."
        return _refuse("constant_target", sentence, "Check the source, or allow constant targets in the policy.")
    return None


def _warnings(series: Series, kept: Series, expectations: Expectations, grid: Grid, recommended: int) -> list[str]:
    wished = recommended if expectations.recommended is None else expectations.recommended
    found = []
    if len(kept) < wished:
        found.append(f"{len(kept)} usable observations, {wished} are recommended.")
    if len(kept) < len(series):
        found.append(f"{len(series) - len(kept)} rows without a finite value were left out.")
    if np.ptp(kept.target) == 0:
        found.append(f"The target is always {kept.target[0]:g}.")
    if grid.kind == "forecast" and kept.feature_names:
        found.append(f"Forecasts do not use features yet: {', '.join(kept.feature_names)}.")
    return found


def _refuse(code: str, sentence: str, next_step: str) -> Refused:
    return Refused(code=code, sentence=sentence, next_step=next_step)
