"""Fits series on the same stamps by one recipe together: one layout, one basis, one answer for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.trainers.prophet_map import additive, blocks, optimiser
from training.trainers.prophet_map.forecaster import Manner, ProphetForecaster
from training.trainers.prophet_map.layout import Layout, Settings, Stamps, lay_out
from training.trainers.prophet_map.problem import Floats, Growth, Optimum, Problem

CONSTANT_SIGMA = 1e-9
"""What Prophet gives a constant series, which it does not fit."""
CACHED = 8
"""Bases kept: the train part, the front of it, all rows, and the same for another fleet."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is decided before the data are seen."""

    settings: Settings
    multiplicative: bool
    changepoint_scale: float
    season_scale: float
    interval_width: float
    trend_uncertain: bool
    nonnegative: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """How one series came out."""

    forecaster: ProphetForecaster | None
    """None where the optimiser found no finite optimum, or its rounds ran out."""
    iterations: int
    importance: Mapping[str, float]
    """Share of each component in the spread that trend and seasons have over the history; sums to 1, or is empty."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ground:
    """What the stamps and the recipe decide, for all series on them."""

    layout: Layout
    t: Floats
    bends: Floats
    seasons: Floats
    basis: additive.Basis
    spreads: Mapping[str, tuple[slice, Floats]]
    """For each component the columns of (slope, changes of slope, seasons) that make it, and their covariance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """The optima of n series, a row for each."""

    k: Floats
    m: Floats
    delta: Floats
    beta: Floats
    sigma: Floats
    rounds: NDArray[np.int64]
    converged: NDArray[np.bool_]


def fit(times: Stamps, targets: Floats, recipe: Recipe) -> list[Fit]:
    """Fit each row of targets (n, T), finite, observed at times (T,), sorted and without repetition."""
    ground = _ground(times.astype("datetime64[us]").tobytes(), recipe)
    scale = np.abs(targets).max(axis=1)
    scale[scale == 0.0] = 1.0
    y = targets / scale[:, None]
    found = _constant(ground, y)
    moving = np.flatnonzero(targets.max(axis=1) != targets.min(axis=1))
    if len(moving):
        _put(found, moving, (_searched if recipe.multiplicative else _solved)(ground, y[moving], recipe))
    return _told(ground, found, scale, recipe)


def warm_up() -> None:
    """Load what the first fit would wait for: compiled loops, and at the very first start their compilation."""
    settings = Settings(growth="linear", n_changepoints=2, changepoint_range=0.8)
    recipe = Recipe(
        settings=settings,
        multiplicative=False,
        changepoint_scale=0.05,
        season_scale=10.0,
        interval_width=0.8,
        trend_uncertain=True,
        nonnegative=False,
    )
    days = np.arange(21).astype("datetime64[D]").astype("datetime64[us]")
    fit(days, np.sin(np.arange(21.0))[None, :], recipe)


@lru_cache(maxsize=CACHED)
def _ground(stamps: bytes, recipe: Recipe) -> _Ground:
    times = np.frombuffer(stamps, dtype="datetime64[us]")
    layout = lay_out(times, recipe.settings)
    t, bends, seasons = layout.scaled(times), layout.bends(times), layout.columns(times)
    scales = np.full(seasons.shape[1], recipe.season_scale)
    columns, deviations = optimiser.ridge_columns(t, seasons, scales, layout.growth)
    return _Ground(
        layout=layout,
        t=t,
        bends=bends,
        seasons=seasons,
        basis=additive.basis(columns, deviations, bends),
        spreads=_spreads(layout, t, bends, seasons),
    )


def _spreads(layout: Layout, t: Floats, bends: Floats, seasons: Floats) -> dict[str, tuple[slice, Floats]]:
    level = np.column_stack([t, bends])
    ends = np.cumsum([level.shape[1], *(2 * season.order for season in layout.seasons)])
    names = ["trend", *(season.name for season in layout.seasons)]
    columns = np.column_stack([level, seasons])
    starts = [0, *ends[:-1]]
    parts = {name: slice(int(start), int(end)) for name, start, end in zip(names, starts, ends, strict=True)}
    return {name: (part, _covariance(columns[:, part])) for name, part in parts.items()}


def _covariance(columns: Floats) -> Floats:
    apart = columns - columns.mean(axis=0)
    return np.asarray(apart.T @ apart / len(columns))


def _constant(ground: _Ground, y: Floats) -> _Found:
    """Return what Prophet says of constant series; of the others it is overwritten."""
    n, bends = len(y), len(ground.layout.bends_at)
    return _Found(
        k=np.zeros(n),
        m=y[:, 0].copy(),
        delta=np.zeros((n, bends)),
        beta=np.zeros((n, ground.seasons.shape[1])),
        sigma=np.full(n, CONSTANT_SIGMA),
        rounds=np.zeros(n, dtype=np.int64),
        converged=np.ones(n, dtype=np.bool_),
    )


def _put(all_of_them: _Found, places: NDArray[np.intp], some: _Found) -> None:
    for name in ("k", "m", "delta", "beta", "sigma", "rounds", "converged"):
        getattr(all_of_them, name)[places] = getattr(some, name)


