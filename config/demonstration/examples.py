"""Owns the demo's copies of the examples: data files that grow with each delivery. Leaves the examples alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parents[2] / "examples"

Reader = Callable[[Path], pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example fleet, and the last days of the deliveries that its data comes in."""

    name: str
    data: str
    days: tuple[date, ...]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What the demo's copy of an example holds now."""

    fleet_file: Path
    through: date
    rows: int
    is_new: bool
    """Whether rows came; without, everything had been delivered before."""


# Four weeks, or a month, at a time: two deliveries for a first demo, two for a second; later ones find nothing new.
EXAMPLES = (
    Example(
        name="bakery",
        data="bakery_daily.parquet",
        days=(date(2019, 2, 5), date(2019, 3, 5), date(2019, 4, 2), date(2019, 4, 30)),
    ),
    Example(
        name="solar",
        data="solar_hourly_2sites.csv",
        days=(date(2018, 12, 31), date(2019, 1, 31), date(2019, 2, 28), date(2019, 3, 31)),
    ),
)


def deliver(example: Example, *, into: Path) -> Delivery:
    """Bring the next piece of data into the copy below `into`, which is made at the first delivery."""
    folder = into / example.name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(FOLDER / example.name / "fleet.toml", folder / "fleet.toml")
    copy = folder / example.data
    delivered = _last_day(copy) if copy.exists() else date.min
    through = next((day for day in example.days if day > delivered), delivered)
    whole = _read(FOLDER / example.name / example.data)
    arrived = whole[_days(whole) <= through.isoformat()]
    if through != delivered:
        _write(arrived, copy)
    return Delivery(fleet_file=folder / "fleet.toml", through=through, rows=len(arrived), is_new=through != delivered)


def _last_day(path: Path) -> date:
    return date.fromisoformat(_days(_read(path)).max())


def _read(path: Path) -> pd.DataFrame:
    # Text stays text, so that what is written is what was read.
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)


def _days(frame: pd.DataFrame) -> pd.Series[str]:
    return frame["ds"].astype(str).str[:10]


def _write(frame: pd.DataFrame, path: Path) -> None:
    """Write by rename: a worker that reads meanwhile sees the file before or after, never half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    if path.suffix == ".parquet":
        frame.to_parquet(aside, index=False)
    else:
        frame.to_csv(aside, index=False)
    aside.replace(path)
