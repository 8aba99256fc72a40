"""The objective where the mean is not linear in the parameters: its value, and the mean's derivatives. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.trainers.prophet_map import problem
from training.trainers.prophet_map.problem import RATE_SCALE, Floats, Growth, Problem


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """Where a search stands: w = (k, m, beta of the used columns), and delta."""

    w: Floats
    delta: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """The problem in arrays, and what stays the same from step to step."""

    problem: Problem
    bends: Floats
    """(T, S) hinges."""
    added: Floats
    multiplied: Floats
    scales: Floats
    """Standard deviations of the priors of w. (W,)"""

    @property
    def levels(self) -> int:
        """Return how many of w belong to the trend."""
        return 1 if self.problem.growth is Growth.FLAT else 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A point with its residuals and its objective."""

    point: Point
    trend: Floats
    factor: Floats
    residual: Floats
    value: float
    variance: float


def of(posed: Problem) -> Surface:
    """Return the surface of a problem."""
    added, multiplied = posed.features[:, posed.additive], posed.features[:, posed.multiplicative]
    is_flat = posed.growth is Growth.FLAT
    level = [RATE_SCALE] * (1 if is_flat else 2)
    return Surface(
        problem=posed,
        bends=np.empty((len(posed.t), 0)) if is_flat else problem.hinges(posed.t, posed.changepoints),
        added=added,
        multiplied=multiplied,
        scales=np.concatenate([level, posed.scales[posed.additive], posed.scales[posed.multiplicative]]),
    )


def see(surface: Surface, point: Point) -> Seen:
    """Return the point with what is seen from it."""
    posed, levels, width = surface.problem, surface.levels, surface.added.shape[1]
    trend = _trend(surface, point)
    factor = 1.0 + surface.multiplied @ point.w[levels + width :]
    residual = posed.y - trend * factor - surface.added @ point.w[levels : levels + width]
    rss = float(residual @ residual)
    variance = float(problem.noise_variance(rss, len(posed.y)))
    fit = 0.5 * len(posed.y) * np.log(variance) + rss / (2.0 * variance) + 2.0 * variance
    prior = 0.5 * np.square(point.w / surface.scales).sum() + np.abs(point.delta).sum() / posed.tau
    return Seen(point=point, trend=trend, factor=factor, residual=residual, value=float(fit + prior), variance=variance)


def _trend(surface: Surface, point: Point) -> Floats:
    posed = surface.problem
    if posed.growth is Growth.FLAT:
        return np.full(len(posed.t), point.w[0])
    bend = surface.bends @ point.delta
    if posed.growth is Growth.LINEAR:
        return np.asarray(point.w[0] * posed.t + point.w[1] + bend)
    return np.asarray(posed.cap * problem.expit(point.w[0] * (posed.t - point.w[1]) + bend))


def steepness(surface: Surface, here: Seen) -> Floats:
    """Return the derivative of the trend by what it is made of, a line with bends. (T,)"""
    if surface.problem.growth is not Growth.LOGISTIC:
        return np.ones(len(here.trend))
    return np.asarray(here.trend * (1.0 - here.trend / surface.problem.cap))


def line_columns(surface: Surface, here: Seen) -> Floats:
    """Return the derivatives of that line by level and slope. (T, levels)"""
    t, w = surface.problem.t, here.point.w
    if surface.problem.growth is Growth.FLAT:
        return np.ones((len(t), 1))
    if surface.problem.growth is Growth.LINEAR:
        return np.stack([t, np.ones(len(t))], axis=1)
    return np.stack([t - w[1], np.full(len(t), -w[0])], axis=1)


def derivatives(surface: Surface, here: Seen) -> tuple[Floats, Floats]:
    """Return the derivatives of the mean by w (T, W) and by delta (T, S)."""
    along = (here.factor * steepness(surface, here))[:, None]
    level = along * line_columns(surface, here)
    columns = np.concatenate([level, surface.added, here.trend[:, None] * surface.multiplied], axis=1)
    return columns, along * surface.bends
