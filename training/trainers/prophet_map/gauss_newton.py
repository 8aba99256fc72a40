"""The optimum where seasons multiply the trend, or the trend is logistic: proximal Gauss-Newton steps. Pure.

Each step makes the mean linear where the parameters stand, and solves what that leaves exactly, as `additive` does. It
is shortened until the objective falls; where none of its lengths helps, the step is damped (Levenberg). Where the falls
become small, or steps have to be short, `face` takes over, and a further step shows whether another change of slope is
wanted. Not convex: a local optimum, reached from where Prophet starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.trainers.prophet_map import additive, face
from training.trainers.prophet_map import surface as surfaces
from training.trainers.prophet_map.problem import LEAST_VARIANCE, Floats, Growth, Problem
from training.trainers.prophet_map.surface import Point, Seen, Surface

MOST_STEPS = 200
HALVINGS, FEW_HALVINGS = 12, 1
NEAR = 1e-5
"""Relative fall of the objective below which Newton's steps are tried."""
FLAT_TWICE, FLAT_ONCE = 1e-10, 1e-12
"""Relative fall of the objective that ends the search, when seen twice or once."""
DAMPING, DAMPINGS = 1e-4, 14
FAR = 1e-3
"""Of the slope of the Laplace prior: a condition of the optimum that is missed by more was not reached."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Where the search ended."""

    point: Point
    variance: float
    steps: int
    converged: bool


def fit(posed: Problem, *, k: float, m: float, delta: Floats | None = None, beta: Floats | None = None) -> Found:
    """Search from these parameters; without seasons and changes of slope where they are not given."""
    surface = surfaces.of(posed)
    here = surfaces.see(surface, _first(surface, k=k, m=m, delta=delta, beta=beta))
    was_flat = False
    for step in range(1, MOST_STEPS + 1):
        there = _lower(surface, here)
        if there is None or there.variance <= LEAST_VARIANCE:
            return _found(surface, there or here, step)
        fall, here = here.value - there.value, there
        size = max(abs(here.value), 1.0)
        if fall < FLAT_ONCE * size or (was_flat and fall < FLAT_TWICE * size):
            return _found(surface, here, step)
        was_flat = fall < FLAT_TWICE * size
    return Found(point=here.point, variance=here.variance, steps=MOST_STEPS, converged=False)


def _first(surface: Surface, *, k: float, m: float, delta: Floats | None, beta: Floats | None) -> Point:
    posed, count = surface.problem, surface.bends.shape[1]
    level = [m] if posed.growth is Growth.FLAT else [k, m]
    given = np.zeros(len(posed.scales)) if beta is None else beta
    w = np.concatenate([level, given[posed.additive], given[posed.multiplicative]])
    return Point(w=w, delta=np.zeros(count) if delta is None else np.array(delta[:count], dtype=np.float64))


def _found(surface: Surface, here: Seen, steps: int) -> Found:
    converged = bool(np.isfinite(here.value)) and _is_optimal(surface, here)
    return Found(point=here.point, variance=here.variance, steps=steps, converged=converged)


def _is_optimal(surface: Surface, here: Seen) -> bool:
    """Whether the changes of slope meet their conditions; data that are fitted exactly have none."""
    if here.variance <= LEAST_VARIANCE:
        return True
    _, bends = surfaces.derivatives(surface, here)
    pull = bends.T @ here.residual / here.variance * surface.problem.tau
    delta = here.point.delta
    gaps = np.where(delta != 0.0, np.abs(pull - np.sign(delta)), np.abs(pull) - 1.0)
    rounding = np.finfo(np.float64).eps * np.abs(bends).sum(axis=0) / here.variance * surface.problem.tau
    return bool((gaps <= FAR + 8.0 * rounding).all())


def _lower(surface: Surface, here: Seen) -> Seen | None:
    """Return the next point, lower than this one; None where there is none."""
    there, is_whole = _step(surface, here)
    if there is None or (is_whole and here.value - there.value > NEAR * max(abs(here.value), 1.0)):
        return there
    return face.descend(surface, there)


def _step(surface: Surface, here: Seen) -> tuple[Seen | None, bool]:
    """Return a lower point, None where there is none, and whether the step to it was nearly that of Gauss-Newton."""
    columns, bends = surfaces.derivatives(surface, here)
    shared = additive.basis(columns, surface.scales, bends)
    series = _linearised(surface, here, shared)
    shift, delta, _, rounds = additive.minimise(
        shared, series, tau=surface.problem.tau, variance=np.array([here.variance]), delta=here.point.delta[None, :]
    )
    if rounds[0] > 0:
        target = Point(w=here.point.w + shared.back @ shift[0], delta=delta[0])
        for halving in range(HALVINGS):
            there = surfaces.see(surface, _towards(here.point, target, 0.5**halving))
            if there.value < here.value:
                return there, halving <= FEW_HALVINGS
    return _damped(surface, here, shared, series), False


def _linearised(surface: Surface, here: Seen, shared: additive.Basis) -> additive.Centred:
    # The changes of slope are solved for as they are, not as a step, so that their prior is that of the problem.
    response = here.residual + shared.hinges @ here.point.delta
    # back = diag(scales) Q with Q orthogonal, so its inverse is Q' over the scales.
    centre = shared.back.T @ (here.point.w / np.square(surface.scales))
    return additive.Centred(
        centre=centre[None, :],
        right=(response @ shared.ridge)[None, :],
        hinge_right=(response @ shared.hinges)[None, :],
        rss=np.array([response @ response]),
    )


def _towards(one: Point, other: Point, share: float) -> Point:
    return Point(w=one.w + share * (other.w - one.w), delta=one.delta + share * (other.delta - one.delta))


def _damped(surface: Surface, here: Seen, shared: additive.Basis, series: additive.Centred) -> Seen | None:
    """Return a lower point by ever shorter steps at this variance; None where even those go nowhere."""
    for power in range(DAMPINGS):
        target = additive.damped(
            shared,
            series,
            damping=DAMPING * 10.0**power,
            tau=surface.problem.tau,
            variance=here.variance,
            delta=here.point.delta,
        )
        if target is not None:
            there = surfaces.see(surface, Point(w=here.point.w + shared.back @ target[0], delta=target[1]))
            if there.value < here.value:
                return there
    return None
