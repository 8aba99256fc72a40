"""The exact optimum where the mean is linear in all parameters: linear or flat trend, additive seasons. Pure.

For a fixed variance v of the noise the rest is a ridge (level, slope, seasons) and a lasso (changes of slope) on one
Gram matrix; v itself solves one equation, by Newton's method. In the coordinates x of the eigenvectors of the ridge
part, in which its prior is the identity, nothing that hangs on v costs more than a product with a diagonal, and all of
it is the same for every series on the same stamps: a `Basis`.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from training.trainers.prophet_map import blocks, lasso
from training.trainers.prophet_map.limits import (
    CENTRE_TOLERANCE,
    FASTEST,
    LEAST_DESCENT,
    LEAST_EIGENVALUE,
    MOST_CENTRES,
    MOST_ROUNDS,
    VARIANCE_TOLERANCE,
)
from training.trainers.prophet_map.problem import LEAST_VARIANCE, Floats, noise_variance

logger = logging.getLogger(__name__)
COMPILED = importlib.util.find_spec("numba") is not None
"""Whether numba is installed (the extra `fast`); without it the same is computed by NumPy, some 20 times slower."""
START_SHARE = 1e-3
"""Of the mean square of a series, the variance from which its rounds start."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """What series on the same T stamps share: W ridge columns in their own coordinates, S hinges."""

    ridge: Floats
    """(T, W) the ridge columns in coordinates where they are orthogonal and their prior is the identity."""
    hinges: Floats
    """(T, S)"""
    back: Floats
    """(W, W) from those coordinates to the parameters."""
    eigenvalues: Floats
    """(W,) squared lengths of the ridge columns."""
    coupling: Floats
    """(S, W) products of hinges and ridge columns."""
    hinge_gram: Floats
    """(S, S)"""
    across: Floats
    """(W, T) the ridge columns once more, laid out for the way back."""
    bent: Floats
    """(S, T) likewise the hinges."""

    def __len__(self) -> int:
        return len(self.ridge)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fits:
    """The optima of n series, in their order, on Prophet's scales."""

    parameters: Floats
    """(n, W) of the ridge columns as they were given."""
    delta: Floats
    """(n, S)"""
    variance: Floats
    """(n,) of the noise."""
    rounds: np.ndarray[tuple[int], np.dtype[np.int64]]
    """(n,) rounds over the variance."""
    converged: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """(n,)"""


def basis(columns: Floats, scales: Floats, bends: Floats) -> Basis:
    """Return the basis of ridge columns (T, W) with prior standard deviations (W,), and hinges (T, S)."""
    scaled = columns * scales
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    ridge = scaled @ vectors
    least = LEAST_EIGENVALUE * float(values.max(initial=0.0))
    return Basis(
        ridge=ridge,
        hinges=bends,
        back=scales[:, None] * vectors,
        eigenvalues=np.maximum(values, least),
        coupling=np.ascontiguousarray(bends.T @ ridge),
        hinge_gram=np.ascontiguousarray(bends.T @ bends),
        across=np.ascontiguousarray(ridge.T),
        bent=np.ascontiguousarray(bends.T),
    )