def _solved(ground: _Ground, y: Floats, recipe: Recipe) -> _Found:
    """Fit additive seasons, all series at once."""
    fits = additive.fit(ground.basis, y, tau=recipe.changepoint_scale)
    is_flat = ground.layout.growth is Growth.FLAT
    w = fits.parameters
    return _Found(
        k=np.zeros(len(y)) if is_flat else w[:, 0],
        m=w[:, 0] if is_flat else w[:, 1],
        delta=np.zeros((len(y), len(ground.layout.bends_at))) if is_flat else fits.delta,
        beta=w[:, 1 if is_flat else 2 :],
        sigma=np.sqrt(fits.variance),
        rounds=np.abs(fits.rounds),
        converged=fits.converged & np.isfinite(w).all(axis=1) & np.isfinite(fits.delta).all(axis=1),
    )


def _searched(ground: _Ground, y: Floats, recipe: Recipe) -> _Found:
    """Fit multiplicative seasons, one series after the other: each step has its own Gram matrix."""
    found = [_optimum(ground, row, recipe) for row in y]
    return _Found(
        k=np.array([each.k for each in found]),
        m=np.array([each.m for each in found]),
        delta=np.array([each.delta for each in found]),
        beta=np.array([each.beta for each in found]),
        sigma=np.array([each.sigma for each in found]),
        rounds=np.array([each.rounds for each in found], dtype=np.int64),
        converged=np.array([each.converged for each in found]),
    )


def _optimum(ground: _Ground, y: Floats, recipe: Recipe) -> Optimum:
    width = ground.seasons.shape[1]
    posed = Problem(
        y=y,
        t=ground.t,
        cap=np.zeros_like(y),
        changepoints=ground.layout.bends_at,
        features=ground.seasons,
        additive=np.zeros(width, dtype=np.bool_),
        multiplicative=np.ones(width, dtype=np.bool_),
        scales=np.full(width, recipe.season_scale),
        tau=recipe.changepoint_scale,
        growth=ground.layout.growth,
    )
    is_flat = ground.layout.growth is Growth.FLAT
    slope = 0.0 if is_flat else float(y[-1] - y[0])
    return optimiser.optimise(posed, k=slope, m=float(y.mean()) if is_flat else float(y[0]))


def _told(ground: _Ground, found: _Found, scale: Floats, recipe: Recipe) -> list[Fit]:
    shared = _manner(ground.layout, recipe)
    shares = _shares(ground, found.k, found.m, found.delta, found.beta, recipe)
    k, delta = found.k, found.delta
    if not ground.layout.changepoints:
        # The one change that Prophet puts at the start is a part of the slope.
        k, delta = k + delta[:, 0], np.zeros_like(delta)
    return [
        Fit(
            forecaster=ProphetForecaster(
                manner=shared,
                k=float(k[n]),
                m=float(found.m[n]),
                delta=delta[n],
                beta=found.beta[n],
                sigma=float(found.sigma[n]),
                y_scale=float(scale[n]),
            )
            if found.converged[n]
            else None,
            iterations=int(found.rounds[n]),
            importance=shares[n],
        )
        for n in range(len(scale))
    ]


def manner(times: Stamps, recipe: Recipe) -> Manner:
    """Return the manner of what is fitted on these stamps by this recipe."""
    return _manner(lay_out(times, recipe.settings), recipe)


def _manner(layout: Layout, recipe: Recipe) -> Manner:
    return Manner(
        layout=layout,
        multiplicative=recipe.multiplicative,
        interval_width=recipe.interval_width,
        trend_uncertain=recipe.trend_uncertain,
        nonnegative=recipe.nonnegative,
    )


def importance(times: Stamps, recipe: Recipe, made: ProphetForecaster) -> Mapping[str, float]:
    """Return the shares of the components of a forecaster that was fitted on these stamps, as `fit` tells them."""
    ground = _ground(times.astype("datetime64[us]").tobytes(), recipe)
    k, m = np.array([made.k]), np.array([made.m])
    return _shares(ground, k, m, made.delta[None, :], made.beta[None, :], recipe)[0]


def _shares(
    ground: _Ground, k: Floats, m: Floats, delta: Floats, beta: Floats, recipe: Recipe
) -> Sequence[Mapping[str, float]]:
    """Return for each series the share of each component in the sum of their standard deviations over the history."""
    bent = delta[:, : ground.bends.shape[1]]
    weights = np.column_stack([k, bent, beta])
    spread = np.column_stack([_deviation(weights[:, part], known) for part, known in ground.spreads.values()])
    if recipe.multiplicative:
        trend = k[:, None] * ground.t + m[:, None] + blocks.product(bent, ground.bends.T)
        spread[:, 1:] *= np.abs(trend).mean(axis=1, keepdims=True)
    total, names = spread.sum(axis=1), list(ground.spreads)
    return [
        dict(zip(names, (row / whole).tolist(), strict=True)) if whole > 0 else {}
        for row, whole in zip(spread, total, strict=True)
    ]


def _deviation(weights: Floats, covariance: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", weights, covariance, weights, optimize=False), 0.0)))
