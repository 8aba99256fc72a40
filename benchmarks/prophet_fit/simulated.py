"""Owns simulated series: trends that bend, seasons, gaps, heavy tails, steps, counts. The same for the same number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.prophet_fit.cases import Case

FREQUENCIES = ("D", "D", "D", "D", "W", "MS", "h")
PRIORS = (0.001, 0.01, 0.05, 0.05, 0.1, 0.5)
LEAST_ROWS, MOST_ROWS = 100, 1500
SHORT_SHARE = 0.08
Generator = np.random.Generator
Floats = NDArray[np.float64]


def case(number: int) -> Case:
    """Return one series with settings: a third multiplicative, a seventh logistic, a tenth flat, some short."""
    rng = np.random.default_rng([20, number])
    frequency = str(rng.choice(FREQUENCIES))
    count = _count(rng, frequency)
    growth = str(rng.choice(["linear", "logistic", "flat"], p=[0.76, 0.14, 0.10]))
    mode = str(rng.choice(["additive", "multiplicative"], p=[0.67, 0.33]))
    times = pd.date_range("2019-03-04", periods=count, freq=frequency)
    y = _disturbed(rng, _level(rng, times, growth=growth, mode=mode))
    rows = pd.DataFrame({"ds": times, "y": y})
    if growth == "logistic":
        rows["cap"] = max(float(rows["y"].max()), 1.0) * float(rng.uniform(1.05, 2.0))
    settings: dict[str, Any] = {
        "growth": growth,
        "seasonality_mode": mode,
        "changepoint_prior_scale": float(rng.choice(PRIORS)),
        "n_changepoints": int(rng.choice([25, 25, 25, 10, 0, 60])),
    }
    return Case(name=f"simulated {number}", rows=_gapped(rng, rows), settings=settings)


def _count(rng: Generator, frequency: str) -> int:
    if rng.random() < SHORT_SHARE:
        return int(rng.integers(20, LEAST_ROWS))
    most = {"D": MOST_ROWS, "W": 400, "MS": 240, "h": MOST_ROWS}[frequency]
    return int(np.exp(rng.uniform(np.log(LEAST_ROWS), np.log(most))))


def _level(rng: Generator, times: pd.DatetimeIndex, *, growth: str, mode: str) -> Floats:
    t = np.linspace(0.0, 1.0, len(times))
    bends, changes = np.sort(rng.uniform(0.0, 0.9, 4)), rng.laplace(0.0, 8.0, 4)
    trend = 10.0 + rng.normal(0.0, 5.0) * t + np.maximum(t[:, None] - bends, 0.0) @ changes
    if growth == "logistic":
        trend = 20.0 / (1.0 + np.exp(-rng.uniform(2.0, 9.0) * (t - rng.uniform(0.2, 0.8))))
    elif growth == "flat":
        trend = np.full(len(times), 10.0)
    days = np.asarray((times - pd.Timestamp("1970-01-01")).total_seconds(), dtype=np.float64) / 86400.0
    seasons = sum(_wave(rng, days, period) for period in (365.25, 7.0, 1.0))
    return np.asarray(trend * (1.0 + 0.1 * seasons) if mode == "multiplicative" else trend + seasons)


def _wave(rng: Generator, days: Floats, period: float) -> Floats:
    size, phase = rng.gamma(1.5, 0.6), rng.uniform(0.0, 2 * np.pi, 2)
    angle = 2 * np.pi * days / period
    return np.asarray(size * (np.sin(angle + phase[0]) + 0.4 * np.sin(2 * angle + phase[1])))


def _disturbed(rng: Generator, y: Floats) -> Floats:
    kind, size = rng.integers(0, 6), rng.gamma(1.5, 0.5)
    noise = rng.standard_t(3, len(y)) if kind == 0 else rng.normal(size=len(y))
    if kind == 1:
        y = y + np.where(np.arange(len(y)) > rng.integers(1, len(y)), rng.normal(0.0, 4.0), 0.0)
    if kind == 2:
        return rng.poisson(np.maximum(y, 0.0) / 2.0).astype(np.float64)
    if kind == 3:
        walk = np.cumsum(rng.normal(0.0, 0.2, len(y)))
        return np.asarray(y + walk + size * noise)
    return np.asarray((y + size * noise) * (10.0 ** float(rng.integers(-2, 5)) if kind == 4 else 1.0))


def _gapped(rng: Generator, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows, of every fourth series without some of them and of every eighth without a stretch."""
    kind = rng.integers(0, 8)
    keep = np.ones(len(rows), dtype=bool)
    if kind < 2:
        keep = rng.random(len(rows)) > 0.15
    elif kind == 2:
        start = int(rng.integers(1, max(len(rows) - 10, 2)))
        keep[start : start + len(rows) // 6] = False
    keep[[0, -1]] = True
    return rows[keep].reset_index(drop=True)
