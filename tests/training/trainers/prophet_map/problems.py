"""Problems for the optimiser: real series, and those that were made to break one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.prophet_fit.cases import Case, Posed, pose
from tests.training.series import bakery

Rows = pd.DataFrame
RNG = np.random.default_rng


def days(y: Any, *, start: str = "2020-03-02", freq: str = "D") -> Rows:
    """Rows of a series without gaps."""
    values = np.asarray(y, dtype=np.float64)
    return pd.DataFrame({"ds": pd.date_range(start, periods=len(values), freq=freq), "y": values})


def walk(count: int, *, seed: int = 3) -> Any:
    """A trend that bends, a week, and noise."""
    rng = RNG(seed)
    bends = np.cumsum(np.cumsum(rng.normal(size=count) * (rng.random(count) < 0.02))) * 0.1
    return 20 + bends + 2 * np.sin(2 * np.pi * np.arange(count) / 7) + rng.normal(size=count)


def real(name: str = "store00_roll") -> Rows:
    """A series of the bakery."""
    series = bakery()[name]
    return pd.DataFrame({"ds": series.times, "y": series.target}).dropna(ignore_index=True)


def cases() -> dict[str, Case]:
    """All of them, by what is special of each."""
    long, rng = walk(900), RNG(5)
    gaps = days(long)
    gaps = gaps.loc[(rng.random(len(gaps)) > 0.3) & ~gaps.index.isin(range(300, 420))].reset_index(drop=True)
    constant = np.where((np.arange(400) // 100) % 2 == 0, 7.0, walk(400))
    capped = days(20 / (1 + np.exp(-np.linspace(-3, 4, 300))) + RNG(6).normal(size=300)).assign(cap=24.0)
    twice = days(walk(120)).assign(x=0.0)["ds"].iloc[[20, 20, 20, 50, 50, 80]].tolist()
    product = {"seasonality_mode": "multiplicative"}
    found = [
        Case(name="real", rows=real()),
        Case(name="real, multiplicative", rows=real(), settings=product),
        Case(name="nearly dead", rows=real("store02_seeded_roll")),
        Case(name="flat", rows=real(), settings={"growth": "flat"}),
        Case(name="flat, multiplicative", rows=real(), settings={"growth": "flat", **product}),
        Case(name="logistic", rows=capped, settings={"growth": "logistic"}),
        Case(name="logistic, multiplicative", rows=capped, settings={"growth": "logistic", **product}),
        Case(name="short", rows=days(walk(40))),
        Case(name="gaps", rows=gaps),
        Case(name="constant pieces", rows=days(constant)),
        Case(name="large numbers", rows=days(6e8 + 1e3 * walk(200)), settings={"scaling": "absmax"}),
        Case(name="changepoints on one day", rows=days(walk(120)), settings={"changepoints": twice}),
        Case(name="more columns than rows", rows=days(walk(30)), settings={"yearly_seasonality": 20}),
        Case(name="no changepoints", rows=days(walk(200)), settings={"n_changepoints": 0}),
        Case(name="many changepoints", rows=days(long), settings={"n_changepoints": 300, "changepoint_range": 1.0}),
        Case(name="loose", rows=days(walk(300)), settings={"changepoint_prior_scale": 10.0}),
        Case(name="stiff", rows=days(walk(300)), settings={"changepoint_prior_scale": 1e-9}),
    ]
    return {case.name: case for case in found}


def posed(name: str) -> Posed:
    """One of them as Prophet poses it."""
    return pose(cases()[name])
