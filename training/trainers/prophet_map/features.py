"""Owns the feature tables of dates that were asked for lately, so that equal dates cost them once. Bounded.

Half of the time that Prophet takes to fit is spent on these tables, three times for a fit and a forecast, and
they hang on the dates and on how seasons and holidays are set alone. Tables that hang on more are made anew.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

ENTRIES = 64
MOST_BYTES = 2 * 1024**2
"""Of one table; larger ones take longer to use than to make."""

Features = tuple[pd.DataFrame, list[float], pd.DataFrame, dict[Any, list[str]]]
Entry = tuple[Features, pd.Series | None]
"""With the names of the holidays that were met, which Prophet notes while it makes the first table."""


class Cache:
    """Tables by what they are made of, the least recently used first out. Safe for threads."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._found: OrderedDict[Hashable, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._found)

    def find(self, key: Hashable) -> Entry | None:
        """Return the tables for a key, with copies of what callers may change; None where there are none."""
        with self._lock:
            found = self._found.get(key)
            if found is None:
                return None
            self._found.move_to_end(key)
        return copied(found)

    def keep(self, key: Hashable, entry: Entry) -> None:
        """Keep tables, unless they are too large."""
        if sum(int(table.memory_usage().sum()) for table in (entry[0][0], entry[0][2])) > MOST_BYTES:
            return
        with self._lock:
            self._found[key] = copied(entry)
            self._found.move_to_end(key)
            while len(self._found) > self._entries:
                self._found.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._found.clear()


def copied(entry: Entry) -> Entry:
    """Return the same values in frames and lists of their own; pandas copies what is written to only then."""
    (features, scales, components, modes), names = entry
    own = (features.copy(deep=False), list(scales), components.copy(deep=False))
    return (*own, {mode: list(each) for mode, each in modes.items()}), None if names is None else names.copy(deep=False)


def key_of(model: Any, dates: pd.Series, holidays: Hashable) -> Hashable | None:
    """Return what the tables of these dates are made of; None where they hang on more than that."""
    seasons = tuple((name, tuple(each.items())) for name, each in model.seasonalities.items())
    if model.extra_regressors or any(each["condition_name"] is not None for each in model.seasonalities.values()):
        return None
    trained, names = model.train_component_cols, model.train_holiday_names
    return (
        type(model),
        _digest(dates),
        seasons,
        holidays,
        model.country_holidays,
        (model.holidays_prior_scale, model.holidays_mode, model.seasonality_mode),
        None if names is None else tuple(names),
        None if trained is None else (tuple(trained.columns), trained.to_numpy().tobytes()),
    )


def mark(holidays: pd.DataFrame | None) -> Hashable:
    """Return what tells one table of holidays from another."""
    if holidays is None:
        return None
    kinds = tuple((str(name), str(kind)) for name, kind in holidays.dtypes.items())
    return kinds, hashlib.sha256(holidays.to_csv().encode()).digest()


def _digest(dates: pd.Series) -> Hashable:
    values = np.ascontiguousarray(dates.to_numpy())
    return str(dates.dtype), hashlib.blake2b(values.tobytes(), digest_size=32).digest()
