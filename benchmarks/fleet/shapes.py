"""Owns the series: level, weekly pattern and slow trend of a real one, its own residuals drawn anew by blocks, scaled.

Any number of them, the same ones each time; a block of some hundred is in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

REAL = Path(__file__).resolve().parents[2] / "examples" / "bakery" / "bakery_daily.parquet"
SAID = (
    "No series is a real one. Each has the level, the weekly pattern and the slow trend (a mean over 91 days) of one of"
    " the twelve daily series of a bakery chain in examples/bakery, their last 730 days; its residuals are drawn from"
    " that series by moving blocks of 14 days, all of it is scaled, and rounded to whole units of at least 0."
)
POINTS = 730
WEEK, TREND_DAYS, BLOCK_DAYS = 7, 91, 14
SPREAD = 0.4
"""Standard deviation of the logarithm of the scale."""
AT_ONCE = 500
SEED = 20190430

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Some series, their entity keys sorted: n keys, their stamps, (n, 730) values."""

    keys: list[str]
    days: NDArray[np.datetime64]
    values: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shapes:
    """The real series taken apart, each (12, 730)."""

    days: NDArray[np.datetime64]
    expected: Floats
    residuals: Floats


def write(path: Path, *, models: int) -> Iterator[Block]:
    """Write a Parquet file sorted by entity, block by block, and yield each block when it is written."""
    schema = pa.schema(
        [("product", pa.dictionary(pa.int32(), pa.string())), ("day", pa.date32()), ("sold", pa.float64())]
    )
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, models, AT_ONCE):
            block = made(first, number=min(AT_ONCE, models - first))
            writer.write_table(_table(block, schema))
            yield block


def made(first: int, *, number: int) -> Block:
    """Return so many series from the given one on; the same whatever was made before."""
    shapes = _shapes()
    drawn = np.random.default_rng([SEED, first])
    which = drawn.integers(len(shapes.expected), size=number)
    starts = drawn.integers(POINTS - BLOCK_DAYS + 1, size=(number, -(-POINTS // BLOCK_DAYS)))
    places = (starts[:, :, None] + np.arange(BLOCK_DAYS)).reshape(number, -1)[:, :POINTS]
    scale = np.exp(SPREAD * drawn.standard_normal(number))[:, None]
    values = scale * (shapes.expected[which] + shapes.residuals[which[:, None], places])
    keys = [f"item-{place:07}" for place in range(first, first + number)]
    return Block(keys=keys, days=shapes.days, values=np.rint(np.maximum(values, 0.0)))


@cache
def _shapes() -> _Shapes:
    real = pd.read_parquet(REAL).pivot(index="ds", columns="series_id", values="y").iloc[-POINTS:]
    trend = real.rolling(TREND_DAYS, center=True, min_periods=TREND_DAYS // 2).mean()
    weekday = np.asarray(pd.DatetimeIndex(real.index).day_of_week)
    share = real.groupby(weekday).mean() / real.mean()
    expected = trend.to_numpy() * share.to_numpy()[weekday]
    return _Shapes(
        days=real.index.to_numpy().astype("datetime64[D]"),
        expected=expected.T,
        residuals=(real.to_numpy() - expected).T,
    )


def _table(block: Block, schema: pa.Schema) -> pa.Table:
    places = np.repeat(np.arange(len(block.keys), dtype=np.int32), len(block.days))
    entity = pa.DictionaryArray.from_arrays(places, pa.array(block.keys, pa.string()))
    return pa.Table.from_arrays(
        [entity, pa.array(np.tile(block.days, len(block.keys))), pa.array(block.values.ravel())], schema=schema
    )
