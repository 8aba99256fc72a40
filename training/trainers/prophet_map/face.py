"""Newton's method among the changes of slope in use, none beyond its zero: the quick end of a search. Pure.

Gauss-Newton's steps leave out how the mean bends. Where the residuals are large beside that, as in logistic trends with
multiplicative seasons, they close in slowly; with the whole second derivative the end takes a few steps.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from training.trainers.prophet_map import surface as surfaces
from training.trainers.prophet_map.problem import LEAST_VARIANCE, Floats, Growth
from training.trainers.prophet_map.surface import Point, Seen, Surface

MOST_STEPS = 20
SHORTEST = 1.0 / 16.0
LEAST_CURVATURE = 1e-8
"""Relative to the largest."""
ROUNDING = 1e-14
"""Of the objective: how much it may rise where a change of slope only leaves."""


def descend(surface: Surface, here: Seen) -> Seen:
    """Return the lowest point that Newton's steps reach from here; this one where they do not help."""
    for _ in range(MOST_STEPS):
        if here.variance <= LEAST_VARIANCE:
            return here
        there = _step(surface, here)
        if there is None:
            return here
        here = there
    return here


def _step(surface: Surface, here: Seen) -> Seen | None:
    used = np.flatnonzero(here.point.delta)
    slope, curvature = _slope_and_curvature(surface, here, used)
    if not (np.isfinite(slope).all() and np.isfinite(curvature).all()):
        return None
    units = np.concatenate([surface.scales, np.ones(len(used))])
    step = -units * _divided(slope * units, curvature * np.outer(units, units))
    share = most = _reach(here.point.delta[used], step[len(here.point.w) :])
    while share >= SHORTEST * most:
        there = surfaces.see(surface, _moved(here.point, share * step, used))
        if there.value < here.value + (ROUNDING * abs(here.value) if share == most < 1.0 else 0.0):
            return there
        share /= 2.0
    return None


def _divided(slope: Floats, curvature: Floats) -> Floats:
    """Return slope over curvature; near a saddle as if the surface bent up where it bends down, which leads away."""
    factor, failed = lapack.dpotrf(curvature, lower=1)
    if not failed:
        solved: Floats = lapack.dpotrs(factor, slope, lower=1)[0]
        return solved
    values, vectors = np.linalg.eigh(curvature)
    sizes = np.maximum(np.abs(values), LEAST_CURVATURE * float(np.abs(values).max()))
    return np.asarray(vectors @ ((vectors.T @ slope) / sizes))


def _reach(delta: Floats, step: Floats) -> float:
    """Return the share of the step at which the first sign would break, 1 where none does."""
    broken = (delta + step) * delta <= 0.0
    return float(np.min(-delta[broken] / step[broken], initial=1.0))


def _moved(point: Point, step: Floats, used: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Point:
    delta = point.delta.copy()
    delta[used] += step[len(point.w) :]
    # The one at its zero leaves, as from the active set.
    delta[np.abs(delta) <= 1e-12 * np.abs(point.delta)] = 0.0
    return Point(w=point.w + step[: len(point.w)], delta=delta)


def _slope_and_curvature(
    surface: Surface, here: Seen, used: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> tuple[Floats, Floats]:
    """Return the objective's first and second derivatives by (w, delta in use); the variance follows."""
    columns, bends = surfaces.derivatives(surface, here)
    jacobian = np.concatenate([columns, bends[:, used]], axis=1)
    pull, count, v = jacobian.T @ here.residual, len(here.residual), here.variance
    precision = np.concatenate([1.0 / np.square(surface.scales), np.zeros(len(used))])
    prior = precision[: len(here.point.w)] * here.point.w
    laplace = np.sign(here.point.delta[used]) / surface.problem.tau
    slope = np.concatenate([prior, laplace]) - pull / v
    curvature = (jacobian.T @ jacobian - _bending(surface, here, used)) / v + np.diag(precision)
    curvature -= np.outer(pull, pull) * (2.0 / (v**2 * (8.0 * v + count)))
    return slope, curvature


def _bending(surface: Surface, here: Seen, used: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats:
    """Return the sum over the observations of residual times the mean's second derivatives."""
    levels, width = surface.levels, len(here.point.w)
    trend = [*range(levels), *range(width, width + len(used))]
    factors = list(range(width - surface.multiplied.shape[1], width))
    line = np.concatenate([surfaces.line_columns(surface, here), surface.bends[:, used]], axis=1)
    steep = surfaces.steepness(surface, here)
    total = np.zeros((width + len(used), width + len(used)))
    crossed = line.T @ ((here.residual * steep)[:, None] * surface.multiplied)
    total[np.ix_(trend, factors)], total[np.ix_(factors, trend)] = crossed, crossed.T
    if surface.problem.growth is Growth.LOGISTIC:
        along = here.residual * here.factor * steep
        twice = along * (1.0 - 2.0 * here.trend / surface.problem.cap)
        total[np.ix_(trend, trend)] = line.T @ (twice[:, None] * line)
        total[0, 1] -= along.sum()
        total[1, 0] -= along.sum()
    return total
