"""The numbers that the gate looks at, for many candidates at once; each pair on the points that both forecast. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training import gate, scores
from training.evaluation import Scored, in_groups
from training.scores import Mask, Rows
from training.trainers.base import Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """A candidate's forecasts of its windows, and what stands beside them; all but `realised` on the same windows."""

    candidate: Scored
    naive: Scored
    naive_candidate: bool = False
    incumbent: Scored | None = None
    """Of the stored champion, or of the twin."""
    how: str = "none"
    """`none`, `stored`, `twin`, `same_recipe` or `unscored`."""
    anchor: Scored | None = None
    """Of the anchor's recipe, for the ratchet."""
    champion: Scored | None = None
    """Of the stored champion on the same windows, for stability."""
    realised: Scored | None = None
    """Of the stored champion on `windows.since(...)`."""


def compare(beside: Beside) -> gate.Comparison:
    """Return the numbers of one candidate."""
    return compare_all([beside])[0]


def compare_all(wanted: Sequence[Beside]) -> list[gate.Comparison]:
    """Return the numbers of each candidate."""
    return in_groups(wanted, key=_key, make=_compared)


def _key(beside: Beside) -> object:
    realised = None if beside.realised is None else id(beside.realised.course)
    return id(beside.candidate.course), realised


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pair:
    """The errors of one forecast and of the candidate on the points that both have; NaN where there are none."""

    theirs: Floats
    ours: Floats


def _compared(some: Sequence[Beside]) -> list[gate.Comparison]:
    with np.errstate(all="ignore"):
        points = scores.stacked([each.candidate for each in some])
        columns = {**_own(points), **_others(some, points), **_realised(some)}
    lists = {name: _plain(values) for name, values in columns.items()}
    unscored = (~points.on).sum(axis=1).tolist()
    counts = points.on.sum(axis=1).tolist()
    return [
        gate.Comparison(
            points=counts[place],
            unscored=unscored[place],
            naive_candidate=each.naive_candidate,
            incumbent=each.how,
            realised_points=int(lists["realised_points"][place] or 0),
            **{name: values[place] for name, values in lists.items() if name != "realised_points"},
        )
        for place, each in enumerate(some)
    ]


def _own(points: Rows) -> dict[str, Floats]:
    return {
        "mae": scores.mae(points),
        "bias": scores.mean(points.errors, points.on),
        "mean_absolute_actual": scores.mean(np.abs(points.actual), points.on),
    }


def _others(some: Sequence[Beside], points: Rows) -> dict[str, Floats]:
    naive = _pair(points, [each.naive for each in some])
    incumbent = _pair(points, [each.incumbent for each in some])
    anchor = _pair(points, [each.anchor for each in some])
    return {
        "naive_mae": naive.theirs,
        "incumbent_mae": incumbent.theirs,
        "mae_beside_incumbent": incumbent.ours,
        "anchor_mae": anchor.theirs,
        "mae_beside_anchor": anchor.ours,
        "stability_percent": _stability(points, [each.champion for each in some]),
    }


def _yhat(points: Rows, others: Sequence[Scored | None]) -> Floats:
    nothing = np.full(points.actual.shape[1], np.nan)
    return np.array([nothing if each is None else each.yhat for each in others]).reshape(points.actual.shape)


def _pair(points: Rows, others: Sequence[Scored | None]) -> _Pair:
    yhat = _yhat(points, others)
    both = points.on & np.isfinite(yhat)
    return _Pair(theirs=scores.mean(np.abs(yhat - points.actual), both), ours=scores.mean(np.abs(points.errors), both))


def _stability(points: Rows, champions: Sequence[Scored | None]) -> Floats:
    """Return the WAPE between two forecasts of the same dates, in percent of the champion's; NaN without a scale."""
    old = _yhat(points, champions)
    both = points.on & np.isfinite(old)
    size = np.where(both, np.abs(old), 0.0).sum(axis=1)
    change = np.where(both, np.abs(points.yhat - old), 0.0).sum(axis=1)
    share = np.divide(100.0 * change, size, out=np.full(len(size), np.nan), where=size > 0)
    share[both.any(axis=1) & (size == 0) & (change == 0)] = 0.0
    return np.asarray(share)


def _realised(some: Sequence[Beside]) -> dict[str, Floats]:
    """Hold the stored champion since its fit against the candidate, on the stamps that both forecast."""
    if some[0].realised is None:
        nothing = np.full(len(some), np.nan)
        return {"realised_points": nothing, "realised_champion_mae": nothing, "realised_mae": nothing}
    since = [each.realised for each in some if each.realised is not None]
    _, before, after = np.intersect1d(since[0].course.instants, some[0].candidate.course.instants, return_indices=True)
    champion, candidate = scores.stacked(since), scores.stacked([each.candidate for each in some])
    both: Mask = champion.on[:, before] & candidate.on[:, after]
    return {
        "realised_points": both.sum(axis=1).astype(np.float64),
        "realised_champion_mae": scores.mean(np.abs(champion.errors[:, before]), both),
        "realised_mae": scores.mean(np.abs(candidate.errors[:, after]), both),
    }


def _plain(values: Floats) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
