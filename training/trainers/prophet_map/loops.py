"""`additive.minimise` in plain loops for numba: series after series, nothing allocated inside a round.

What happens here is told in `additive`, and a test holds the two against each other.
"""

from __future__ import annotations

import math

import numpy as np

from training.trainers.prophet_map.compiling import compiled
from training.trainers.prophet_map.lasso_loops import Integers, lasso
from training.trainers.prophet_map.limits import FASTEST, LEAST_DESCENT, MOST_ROUNDS, VARIANCE_TOLERANCE
from training.trainers.prophet_map.problem import LEAST_VARIANCE, Floats

Basis = tuple[Floats, Floats, Floats]
"""Eigenvalues (W,), coupling of hinges and ridge part (S, W), Gram matrix of the hinges (S, S)."""
Series = tuple[Floats, Floats, Floats, float]
"""Centre (W,), products with the ridge part (W,) and the hinges (S,), and the sum of squares, of the centred series."""


@compiled
def _project(
    basis: Basis, series: Series, variance: float, shrink: Floats, scaled: Floats, gram: Floats, pull: Floats
) -> None:
    """Fill gram and pull with the lasso that is left once the ridge part is eliminated for this variance."""
    eigenvalues, coupling, hinge_gram = basis
    centre, right, hinge_right, _ = series
    for i in range(shrink.shape[0]):
        shrink[i] = 1.0 / (eigenvalues[i] + variance)
    for j in range(pull.shape[0]):
        value = 0.0
        for i in range(shrink.shape[0]):
            scaled[i] = coupling[j, i] * shrink[i]
            value += scaled[i] * (right[i] - variance * centre[i])
        pull[j] = hinge_right[j] - value
        for other in range(j + 1):
            value = 0.0
            for i in range(shrink.shape[0]):
                value += scaled[i] * coupling[other, i]
            gram[j, other] = gram[other, j] = hinge_gram[j, other] - value


@compiled
def _spread(
    basis: Basis,
    series: Series,
    variance: float,
    shrink: Floats,
    delta: Floats,
    active: Integers,
    count: int,
    ridge: Floats,
) -> float:
    """Fill ridge with the shift of the ridge part for these changes of slope; return the residual sum of squares."""
    eigenvalues, coupling, hinge_gram = basis
    centre, right, hinge_right, rss = series
    for i in range(ridge.shape[0]):
        bent = 0.0
        for a in range(count):
            bent += coupling[active[a], i] * delta[active[a]]
        ridge[i] = shrink[i] * (right[i] - variance * centre[i] - bent)
        rss += ridge[i] * (eigenvalues[i] * ridge[i] + 2.0 * (bent - right[i]))
    for a in range(count):
        j = active[a]
        value = -2.0 * hinge_right[j]
        for b in range(count):
            value += hinge_gram[j, active[b]] * delta[active[b]]
        rss += value * delta[j]
    return rss


@compiled
def _slope(
    basis: Basis,
    series: Series,
    variance: float,
    tau: float,
    shrink: Floats,
    sign: Floats,
    active: Integers,
    count: int,
    factor: Floats,
    ridge: Floats,
    z: Floats,
) -> float:
    """Return the derivative of the residual sum of squares by the variance, those in use held."""
    _, coupling, _ = basis
    centre, _, _, _ = series
    total = 0.0
    for i in range(ridge.shape[0]):
        total += shrink[i] * (centre[i] + ridge[i]) ** 2
    for a in range(count):
        value = sign[active[a]] / tau
        for i in range(ridge.shape[0]):
            value -= coupling[active[a], i] * shrink[i] * (centre[i] + ridge[i])
        for b in range(a):
            value -= factor[a, b] * z[b]
        z[a] = value / factor[a, a]
        total += z[a] ** 2
    return 2.0 * variance * total


@compiled
def _next_variance(variance: float, rss: float, slope: float, observations: int) -> float:
    """Return the next variance: Newton's where that is safe, else the root for these residuals."""
    root = 2.0 * rss / (observations + math.sqrt(observations**2 + 16.0 * max(rss, 0.0)))
    denominator = 8.0 * variance + observations - slope
    step = variance - (4.0 * variance**2 + observations * variance - rss) / denominator
    if denominator < LEAST_DESCENT * observations or not variance / FASTEST < step < variance * FASTEST:
        step = root
    return max(step, LEAST_VARIANCE)


@compiled
def minimise(
    basis: Basis,
    centre: Floats,
    right: Floats,
    hinge_right: Floats,
    rss: Floats,
    observations: int,
    tau: float,
    variance: Floats,
    delta: Floats,
    ridge: Floats,
    rounds: Integers,
) -> None:
    """Fit n series on one basis. Arrays have a row for each; see `additive.Centred`.

    `variance` and `delta` are the start and become the answer, `ridge` is filled; `rounds` is negative where it fails.
    """
    size, width = hinge_right.shape[1], centre.shape[1]
    gram, factor = np.empty((size, size)), np.empty((size, size))
    pull, sign, z, active = np.empty(size), np.empty(size), np.empty(size), np.empty(size, np.int64)
    shrink, scaled = np.empty(width), np.empty(width)
    for n in range(centre.shape[0]):
        series = (centre[n], right[n], hinge_right[n], rss[n])
        rounds[n] = -1
        for each in range(1, MOST_ROUNDS + 1):
            before = variance[n]
            _project(basis, series, before, shrink, scaled, gram, pull)
            count = lasso(gram, pull, before / tau, delta[n], sign, active, factor, z)
            if count < 0:
                break
            found = _spread(basis, series, before, shrink, delta[n], active, count, ridge[n])
            slope = _slope(basis, series, before, tau, shrink, sign, active, count, factor, ridge[n], z)
            variance[n] = _next_variance(before, found, slope, observations)
            if abs(variance[n] - before) <= VARIANCE_TOLERANCE * before:
                rounds[n] = each
                break
