"""The optimum where seasons multiply the trend, or the trend is logistic: proximal Gauss-Newton steps. Pure.

Each step makes the mean linear where the parameters stand, and solves what that leaves exactly, as `additive` does. It
is shortened until the objective falls; where none of its lengths helps, the step is damped (Levenberg). Not convex: a
local optimum, reached from where Prophet starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.trainers.prophet_map import additive, problem
from training.trainers.prophet_map.problem import RATE_SCALE, Floats, Growth, Problem

MOST_STEPS = 200
HALVINGS = 6
FLAT_TWICE, FLAT_ONCE = 1e-10, 1e-12
"""Relative fall of the objective that ends the search, when seen twice or once."""
DAMPING, DAMPINGS = 1e-4, 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """Where the search stands: w = (k, m, beta of the used columns), and delta."""

    w: Floats
    delta: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Where the search ended."""

    point: Point
    variance: float
    steps: int
    converged: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class _Start:
    """The problem in arrays, and what stays the same from step to step."""

    problem: Problem
    bends: Floats
    """(T, S) hinges."""
    added: Floats
    multiplied: Floats
    scales: Floats
    """Of w. (W,)"""

    @property
    def levels(self) -> int:
        """Return how many of w belong to the trend."""
        return 1 if self.problem.growth is Growth.FLAT else 2


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """A point with its residuals and its objective."""

    point: Point
    trend: Floats
    factor: Floats
    residual: Floats
    value: float
    variance: float


def fit(posed: Problem, *, k: float, m: float) -> Found:
    """Search from level and slope, with neither seasons nor changes of slope at first."""
    start = _started(posed)
    level = [m] if posed.growth is Growth.FLAT else [k, m]
    seasons = np.zeros(start.added.shape[1] + start.multiplied.shape[1])
    here = _see(start, Point(w=np.array([*level, *seasons]), delta=np.zeros(start.bends.shape[1])))
    was_flat = False
    for step in range(1, MOST_STEPS + 1):
        there = _step(start, here)
        if there is None or not np.isfinite(there.value):
            return _found(here, step, converged=there is None and np.isfinite(here.value))
        fall, here = here.value - there.value, there
        size = max(abs(here.value), 1.0)
        if fall < FLAT_ONCE * size or (was_flat and fall < FLAT_TWICE * size):
            return _found(here, step, converged=True)
        was_flat = fall < FLAT_TWICE * size
    return _found(here, MOST_STEPS, converged=False)


def _found(here: _Seen, steps: int, *, converged: bool) -> Found:
    return Found(point=here.point, variance=here.variance, steps=steps, converged=bool(converged))


def _started(posed: Problem) -> _Start:
    added, multiplied = posed.features[:, posed.additive], posed.features[:, posed.multiplicative]
    level = [RATE_SCALE] * (1 if posed.growth is Growth.FLAT else 2)
    is_flat = posed.growth is Growth.FLAT
    return _Start(
        problem=posed,
        bends=np.empty((len(posed.t), 0)) if is_flat else problem.hinges(posed.t, posed.changepoints),
        added=added,
        multiplied=multiplied,
        scales=np.concatenate([level, posed.scales[posed.additive], posed.scales[posed.multiplicative]]),
    )


def _see(start: _Start, point: Point) -> _Seen:
    posed, levels, width = start.problem, start.levels, start.added.shape[1]
    trend = _trend(start, point)
    factor = 1.0 + start.multiplied @ point.w[levels + width :]
    residual = posed.y - trend * factor - start.added @ point.w[levels : levels + width]
    rss = float(residual @ residual)
    variance = float(problem.noise_variance(rss, len(posed.y)))
    fit = 0.5 * len(posed.y) * np.log(variance) + rss / (2.0 * variance) + 2.0 * variance
    prior = 0.5 * np.square(point.w / start.scales).sum() + np.abs(point.delta).sum() / posed.tau
    return _Seen(
        point=point, trend=trend, factor=factor, residual=residual, value=float(fit + prior), variance=variance
    )


def _trend(start: _Start, point: Point) -> Floats:
    posed = start.problem
    if posed.growth is Growth.FLAT:
        return np.full(len(posed.t), point.w[0])
    bend = start.bends @ point.delta
    if posed.growth is Growth.LINEAR:
        return np.asarray(point.w[0] * posed.t + point.w[1] + bend)
    return np.asarray(posed.cap * problem.expit(point.w[0] * (posed.t - point.w[1]) + bend))


def _derivatives(start: _Start, here: _Seen) -> tuple[Floats, Floats]:
    """Return the derivatives of the mean by w (T, W) and by delta (T, S)."""
    posed, w = start.problem, here.point.w
    by_level, by_bend = here.factor, here.factor
    if posed.growth is Growth.FLAT:
        level = by_level[:, None]
    elif posed.growth is Growth.LINEAR:
        level = np.stack([by_level * posed.t, by_level], axis=1)
    else:
        by_bend = by_level * here.trend * (1.0 - here.trend / posed.cap)
        level = np.stack([by_bend * (posed.t - w[1]), -w[0] * by_bend], axis=1)
    columns = np.concatenate([level, start.added, here.trend[:, None] * start.multiplied], axis=1)
    return columns, by_bend[:, None] * start.bends


def _step(start: _Start, here: _Seen) -> _Seen | None:
    """Return the next point, lower than this one; None where there is none."""
    columns, bends = _derivatives(start, here)
    shared = additive.basis(columns, start.scales, bends)
    series = _linearised(start, here, shared)
    shift, delta, _, rounds = additive.minimise(
        shared, series, tau=start.problem.tau, variance=np.array([here.variance]), delta=here.point.delta[None, :]
    )
    if rounds[0] > 0:
        target = Point(w=here.point.w + shared.back @ shift[0], delta=delta[0])
        for halving in range(HALVINGS):
            there = _see(start, _towards(here.point, target, 0.5**halving))
            if there.value < here.value:
                return there
    return _damped(start, here, shared, series)


def _linearised(start: _Start, here: _Seen, shared: additive.Basis) -> additive.Centred:
    # The changes of slope are solved for as they are, not as a step, so that their prior is that of the problem.
    response = here.residual + shared.hinges @ here.point.delta
    # back = diag(scales) Q with Q orthogonal, so its inverse is Q' over the scales.
    centre = shared.back.T @ (here.point.w / np.square(start.scales))
    return additive.Centred(
        centre=centre[None, :],
        right=(response @ shared.ridge)[None, :],
        hinge_right=(response @ shared.hinges)[None, :],
        rss=np.array([response @ response]),
    )


def _towards(one: Point, other: Point, share: float) -> Point:
    return Point(w=one.w + share * (other.w - one.w), delta=one.delta + share * (other.delta - one.delta))


def _damped(start: _Start, here: _Seen, shared: additive.Basis, series: additive.Centred) -> _Seen | None:
    """Return a lower point by ever shorter steps at this variance; None where even those go nowhere."""
    for power in range(DAMPINGS):
        target = additive.damped(
            shared,
            series,
            damping=DAMPING * 10.0**power,
            tau=start.problem.tau,
            variance=here.variance,
            delta=here.point.delta,
        )
        if target is not None:
            there = _see(start, Point(w=here.point.w + shared.back @ target[0], delta=target[1]))
            if there.value < here.value:
                return there
    return None
