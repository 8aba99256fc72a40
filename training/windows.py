"""The chronological split: a train part and the windows behind it, and the stamps on which series are scored. Pure.

A fleet's series mostly lie on the same stamps, so whatever hangs on stamps alone is worked out once and shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.trainers.base import Floats, Grid, Points, Refused, Series, Stamps

MOST_WINDOWS = 3
SEASONS_TO_TRAIN_ON = 2
HORIZONS_TO_TRAIN_ON = 2
TEST_SHARE = 5  # one fifth of the rows: 80/20
CACHED = 256
"""Sets of stamps that are remembered; a fleet has one, or as many as there are days on which its entities began."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """A stretch to be forecast: what was known at the cutoff, the stamps to predict, and what came true."""

    cutoff: np.datetime64
    """Last stamp that may be known; an instant, or a date."""
    observed: Series
    at: Points
    """Observed stamps only; an absent stamp is not scored."""
    actual: Floats
    expected: int
    """Stamps that the calendar has in this window."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The train part and the windows behind it, in order of time."""

    train: Series
    windows: tuple[Window, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """The n stamps on which series are scored, window after window; the same object for all that share them."""

    number: NDArray[np.int64]
    """Number of the window of each stamp, from 1. (n,)"""
    cutoffs: Stamps
    instants: Stamps
    expected: int
    """Stamps that the calendar has in the windows."""

    def __len__(self) -> int:
        return len(self.instants)


def course_of(windows: Sequence[Window]) -> Course:
    """Return the course of these windows."""
    return _course(
        tuple((int(each.cutoff.astype(np.int64)), each.at.instants.tobytes(), each.expected) for each in windows)
    )


@lru_cache(maxsize=CACHED)
def _course(windows: tuple[tuple[int, bytes, int], ...]) -> Course:
    stamps = [np.frombuffer(instants, dtype="datetime64[us]") for _, instants, _ in windows]
    sizes = [len(each) for each in stamps]
    cutoffs = np.array([cutoff for cutoff, _, _ in windows], dtype="datetime64[us]")
    return Course(
        number=np.repeat(np.arange(1, len(windows) + 1), sizes),
        cutoffs=np.repeat(cutoffs, sizes),
        instants=np.concatenate(stamps) if stamps else np.empty(0, dtype="datetime64[us]"),
        expected=sum(expected for _, _, expected in windows),
    )


@dataclass(frozen=True, kw_only=True)
class Told:
    """A course as text."""

    numbers: list[int]
    cutoffs: list[str]
    times: list[str]


@lru_cache(maxsize=CACHED)
def told(course: Course, grid: Grid) -> Told:
    """Return the stamps of a course as ISO text, for the tables of all series that share it."""
    return Told(numbers=course.number.tolist(), cutoffs=iso(course.cutoffs, grid), times=iso(course.instants, grid))


def iso(stamps: Stamps, grid: Grid) -> list[str]:
    """Return ISO text: dates for daily or coarser grids, else UTC with Z, to the second where that is exact."""
    if grid.dated:
        return [str(stamp) for stamp in np.datetime_as_string(stamps, unit="D").tolist()]
    whole = bool((stamps == stamps.astype("datetime64[s]")).all())
    return [f"{stamp}Z" for stamp in np.datetime_as_string(stamps, unit="s" if whole else "us").tolist()]


def split(series: Series, grid: Grid, *, most_windows: int = MOST_WINDOWS) -> Split | Refused:
    """Cut a validated series in order of time.

    Forecast: the largest number of windows of `horizon` calendar steps at the end (at most `most_windows`) that leaves
    max(2 seasons, 2 horizons) observations to train on; an absent stamp is not scored, and a window without any is
    left out. Regression: the last fifth of the rows, one window. Else refused, `series_too_short`.
    """
    return _last_fifth(series) if grid.kind == "regression" else _windows(series, grid, most_windows)


def _last_fifth(series: Series) -> Split | Refused:
    count = len(series) // TEST_SHARE
    if not count:
        return _too_short(series, TEST_SHARE)
    train = series.head(len(series) - count)
    test = series.slice(len(train), None)
    window = Window(cutoff=train.instants[-1], observed=train, at=test.points(), actual=test.target, expected=len(test))
    return Split(train=train, windows=(window,))


def _windows(series: Series, grid: Grid, most: int) -> Split | Refused:
    cuts = _cuts(grid, series.instants.tobytes(), most)
    if cuts is None:
        return _too_short(series, _needed(grid) + grid.horizon)
    bare = series.without_features()
    windows = [
        Window(
            cutoff=cut.cutoff,
            observed=bare.head(cut.start),
            at=cut.at,
            actual=bare.target[cut.start : cut.stop],
            expected=grid.horizon,
        )
        for cut in cuts.windows
    ]
    return Split(train=bare.head(cuts.train), windows=tuple(windows))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cut:
    """One window as rows of a series."""

    cutoff: np.datetime64
    start: int
    stop: int
    at: Points


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cuts:
    train: int
    """Rows of the train part."""
    windows: tuple[_Cut, ...]


def _needed(grid: Grid) -> int:
    return max(SEASONS_TO_TRAIN_ON * grid.season_length, HORIZONS_TO_TRAIN_ON * grid.horizon)


@lru_cache(maxsize=CACHED)
def _cuts(grid: Grid, stamps: bytes, most: int) -> _Cuts | None:
    """Return where series on these stamps are cut; None where they are too short."""
    instants = np.frombuffer(stamps, dtype="datetime64[us]")
    for count in range(most, 0, -1) if len(instants) else ():
        edges = [grid.shift(instants[-1:], -back * grid.horizon)[0] for back in range(count, -1, -1)]
        places = [int(place) for place in np.searchsorted(instants, np.array(edges), side="right")]
        if places[0] >= _needed(grid):
            pairs = zip(edges, pairwise(places), strict=False)
            cuts = (_cut(grid, instants, edge, start, stop) for edge, (start, stop) in pairs if stop > start)
            return _Cuts(train=places[0], windows=tuple(cuts))
    return None


def _cut(grid: Grid, instants: Stamps, cutoff: np.datetime64, start: int, stop: int) -> _Cut:
    ahead = instants[start:stop]
    at = Points(instants=ahead, times=grid.local(ahead), features=np.empty((len(ahead), 0)))
    return _Cut(cutoff=cutoff, start=start, stop=stop, at=at)


def _too_short(series: Series, needed: int) -> Refused:
    sentence = f"{series.entity} has {len(series)} observations; to train and to score it takes {needed}."
    return Refused(
        code="series_too_short",
        sentence=sentence,
        next_step="Wait for more observations, or lengthen the look-back.",
    )


def future(series: Series, grid: Grid) -> Points:
    """Return the next `horizon` stamps after the last observation, without features."""
    return _future(grid, int(series.instants[-1].astype(np.int64)))


@lru_cache(maxsize=CACHED)
def _future(grid: Grid, last: int) -> Points:
    instants = grid.after(np.datetime64(last, "us"), grid.horizon)
    return Points(instants=instants, times=grid.local(instants), features=np.empty((grid.horizon, 0)))


def since(series: Series, grid: Grid, fit_end: np.datetime64) -> Window | None:
    """Return what came after a champion was fitted, as one window; None for fewer than `horizon` rows."""
    bare = series if grid.kind == "regression" else series.without_features()
    observed = bare.until(fit_end)
    ahead = bare.slice(len(observed), None)
    if not len(observed) or len(ahead) < grid.horizon:
        return None
    expected = len(ahead) if grid.kind == "regression" else grid.count(fit_end, ahead.instants[-1]) - 1
    return Window(cutoff=fit_end, observed=observed, at=ahead.points(), actual=ahead.target, expected=expected)
