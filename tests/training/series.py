"""Series, grids and rows for the tests of what is pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from tests.training import pieces
from training.policy_terms import Expectations
from training.trainers.base import Floats, Grid, Series

DATA = Path(__file__).parents[1] / "data"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAILY = Grid(frequency="D", horizon=7, season_length=7)
BAKERY = Grid(frequency="D", horizon=14, season_length=7)
SOLAR = Grid(frequency="h", horizon=24, season_length=24, kind="regression", time_zone="America/Denver")
SOLAR_FEATURES = ("expected_kw", "poa_wm2", "temp_amb_c", "wind_speed_ms", "temp_mod_c")
ANYTHING = Expectations(maximum_gap_ratio=1.0, maximum_missing_ratio=1.0)


def a_series(
    values: Sequence[float] | Floats,
    *,
    grid: Grid = DAILY,
    start: str = "2025-01-06",
    features: Floats | None = None,
    entity: str = "store-1",
) -> Series:
    """A series without gaps; features are numbered f0, f1, ..."""
    instants = pd.date_range(start, periods=len(values), freq=grid.step).to_numpy(dtype="datetime64[us]")
    columns = np.empty((len(values), 0)) if features is None else np.asarray(features, dtype=np.float64)
    return Series(
        entity=entity,
        instants=instants,
        times=grid.local(instants),
        target=np.asarray(values, dtype=np.float64),
        features=columns,
        feature_names=tuple(f"f{place}" for place in range(columns.shape[1])),
    )


def weekly_pattern(weeks: int, *, noise: float = 1.0, seed: int = 3) -> Floats:
    """Daily values with a weekly season and some noise."""
    season = np.tile([10.0, 12.0, 14.0, 13.0, 20.0, 30.0, 4.0], weeks)
    return np.asarray(season + noise * np.random.default_rng(seed).normal(size=7 * weeks))


def linear_rows(count: int, *, grid: Grid = SOLAR, seed: int = 3) -> Series:
    """A regression whose target is a linear function of two features, and some noise."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 2))
    target = 3 * features[:, 0] - 2 * features[:, 1] + 5 + 0.1 * random.normal(size=count)
    return a_series(target, grid=grid, features=features)


def bakery() -> dict[str, Series]:
    """Three real daily series of demand, one of them nearly dead."""
    rows = pd.read_csv(DATA / "bakery_3_series.csv")
    return pieces.series(rows, time="ds", target="y", entity="series_id", source="bakery", grid=BAKERY)


def solar() -> dict[str, Series]:
    """Two real sites with sensors, 60 days of daylight hours."""
    rows = pd.read_csv(DATA / "solar_2_sites_60_days.csv")
    return pieces.series(
        rows,
        time="ds",
        target="generated_kw",
        entity="site_id",
        features=SOLAR_FEATURES,
        source="solar",
        declared_zone="America/Denver",
        grid=SOLAR,
    )
