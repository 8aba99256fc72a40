"""One posterior to be maximised, as Prophet hands it to its optimiser, and its value. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

RATE_SCALE = 5.0
"""Standard deviation of the normal priors of `k` and `m`; fixed in Prophet's Stan program, as is the next."""
NOISE_SCALE = 0.5
LEAST_VARIANCE = 1e-20
"""Of the noise, on the scale where the largest target is 1. Data that are fitted exactly have no finite optimum."""


class Growth(StrEnum):
    """The trend of the level."""

    LINEAR = "linear"
    LOGISTIC = "logistic"
    FLAT = "flat"


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """T observations on Prophet's scales, K feature columns, S changepoints."""

    y: Floats
    """(T,), over the largest absolute target."""
    t: Floats
    """(T,), 0 at the first and 1 at the last observation."""
    cap: Floats
    """(T,), of logistic growth; not read otherwise."""
    changepoints: Floats
    """(S,), on the scale of t."""
    features: Floats
    """(T, K)"""
    additive: Mask
    """(K,) which columns are added; one that is neither has the coefficient 0."""
    multiplicative: Mask
    """(K,) which columns multiply the trend."""
    scales: Floats
    """(K,) standard deviations of the normal priors of the coefficients."""
    tau: float
    """Scale of the Laplace prior of the changes of slope."""
    growth: Growth

    @property
    def is_linear(self) -> bool:
        """Whether the mean is linear in all parameters, so that one Gram matrix serves to the end."""
        return self.growth is not Growth.LOGISTIC and not self.multiplicative.any()


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """The parameters at the maximum, on Prophet's scales."""

    k: float
    m: float
    delta: Floats
    """(S,) changes of slope; exactly 0 where the prior wins."""
    beta: Floats
    """(K,)"""
    sigma: float
    """Standard deviation of the noise."""
    rounds: int
    """Rounds of the optimiser."""
    converged: bool


def hinges(t: Floats, changepoints: Floats) -> Floats:
    """Return max(t - c, 0) for each changepoint c: what a change of slope adds to the trend. (T, S)"""
    return np.maximum(t[:, None] - changepoints[None, :], 0.0)


def noise_variance(rss: Floats | float, count: int) -> Floats:
    """Return the best variance of the noise for a residual sum of squares, over `count` observations.

    The root of 4 v^2 + count v - rss = 0, which is where the derivative by log sigma of the objective vanishes; written
    so that nothing cancels.
    """
    root = 2.0 * np.asarray(rss) / (count + np.sqrt(count**2 + 16.0 * np.asarray(rss)))
    return np.asarray(np.maximum(root, LEAST_VARIANCE))


def mean(problem: Problem, optimum: Optimum) -> Floats:
    """Return the fitted mean at the observations, on the scale of y. (T,)"""
    added = problem.features[:, problem.additive] @ optimum.beta[problem.additive]
    factor = 1.0 + problem.features[:, problem.multiplicative] @ optimum.beta[problem.multiplicative]
    return np.asarray(trend(problem, optimum) * factor + added)


def trend(problem: Problem, optimum: Optimum) -> Floats:
    """Return the trend at the observations, on the scale of y. (T,)"""
    if problem.growth is Growth.FLAT:
        return np.full(len(problem.t), optimum.m)
    bend = hinges(problem.t, problem.changepoints) @ optimum.delta
    if problem.growth is Growth.LINEAR:
        return np.asarray(optimum.k * problem.t + optimum.m + bend)
    # Stan's offsets of a logistic trend make its argument continuous at every changepoint, which is this sum.
    return np.asarray(problem.cap * expit(optimum.k * (problem.t - optimum.m) + bend))


def expit(values: Floats) -> Floats:
    """Return the logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))


def objective(problem: Problem, optimum: Optimum) -> float:
    """Return minus the log posterior without its constants: what Stan minimises, sigma without a Jacobian."""
    rss = float(np.square(problem.y - mean(problem, optimum)).sum())
    fit = len(problem.y) * np.log(optimum.sigma) + rss / (2 * optimum.sigma**2)
    level = (optimum.k**2 + optimum.m**2) / (2 * RATE_SCALE**2)
    noise = optimum.sigma**2 / (2 * NOISE_SCALE**2)
    seasons = float(np.square(optimum.beta / problem.scales).sum()) / 2
    return float(fit + level + noise + seasons + np.abs(optimum.delta).sum() / problem.tau)
