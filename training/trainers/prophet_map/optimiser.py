"""Owns the choice of method for one problem, and what counts as an answer: finite and converged. Pure."""

from __future__ import annotations

import numpy as np

from training.trainers.prophet_map import additive, gauss_newton, problem
from training.trainers.prophet_map.problem import RATE_SCALE, Floats, Growth, Optimum, Problem


def optimise(posed: Problem, *, k: float, m: float, delta: Floats | None = None, beta: Floats | None = None) -> Optimum:
    """Return the maximum of the posterior; where it is searched for, from these parameters, the last two 0 by default.

    `converged` is False where the rounds ran out or something is not finite; then the values are worth nothing.
    """
    if posed.is_linear:
        return _additive(posed)
    return _searched(posed, gauss_newton.fit(posed, k=k, m=m, delta=delta, beta=beta))


def ridge_columns(posed_t: Floats, seasons: Floats, scales: Floats, growth: Growth) -> tuple[Floats, Floats]:
    """Return the columns of level, slope and seasons (T, W) with the standard deviations of their priors (W,)."""
    ones = np.ones((len(posed_t), 1))
    level = [ones] if growth is Growth.FLAT else [posed_t[:, None], ones]
    return np.concatenate([*level, seasons], axis=1), np.concatenate([[RATE_SCALE] * len(level), scales])


def _additive(posed: Problem) -> Optimum:
    columns, scales = ridge_columns(
        posed.t, posed.features[:, posed.additive], posed.scales[posed.additive], posed.growth
    )
    is_flat = posed.growth is Growth.FLAT
    bends = np.empty((len(posed.t), 0)) if is_flat else problem.hinges(posed.t, posed.changepoints)
    fits = additive.fit(additive.basis(columns, scales, bends), posed.y[None, :], tau=posed.tau)
    return _optimum(
        posed,
        w=fits.parameters[0],
        delta=fits.delta[0],
        variance=float(fits.variance[0]),
        rounds=int(fits.rounds[0]),
        converged=bool(fits.converged[0]),
    )


def _searched(posed: Problem, found: gauss_newton.Found) -> Optimum:
    return _optimum(
        posed,
        w=found.point.w,
        delta=found.point.delta,
        variance=found.variance,
        rounds=found.steps,
        converged=found.converged,
    )


def _optimum(posed: Problem, *, w: Floats, delta: Floats, variance: float, rounds: int, converged: bool) -> Optimum:
    is_flat = posed.growth is Growth.FLAT
    level = (0.0, w[0]) if is_flat else (w[0], w[1])
    beta = np.zeros(posed.features.shape[1])
    seasons = w[1 if is_flat else 2 :]
    width = int(posed.additive.sum())
    beta[posed.additive], beta[posed.multiplicative] = seasons[:width], seasons[width:]
    finite = bool(np.isfinite(w).all() and np.isfinite(delta).all() and np.isfinite(variance))
    return Optimum(
        k=float(level[0]),
        m=float(level[1]),
        delta=np.zeros(len(posed.changepoints)) if is_flat else delta,
        beta=beta,
        sigma=float(np.sqrt(variance)),
        rounds=rounds,
        converged=converged and finite,
    )
