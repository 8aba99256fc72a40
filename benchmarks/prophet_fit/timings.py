"""Owns what takes how long: both sides in turn, in one thread of one process, and medians of the ratios of pairs."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import prophet

from benchmarks.prophet_fit.cases import CMDSTAN, EXACT, Case, pose
from training.trainers.prophet_map import additive, library, optimiser
from training.trainers.prophet_map.backend import ExactBackend
from training.trainers.prophet_map.problem import Floats, hinges

SERIES = 5
AHEAD = 28
Timed = Callable[[int], object]


def daily(count: int, number: int) -> Case:
    """Return a daily series with a bending trend, a week, a year, and noise."""
    rng = np.random.default_rng([7, number])
    days = np.arange(count)
    slopes = np.cumsum(rng.laplace(0.0, 0.05, count) * (rng.random(count) < 0.01))
    seasons = rng.normal(2.0, 1.0) * np.sin(2 * np.pi * days / 7) + 3.0 * np.sin(2 * np.pi * days / 365.25)
    y = 50.0 + np.cumsum(slopes) + seasons + rng.normal(0.0, rng.uniform(0.5, 3.0), count)
    return Case(name=f"daily {number}", rows=pd.DataFrame({"ds": pd.date_range("2019-01-01", periods=count), "y": y}))


def backends(count: int, rounds: int) -> dict[str, float]:
    """Return milliseconds of a fit inside the backend, and how many times the exact one is faster."""
    problems = [pose(daily(count, number)) for number in range(SERIES)]
    exact = ExactBackend()

    def by_cmdstan(number: int) -> None:
        posed = problems[number % SERIES]
        made = prophet.models.CmdStanPyBackend()
        made.fit(posed.init, posed.data)
        made.cleanup()

    def by_us(number: int) -> None:
        posed = problems[number % SERIES]
        exact.fit(posed.init, posed.data)

    return _paired({"cmdstan": by_cmdstan, "exact": by_us}, rounds)


def fits(count: int, rounds: int) -> dict[str, float]:
    """Return the same of a whole `Prophet(...).fit(rows)`, without and with what `library.Prophet` spares."""
    return _paired({side: _fit(count, side) for side in ("cmdstan", "exact", "cached")}, rounds)


def forecasts(count: int, rounds: int) -> dict[str, float]:
    """Return the same of a fit and a forecast of history and 28 days with 1,000 draws."""
    return _paired({side: _fit(count, side, ahead=AHEAD) for side in ("cmdstan", "exact", "cached")}, rounds)


def _fit(count: int, side: str, ahead: int = 0) -> Timed:
    cases = [daily(count, number) for number in range(SERIES)]
    kind = library.Prophet if side == "cached" else prophet.Prophet
    name = CMDSTAN if side == "cmdstan" else EXACT

    def fit(number: int) -> None:
        case = cases[number % SERIES]
        model = case.model(name, kind).fit(case.rows)
        if ahead:
            model.predict(model.make_future_dataframe(ahead))
        if model.stan_backend is not None:
            model.stan_backend.cleanup()

    return fit


def _paired(sides: dict[str, Timed], rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-2, rounds):
        for name, call in sides.items():
            start = time.perf_counter()
            call(number)
            if number >= 0:
                taken[name].append(1000.0 * (time.perf_counter() - start))
    found = {f"{name}_ms": round(median(each), 3) for name, each in taken.items()}
    for name in set(sides) - {"cmdstan"}:
        ratios = [slow / fast for slow, fast in zip(taken["cmdstan"], taken[name], strict=True)]
        found[f"{name}_times_faster"] = round(median(ratios), 2)
    return dict(sorted(found.items()))


def batch(count: int, series: int, rounds: int) -> dict[str, Any]:
    """Return fits per second of CPU time, of many series on one grid; the basis of the grid is timed apart."""
    posed = pose(daily(count, 0)).problem
    y = _scaled(np.stack([daily(count, number).rows["y"].to_numpy() for number in range(series)]))
    columns, scales = optimiser.ridge_columns(posed.t, posed.features, posed.scales, posed.growth)
    start = time.process_time()
    shared = additive.basis(columns, scales, hinges(posed.t, posed.changepoints))
    basis_ms = 1000.0 * (time.process_time() - start)
    taken: list[float] = []
    for number in range(rounds + 1):
        start = time.process_time()
        fitted = additive.fit(shared, y, tau=posed.tau)
        taken += [time.process_time() - start] if number else []
    return {
        "fits_per_second": round(series / median(taken)),
        "basis_ms": round(basis_ms, 2),
        "converged": int(fitted.converged.sum()),
        "series": series,
    }


def _scaled(y: Floats) -> Floats:
    return np.asarray(y / np.abs(y).max(axis=1, keepdims=True))
