"""Owns two checks of an optimum that share no code with the optimisers: its conditions, and another way to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from training.trainers.prophet_map.problem import Floats, Growth, Optimum, Problem

RATE_SCALE = 5.0
LEAST_VARIANCE = 1e-20
IDLE_RESTARTS = 2
LEAST_WEIGHT = 1e-2
NO_BETTER = 1e-9


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How far the optimum is from its conditions, each over the Laplace prior's slope 1/tau; 0 at the exact optimum."""

    delta: float
    """Of the changes of slope: excess outside, difference to sign/tau inside."""
    ridge: float
    """Of level, slope and seasons, in units of their prior standard deviations times 1/tau."""
    rounding: float
    """What rounding of the residuals alone may make of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Columns:
    """Derivatives of the mean."""

    ridge: Floats
    bends: Floats
    mean: Floats


def conditions(posed: Problem, found: Optimum) -> Conditions:
    """Return how far the conditions of the optimum are from being met."""
    w, scales = _ridge(posed, found.k, found.m, found.beta)
    seen = _derivatives(posed, w, found.delta)
    residual = posed.y - seen.mean
    variance = _variance(float(residual @ residual), len(residual))
    pull = seen.bends.T @ residual / variance * posed.tau
    inside = found.delta != 0.0
    gaps = np.where(inside, np.abs(pull - np.sign(found.delta)), np.maximum(np.abs(pull) - 1.0, 0.0))
    flat = (seen.ridge.T @ residual / variance - w / scales**2) * scales * posed.tau
    reach = max(float(np.abs(each).sum(axis=0).max(initial=0.0)) for each in (seen.bends, seen.ridge * scales))
    rounding = 4 * np.finfo(float).eps * float(np.abs(posed.y).max()) * reach / variance * posed.tau
    return Conditions(delta=float(gaps.max(initial=0.0)), ridge=float(np.abs(flat).max(initial=0.0)), rounding=rounding)


def by_bounds(posed: Problem, *, k: float, m: float) -> float:
    """Return the objective that L-BFGS-B reaches from Prophet's start, with delta as a difference of two parts."""
    w, scales = _ridge(posed, k, m, np.zeros(len(posed.scales)))
    count = 0 if posed.growth is Growth.FLAT else len(posed.changepoints)
    to_x = _preconditioner(_derivatives(posed, w, np.zeros(len(posed.changepoints))), scales, count)
    x = np.concatenate([w, np.zeros(2 * count)])
    bounds = [(None, None)] * len(w) + [(0.0, None)] * (2 * count)

    def value(z: Floats) -> tuple[float, Floats]:
        found, slope = _value(posed, to_x @ z, scales, count)
        return found, to_x.T @ slope

    best, idle = float("inf"), 0
    z = np.linalg.solve(to_x, x)
    while idle < IDLE_RESTARTS:
        done = minimize(value, z, jac=True, method="L-BFGS-B", bounds=bounds, options=_OPTIONS)
        idle = 0 if done.fun < best - NO_BETTER else idle + 1
        best, z = float(min(done.fun, best)), done.x
    return best


_OPTIONS = {"maxcor": 60, "maxiter": 3_000, "maxfun": 6_000, "maxls": 60, "ftol": 1e-16, "gtol": 1e-9}


def _preconditioner(seen: _Columns, scales: Floats, count: int) -> Floats:
    """Return the matrix from variables in which no direction is far steeper than another to the parameters."""
    augmented = np.concatenate([seen.ridge, np.diag(LEAST_WEIGHT / scales)])
    inverse = np.linalg.inv(np.linalg.qr(augmented, mode="r"))
    bends = np.maximum(np.linalg.norm(seen.bends[:, :count], axis=0), LEAST_WEIGHT)
    whole = np.zeros((len(scales) + 2 * count, len(scales) + 2 * count))
    whole[: len(scales), : len(scales)] = inverse
    whole[len(scales) :, len(scales) :] = np.diag(np.tile(1.0 / bends, 2))
    return whole


def _value(posed: Problem, x: Floats, scales: Floats, count: int) -> tuple[float, Floats]:
    w, up, down = x[: len(scales)], x[len(scales) : len(scales) + count], x[len(scales) + count :]
    delta = up - down if count else np.zeros(len(posed.changepoints))
    seen = _derivatives(posed, w, delta)
    residual = posed.y - seen.mean
    rss = float(residual @ residual)
    variance = _variance(rss, len(residual))
    fit = 0.5 * len(residual) * np.log(variance) + rss / (2.0 * variance) + 2.0 * variance
    value = fit + 0.5 * float(np.square(w / scales).sum()) + float((up + down).sum()) / posed.tau
    pull = seen.bends[:, :count].T @ residual / variance
    slope = w / scales**2 - seen.ridge.T @ residual / variance
    return value, np.concatenate([slope, 1.0 / posed.tau - pull, 1.0 / posed.tau + pull])


def _variance(rss: float, count: int) -> float:
    return float(max(2.0 * rss / (count + (count**2 + 16.0 * rss) ** 0.5), LEAST_VARIANCE))


def _ridge(posed: Problem, k: float, m: float, beta: Floats) -> tuple[Floats, Floats]:
    """Return (m | k, m, beta of the used columns) with the prior standard deviations."""
    used = posed.additive | posed.multiplicative
    level = [m] if posed.growth is Growth.FLAT else [k, m]
    return np.array([*level, *beta[used]]), np.array([*[RATE_SCALE] * len(level), *posed.scales[used]])


def _derivatives(posed: Problem, w: Floats, delta: Floats) -> _Columns:
    levels = 1 if posed.growth is Growth.FLAT else 2
    used = np.flatnonzero(posed.additive | posed.multiplicative)
    beta = w[levels:]
    is_factor = posed.multiplicative[used]
    factor = 1.0 + posed.features[:, used[is_factor]] @ beta[is_factor]
    trend, by_level, by_bend = _trend(posed, w, delta)
    columns = posed.features[:, used] * np.where(is_factor, trend[:, None], 1.0)
    mean = trend * factor + posed.features[:, used[~is_factor]] @ beta[~is_factor]
    return _Columns(
        ridge=np.concatenate([by_level * factor[:, None], columns], axis=1), bends=by_bend * factor[:, None], mean=mean
    )


def _trend(posed: Problem, w: Floats, delta: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the trend and its derivatives by level and by changes of slope, with Stan's slopes and offsets."""
    ones = np.ones(len(posed.t))
    if posed.growth is Growth.FLAT:
        return w[0] * ones, ones[:, None], np.zeros((len(ones), len(delta)))
    bends = np.where(posed.t[:, None] > posed.changepoints, posed.t[:, None] - posed.changepoints, 0.0)
    line = w[0] * (posed.t - w[1]) if posed.growth is Growth.LOGISTIC else w[0] * posed.t + w[1]
    line = line + bends @ delta
    if posed.growth is Growth.LINEAR:
        return line, np.stack([posed.t, ones], axis=1), bends
    share = 1.0 / (1.0 + np.exp(-np.clip(line, -500, 500)))
    steep = (posed.cap * share * (1.0 - share))[:, None]
    return posed.cap * share, steep * np.stack([posed.t - w[1], -w[0] * ones], axis=1), steep * bends