def fit(shared: Basis, y: Floats, *, tau: float) -> Fits:
    """Fit n series y (n, T), each on the scale where its largest target is 1; the same whatever stands beside it."""
    variance = np.maximum(START_SHARE * np.square(y).mean(axis=1), LEAST_VARIANCE)
    centre = blocks.product(y, shared.ridge) / (shared.eigenvalues + variance[:, None])
    delta = np.zeros((len(y), len(shared.hinge_gram)))
    rounds = np.zeros(len(y), dtype=np.int64)
    variance = noise_variance(_squares(y - blocks.product(centre, shared.across)), y.shape[1])
    waiting = np.arange(len(y))
    for _ in range(MOST_CENTRES):
        done = _centred(shared, y[waiting], centre[waiting], delta[waiting], variance[waiting], tau=tau)
        centre[waiting], delta[waiting], variance[waiting] = done.centre, done.delta, done.variance
        rounds[waiting] = np.where(done.rounds < 0, done.rounds, rounds[waiting] + done.rounds)
        waiting = waiting[done.is_off & (done.rounds > 0)]
        if not len(waiting):
            break
    # Data that are fitted exactly: nothing is better, and rounding may keep the last rounds from ending.
    is_exact = variance <= LEAST_VARIANCE
    converged = ((rounds > 0) | is_exact) & np.isfinite(variance)
    converged[waiting] = is_exact[waiting]
    return Fits(
        parameters=blocks.product(centre, shared.back.T),
        delta=delta,
        variance=variance,
        rounds=np.abs(rounds),
        converged=converged,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Centred:
    """n series less what a first ridge fit says, so that none of their digits is lost in the products."""

    centre: Floats
    """(n, W) that first fit."""
    right: Floats
    """(n, W) products with the ridge columns."""
    hinge_right: Floats
    """(n, S) products with the hinges."""
    rss: Floats
    """(n,) sums of squares."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Done:
    centre: Floats
    delta: Floats
    variance: Floats
    rounds: np.ndarray[tuple[int], np.dtype[np.int64]]
    is_off: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Whether the variance differs from that of the residuals, so that the products had too few digits."""


def _centred(shared: Basis, y: Floats, centre: Floats, delta: Floats, variance: Floats, *, tau: float) -> _Done:
    residual = y - blocks.product(centre, shared.across)
    series = Centred(
        centre=centre,
        right=blocks.product(residual, shared.ridge),
        hinge_right=blocks.product(residual, shared.hinges),
        rss=_squares(residual),
    )
    shift, delta, variance, rounds = minimise(shared, series, tau=tau, variance=variance, delta=delta)
    left = residual - blocks.product(shift, shared.across) - blocks.product(delta, shared.bent)
    seen = noise_variance(_squares(left), y.shape[1])
    is_off = np.abs(seen - variance) > CENTRE_TOLERANCE * variance
    return _Done(centre=centre + shift, delta=delta, variance=seen, rounds=rounds, is_off=is_off)


def _squares(values: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->i", values, values))


Minimum = tuple[Floats, Floats, Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]


def minimise(shared: Basis, series: Centred, *, tau: float, variance: Floats, delta: Floats) -> Minimum:
    """Return shift of the centre (n, W), delta (n, S), variance (n,) and rounds (n,), negative where a fit fails.

    `variance` and `delta` are where to start.
    """
    loops = _loops() if COMPILED else None
    if loops is None:
        return _minimise_each(shared, series, tau, variance, delta)
    return _minimise_compiled(loops, shared, series, tau, variance, delta)


@cache
def _loops() -> ModuleType | None:
    """Return the compiled loops; None where numba refuses to be imported, as beside a NumPy that it does not know."""
    # Here and not above: numba is an extra, and takes a second to import.
    try:
        from training.trainers.prophet_map import loops
    except ImportError as error:
        logger.warning("Prophet's models are fitted without numba, more slowly: %s", error)
        return None
    return loops


def _minimise_compiled(
    loops: ModuleType, shared: Basis, series: Centred, tau: float, variance: Floats, delta: Floats
) -> Minimum:
    shift, rounds = np.empty_like(series.centre), np.empty(len(variance), dtype=np.int64)
    variance, delta = variance.copy(), delta.copy()
    basis = (shared.eigenvalues, shared.coupling, shared.hinge_gram)
    loops.minimise(
        basis,
        series.centre,
        series.right,
        series.hinge_right,
        series.rss,
        len(shared),
        tau,
        variance,
        delta,
        shift,
        rounds,
    )
    return shift, delta, variance, rounds


def _minimise_each(shared: Basis, series: Centred, tau: float, variance: Floats, delta: Floats) -> Minimum:
    found = [_minimise_one(shared, series, n, tau, float(variance[n]), delta[n]) for n in range(len(variance))]
    shifts, deltas, variances, rounds = zip(*found, strict=True)
    return np.array(shifts), np.array(deltas), np.array(variances), np.array(rounds, dtype=np.int64)


def _minimise_one(
    shared: Basis, series: Centred, n: int, tau: float, variance: float, delta: Floats
) -> tuple[Floats, Floats, float, int]:
    centre, right, hinge_right = series.centre[n], series.right[n], series.hinge_right[n]
    shift = np.zeros_like(centre)
    for each in range(1, MOST_ROUNDS + 1):
        shrink = 1.0 / (shared.eigenvalues + variance)
        wanted = right - variance * centre
        scaled = shared.coupling * shrink
        gram = shared.hinge_gram - scaled @ shared.coupling.T
        found = lasso.minimise(gram, hinge_right - scaled @ wanted, variance / tau, delta)
        if found is None:
            return shift, delta, variance, -1
        delta = found
        bent = delta @ shared.coupling
        shift = shrink * (wanted - bent)
        ridge_part = float(shift @ (shared.eigenvalues * shift + 2.0 * (bent - right)))
        rss = float(series.rss[n]) + ridge_part + float(delta @ (shared.hinge_gram @ delta - 2.0 * hinge_right))
        slope = _slope(shared, gram, shrink, centre + shift, delta, variance, tau)
        before, variance = variance, _next_variance(variance, rss, slope, len(shared))
        if abs(variance - before) <= VARIANCE_TOLERANCE * before:
            return shift, delta, variance, each
    return shift, delta, variance, -1


def _slope(
    shared: Basis, gram: Floats, shrink: Floats, ridge: Floats, delta: Floats, variance: float, tau: float
) -> float:
    """Return the derivative of the residual sum of squares by the variance, those in use held.

    From the optimality conditions, differentiated by v: 2 v (|x|^2 in the metric of `shrink` + u' gram^-1 u), where u
    is the pull of the prior on those in use less what the ridge part takes of it. NaN where that cannot be solved.
    """
    active = np.flatnonzero(delta)
    total = float(shrink @ np.square(ridge))
    if len(active):
        pull = np.sign(delta[active]) / tau - shared.coupling[active] @ (shrink * ridge)
        solved = lasso.solve(gram, pull, active)
        total = np.nan if solved is None else total + float(pull @ solved)
    return 2.0 * variance * total


def _next_variance(variance: float, rss: float, slope: float, count: int) -> float:
    """Return the next variance: Newton's where that is safe, else the root for these residuals."""
    root = float(noise_variance(max(rss, 0.0), count))
    denominator = 8.0 * variance + count - slope
    if denominator < LEAST_DESCENT * count:
        return root
    step = variance - (4.0 * variance**2 + count * variance - rss) / denominator
    return max(step, LEAST_VARIANCE) if variance / FASTEST < step < variance * FASTEST else root


def damped(
    shared: Basis, series: Centred, *, damping: float, tau: float, variance: float, delta: Floats
) -> tuple[Floats, Floats] | None:
    """Return shift (W,) and delta (S,) of one series for a variance, held back in proportion to the Gram's diagonal.

    After Levenberg: the shift towards 0, and delta towards what is given. None where it fails.
    """
    shrink = 1.0 / (shared.eigenvalues * (1.0 + damping) + variance)
    wanted = series.right[0] - variance * series.centre[0]
    held = damping * np.diag(shared.hinge_gram)
    scaled = shared.coupling * shrink
    gram = shared.hinge_gram + np.diag(held) - scaled @ shared.coupling.T
    found = lasso.minimise(gram, series.hinge_right[0] + held * delta - scaled @ wanted, variance / tau, delta)
    return None if found is None else (shrink * (wanted - found @ shared.coupling), found)
