"""Scores: forecasts of windows, scorecards, and the comparisons that the gate sees. Pure; NaN never leaves it.

Series that are scored on the same stamps share one `Course`, and whatever is reckoned for many takes those together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from registry.bundle import Columns
from registry.errors import PerennialError
from registry.reports import Scorecard
from training import scores, windows
from training.trainers.base import Asked, Floats, Forecaster, ForecasterFailed, Grid, Prediction, Refused, Series
from training.windows import Course, Split, Window

VALIDATION_WINDOWS = 2
COLUMNS = ("window", "cutoff", "time", "actual", "yhat", "lower", "upper")
T = TypeVar("T")
Answer = Prediction | PerennialError
Ask = Callable[[Sequence[Asked]], Sequence[Answer]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Forecasts of one series beside what came true, all windows one after the other; n points, in order of time."""

    course: Course
    actual: Floats
    yhat: Floats
    """Not finite where the forecaster gave no value."""
    lower: Floats
    upper: Floats


def predict_windows(forecaster: Forecaster, on: Sequence[Window]) -> Scored:
    """Forecast each window by the fitted forecaster, knowing the observations up to its own cutoff.

    Raises what the forecaster raises, and ForecasterFailed where it answers with another number of points than asked.
    """

    def ask(asked: Sequence[Asked]) -> Sequence[Answer]:
        return [each.forecaster.predict(each.observed, each.at) for each in asked]

    [found] = predict_all([(forecaster, on)], ask)
    if isinstance(found, PerennialError):
        raise found
    return found


def predict_all(wanted: Sequence[tuple[Forecaster, Sequence[Window]]], ask: Ask) -> list[Scored | PerennialError]:
    """Do what `predict_windows` does for each, with one question to `ask`; what would be raised is the answer."""
    answers = iter(ask([_question(forecaster, window) for forecaster, on in wanted for window in on]))
    return [_scored(on, [next(answers) for _ in on]) for _, on in wanted]


def _question(forecaster: Forecaster, window: Window) -> Asked:
    return Asked(forecaster=forecaster, observed=window.observed, at=window.at)


def _scored(on: Sequence[Window], answers: Sequence[Answer]) -> Scored | PerennialError:
    said = [each for each in answers if isinstance(each, Prediction)]
    for answer, window in zip(answers, on, strict=True):
        if isinstance(answer, PerennialError):
            return answer
        if len(answer.yhat) != len(window.at):
            return ForecasterFailed(f"{len(answer.yhat)} values were predicted for {len(window.at)} points.")
    return Scored(
        course=windows.course_of(on),
        actual=np.concatenate([window.actual for window in on]),
        yhat=np.concatenate([each.yhat for each in said]),
        lower=np.concatenate([each.lower for each in said]),
        upper=np.concatenate([each.upper for each in said]),
    )


def validation_split(train: Series, grid: Grid) -> Split | Refused:
    """Return windows inside the train part, for tuning and the choice among trainers; never the test windows."""
    return windows.split(train, grid, most_windows=VALIDATION_WINDOWS)


def mean_errors(scored: Sequence[Scored | None]) -> list[float | None]:
    """Return the MAE of each; None where it was not scored, or left points without a finite forecast."""
    found: list[float | None] = [None] * len(scored)
    known = [(place, each) for place, each in enumerate(scored) if each is not None]
    for some in grouped(known, key=lambda pair: id(pair[1].course)):
        rows = scores.stacked([each for _, each in some])
        whole = rows.on.all(axis=1) & (rows.count > 0)
        for (place, _), error, is_whole in zip(some, scores.mae(rows).tolist(), whole.tolist(), strict=True):
            found[place] = error if is_whole and np.isfinite(error) else None
    return found


def choose(errors: Mapping[str, float | None]) -> str:
    """Return the key with the smallest MAE on the validation windows; the first wins ties, and where there is none."""
    known = {name: error for name, error in errors.items() if error is not None}
    return min(known, key=known.__getitem__) if known else next(iter(errors))


@dataclass(frozen=True, kw_only=True, eq=False)
class ToScore:
    """One forecaster's points, with what its scorecard needs beside them."""

    scored: Scored
    naive: Scored | None
    """Of seasonal naive on the same windows."""
    train: Series
    """Gives the scale of MASE and RMSSE."""


def scorecards(wanted: Sequence[ToScore], *, grid: Grid, zero_below: float = 0.0) -> list[Scorecard]:
    """Return all metrics on the points with a finite forecast; None with a reason where one has no value.

    Actuals of at most `zero_below` in size are left out of MAPE.
    """
    return in_groups(
        wanted,
        key=lambda each: (id(each.scored.course), each.naive is None),
        make=lambda some: _scorecards(some, grid, zero_below),
    )


def _scorecards(some: Sequence[ToScore], grid: Grid, zero_below: float) -> list[Scorecard]:
    rows = scores.stacked([each.scored for each in some])
    scale = scores.scale([each.train for each in some], grid)
    naive = None
    if some[0].naive is not None:
        naive = scores.stacked([each.naive for each in some if each.naive is not None], among=rows.on)
    measured = scores.measure_all(rows, scale=scale, zero_below=zero_below, naive=naive)
    floors: Sequence[scores.Measured] = [({}, {})] * len(some)
    if naive is not None:
        floors = scores.measure_all(naive, scale=scale, zero_below=zero_below)
    points = rows.on.sum(axis=1).tolist()
    return [
        _scorecard(each.scored.course, grid, metrics, reasons, floor, count)
        for each, (metrics, reasons), (floor, _), count in zip(some, measured, floors, points, strict=True)
    ]


def _scorecard(
    course: Course,
    grid: Grid,
    metrics: dict[str, float | None],
    reasons: dict[str, str],
    floor: dict[str, float | None],
    count: int,
) -> Scorecard:
    times = windows.told(course, grid).times or [""]
    return Scorecard(
        metrics=metrics,
        reasons=reasons,
        baseline=floor,
        points=count,
        windows=len(set(course.number.tolist())),
        test_start=times[0],
        test_end=times[-1],
        completeness=min(1.0, len(course) / course.expected) if course.expected else None,
    )


def columns(scored: Scored, *, grid: Grid) -> Columns:
    """Return the table of a bundle, complete: stamps as ISO text, NaN where there is no value."""
    told = windows.told(scored.course, grid)
    numbers = [np.where(np.isfinite(each), each, np.nan).tolist() for each in (scored.actual, scored.yhat)]
    bounds = [np.where(np.isfinite(each), each, np.nan).tolist() for each in (scored.lower, scored.upper)]
    return Columns(COLUMNS, (told.numbers, told.cutoffs, told.times, *numbers, *bounds))


def grouped(items: Iterable[T], *, key: Callable[[T], object]) -> list[list[T]]:
    """Return the items in groups of equal keys, in the order in which they are met."""
    groups: dict[object, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


R = TypeVar("R")


def in_groups(items: Sequence[T], *, key: Callable[[T], object], make: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """Return what `make` makes of each item, called once for each group of equal keys; in the order of the items."""
    made: dict[int, R] = {}
    for places in grouped(range(len(items)), key=lambda place: key(items[place])):
        made.update(zip(places, make([items[place] for place in places]), strict=True))
    return [made[place] for place in range(len(items))]
