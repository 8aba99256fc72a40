"""The calendar of a fleet: steps, horizon, season and wall time. Pure; leaves all calendar arithmetic to pandas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from registry.errors import Invalid

Stamps = NDArray[np.datetime64]

ONE_DAY = pd.Timedelta(days=1)
HOURS_OF_BUSINESS = ("bh", "cbh")


class GridInvalid(Invalid):
    """The frequency, horizon, season or zone of a fleet cannot be used."""

    code = "grid_invalid"
    next_step = "Write a pandas offset alias such as D, h, 15min, W-MON or MS, steps of at least 1, and an IANA zone."


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The calendar of a fleet: one step, how many ahead, how many make a season, and the zone of wall time."""

    frequency: str
    horizon: int = 1
    season_length: int = 1
    kind: str = "forecast"
    """`forecast` or `regression`."""
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.season_length < 1:
            raise GridInvalid(f"Horizon {self.horizon} and season {self.season_length} must be at least one step.")
        if self.kind not in ("forecast", "regression"):
            raise GridInvalid(f"Kind {self.kind!r} is neither forecast nor regression.")
        if self.step.rule_code.split("-")[0] in HOURS_OF_BUSINESS or self.step.n < 1:
            raise GridInvalid(f"Frequency {self.frequency!r} is not a regular calendar.")
        try:
            pd.Timestamp(0, tz=self.time_zone)
        except (KeyError, ValueError, OSError) as error:
            raise GridInvalid(f"Time zone {self.time_zone!r} is unknown.") from error

    @cached_property
    def step(self) -> pd.offsets.BaseOffset:
        """Return one step as a pandas offset. Raises GridInvalid."""
        try:
            return pd.tseries.frequencies.to_offset(self.frequency)
        except (ValueError, TypeError) as error:
            raise GridInvalid(f"Frequency {self.frequency!r} is not a pandas offset alias.") from error

    @cached_property
    def dated(self) -> bool:
        """Whether the series has dates (daily or coarser), which are never converted between zones."""
        return not isinstance(self.step, pd.offsets.Tick) or pd.Timedelta(self.step) >= ONE_DAY

    def shift(self, stamps: Stamps, steps: int) -> Stamps:
        """Return the stamps moved by so many steps of the calendar; instants and dates alike."""
        return plain(pd.DatetimeIndex(stamps) + steps * self.step)

    def after(self, last: np.datetime64, count: int) -> Stamps:
        """Return the next `count` stamps after `last`, which lies on the grid."""
        return plain(pd.date_range(pd.Timestamp(last), periods=count + 1, freq=self.step)[1:])

    def count(self, first: np.datetime64, last: np.datetime64) -> int:
        """Return how many stamps the calendar has from first to last, both counted."""
        if self.dated:
            return len(self.calendar(first, last))
        return int((last - first) // self.width) + 1

    def calendar(self, first: np.datetime64, last: np.datetime64) -> Stamps:
        """Return the stamps from first to last; mind `count` before asking for many."""
        return plain(pd.date_range(pd.Timestamp(first), pd.Timestamp(last), freq=self.step))

    def aligned(self, stamps: Stamps) -> NDArray[np.bool_]:
        """Return which of the sorted stamps lie on the calendar that begins with the first of them."""
        if self.dated:
            return np.isin(stamps, self.calendar(stamps[0], stamps[-1]))
        return np.asarray((stamps - stamps[0]) % self.width == np.timedelta64(0, "us"))

    def steps(self, anchor: np.datetime64, stamps: Stamps) -> NDArray[np.int64]:
        """Return the whole steps from the anchor to each stamp, negative before it."""
        if not self.dated:
            return np.asarray((stamps - anchor) // self.width, dtype=np.int64)
        calendar = self.calendar(min(anchor, stamps.min()), max(anchor, stamps.max()))
        places = np.searchsorted(calendar, stamps, side="right")
        return np.asarray(places - np.searchsorted(calendar, anchor, side="right"), dtype=np.int64)

    @cached_property
    def width(self) -> np.timedelta64:
        """Return the length of one step; only a step finer than a day has one."""
        width: np.timedelta64 = np.diff(self.after(np.datetime64(0, "us"), 2))[0]
        return width

    def local(self, instants: Stamps) -> Stamps:
        """Return what trainers see: wall time in the fleet's zone, naive; dates stay as they are."""
        if self.dated:
            return instants
        return plain(pd.DatetimeIndex(instants).tz_localize("UTC").tz_convert(self.time_zone).tz_localize(None))


def plain(index: pd.DatetimeIndex) -> Stamps:
    """Return naive stamps in microseconds, the one unit that is used inside."""
    return np.asarray(index.to_numpy(), dtype="datetime64[us]")
