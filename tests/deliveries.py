"""Bundles and forecasters as they come from elsewhere, sound ones and hostile ones."""

from __future__ import annotations

import json
from typing import Any

from registry import bundle
from registry.bundle import Bundle
from registry.bundle.tables import Table
from registry.exchange.deliveries import Delivery

NAIVE = "seasonal-naive-json-1"
PREDICTIONS = Table(
    columns=("window", "time", "actual", "yhat"),
    rows=tuple((n // 7, f"2026-02-{n % 28 + 1:02d}", float(n), n + 0.5) for n in range(150)),
)


def forecaster(**values: Any) -> bytes:
    """The bytes of a seasonal naive that its trainer reads."""
    grid = {"kind": "forecast", "frequency": "D", "horizon": 7, "season_length": 7, "time_zone": "UTC"}
    fields = {"grid": grid, "low": -1.0, "high": 1.0, "mean": 5.0, "anchor": "2026-01-01T00:00:00", "means": []}
    return json.dumps({"format": NAIVE, **fields, **values}, sort_keys=True).encode()


def packed(**values: Any) -> bytes:
    """A packed bundle with predictions, importance and metadata."""
    metadata = {
        "trainer": "seasonal_naive",
        "data_start": "2026-01-01T00:00:00.000000",
        "train_end": "2026-02-20T00:00:00.000000",
        "fit_end": "2026-02-27T00:00:00.000000",
        "metrics": {"mae": 1.25, "mase": None},
        "features": ["promo"],
        "params": {"interval_width": 0.8},
        "seed": 7,
        "library_versions": {"numpy": "2.4.0"},
    }
    defaults: dict[str, Any] = {
        "format": NAIVE,
        "forecaster": forecaster(),
        "metadata": metadata,
        "feature_importance": {"trend": 0.25, "weekly": 0.75},
        "validation": PREDICTIONS,
        "test": PREDICTIONS,
    }
    return bundle.pack(Bundle(**{**defaults, **values}))


def delivery(*, entity: str = "bread", **values: Any) -> Delivery:
    """A delivery of a packed bundle."""
    return Delivery(**{"entity": entity, "bundle": packed(), **values})
