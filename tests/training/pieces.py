"""The normal form of frames, read in pieces as a source is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any
from unittest import mock

import pandas as pd
import pyarrow.parquet

from training import dataset, gathering, panels, sources
from training.normal_form import Rules
from training.trainers.base import Grid, Series


class Frame:
    """A frame that is read as a file is, in pieces of these sizes; what is over comes in one."""

    def __init__(self, frame: pd.DataFrame, sizes: Sequence[int] = ()) -> None:
        self._frame, self._sizes = frame, sizes
        self.names: Sequence[str] = list(frame.columns)

    def pieces(self, columns: Sequence[str], *, keys: Sequence[str]) -> Any:
        """See source_files.Opened."""
        first = 0
        for size in [*self._sizes, len(self._frame)]:
            yield self._frame[list(columns)].iloc[first : first + size]
            first += size


def normalise(frame: pd.DataFrame, *, sizes: Sequence[int] = (), bucket_rows: int = 7, **given: Any) -> pd.DataFrame:
    """Return the normal form as one frame. Raises what `sources.write` raises."""
    rules = Rules(**given)
    with tempfile.TemporaryFile() as file, mock.patch.object(gathering, "BUCKET_ROWS", bucket_rows):
        sources._write(Frame(frame, sizes), rules, file)
        found: pd.DataFrame = pyarrow.parquet.read_table(file).to_pandas()
    return found


def series(frame: pd.DataFrame, *, grid: Grid, **given: Any) -> dict[str, Series]:
    """Return the series of a frame, through the file that a snapshot is."""
    rules = Rules(grid=grid, **given)
    with tempfile.TemporaryFile() as file:
        sources._write(Frame(frame), rules, file)
        return dataset.series_of(panels.read(*sources.opened_rows(file)), grid)
