"""The contract of trainers and forecasters, and the values that pass between them. Pure; knows no trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from registry.errors import Conflict, Corrupted, Invalid, PerennialError
from training.trainers.grid import Grid, Stamps

__all__ = [
    "Asked",
    "Fitted",
    "Floats",
    "Forecaster",
    "ForecasterFailed",
    "ForecasterUnreadable",
    "Grid",
    "Params",
    "ParamsInvalid",
    "Points",
    "Prediction",
    "Refused",
    "Series",
    "Stamps",
    "Trainer",
    "Triable",
    "point_only",
    "read_json",
]

Floats = NDArray[np.float64]
Params = Mapping[str, object]


class ParamsInvalid(Invalid):
    """A parameter is unknown to the trainer, or its value is not allowed."""

    code = "params_invalid"
    next_step = "Correct the parameter in the policy's trainers."


class ForecasterUnreadable(Corrupted):
    """The bytes are not those of a forecaster of this trainer."""

    code = "forecaster_unreadable"
    next_step = "Roll back to another version, or retrain this model."
    tells_sender: ClassVar[bool] = False
    """Whether the next step is a way out for whoever sends it too, and not only where it serves."""


class ForecasterFailed(Conflict):
    """A forecaster that was read gives no answer for these points."""

    code = "forecaster_failed"
    next_step = "Look for what is new in these points, then retrain this model or roll back to another version."


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Where to predict: n stamps, with the k features where the series has them."""

    instants: Stamps
    """UTC; for daily or coarser fleets the dates at midnight. (n,)"""
    times: Stamps
    """The fleet's wall time, naive; equal to `instants` for daily or coarser. (n,)"""
    features: Floats
    """(n, k); k is 0 for the future of a forecast."""
    feature_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.instants)


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """One entity's observations, sorted by time; stamps are unique once `dataset.validate` has accepted it."""

    entity: str
    instants: Stamps
    times: Stamps
    target: Floats
    """(n,), in the fleet's unit; finite once validated."""
    features: Floats
    feature_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.instants)

    def select(self, rows: NDArray[np.bool_] | slice) -> Series:
        """Return the rows that a mask or a slice picks; nothing is copied for a slice."""
        return Series(
            entity=self.entity,
            instants=self.instants[rows],
            times=self.times[rows],
            target=self.target[rows],
            features=self.features[rows],
            feature_names=self.feature_names,
        )

    def slice(self, start: int | None, stop: int | None) -> Series:
        """Return rows start to stop, as Python slices count."""
        return self.select(slice(start, stop))

    def head(self, count: int) -> Series:
        """Return the first rows."""
        return self.slice(0, count)

    def until(self, cutoff: np.datetime64) -> Series:
        """Return the rows up to and including the cutoff."""
        return self.head(int(np.searchsorted(self.instants, cutoff, side="right")))

    def without_features(self) -> Series:
        """Return the series with no feature columns, as forecasts see it."""
        return replace(self, features=np.empty((len(self), 0)), feature_names=())

    def points(self) -> Points:
        """Return the stamps and features, without the target."""
        return Points(
            instants=self.instants, times=self.times, features=self.features, feature_names=self.feature_names
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """One value for each point; bounds are NaN where the trainer gives none."""

    yhat: Floats
    lower: Floats
    upper: Floats


def point_only(yhat: Floats) -> Prediction:
    """Return a prediction without an interval."""
    missing = np.full(len(yhat), np.nan)
    return Prediction(yhat=np.asarray(yhat, dtype=np.float64), lower=missing, upper=missing.copy())


class Forecaster(Protocol):
    """What a trainer fitted."""

    def predict(self, observed: Series, at: Points) -> Prediction:
        """Predict the points, knowing the observations up to the cutoff; equal calls give equal answers."""
        ...

    def dump(self) -> bytes:
        """Return the bytes that the trainer's `load` reads; never pickle."""
        ...


@runtime_checkable
class Triable(Protocol):
    """A forecaster whose library walks through what came from elsewhere, in compiled code."""

    def try_out(self) -> None:
        """Predict a few rows, in a process that may die of it. Raises ForecasterUnreadable."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fit that succeeded."""

    forecaster: Forecaster
    params: Params
    """All parameters in force, defaults included."""
    feature_importance: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, object] = field(default_factory=dict)
    """How the fit came about, kept with the version: plain JSON."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why this one series was not taken further; the others of the chunk go on."""

    code: str
    sentence: str
    next_step: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """One question: what a forecaster says of points, knowing the observations up to the cutoff."""

    forecaster: Forecaster
    observed: Series
    at: Points


class Trainer(Protocol):
    """A recipe. To add one: a module with this class, a row in `table`, and the contract test runs over it."""

    name: str
    kinds: frozenset[str]
    format: str
    """Name of the artifact format, such as `prophet-json`."""
    defaults: Params

    def check_params(self, params: Params) -> Params:
        """Return the parameters completed by defaults. Raises ParamsInvalid naming the key and what is allowed."""
        ...

    def fit_many(
        self, train: Sequence[Series], *, params: Sequence[Params], seeds: Sequence[int], grid: Grid
    ) -> list[Fitted | Refused]:
        """Fit each series; one outcome for each in order, never an exception but MemoryError and time limits."""
        ...

    def predict_many(self, asked: Sequence[Asked]) -> list[Prediction | PerennialError]:
        """Answer each question, in order, as `predict` of its forecaster does; what that raises is the answer."""
        ...

    def load(self, data: bytes) -> Forecaster:
        """Return the forecaster. Raises ForecasterUnreadable for foreign bytes, before anything is executed."""
        ...


def read_json(data: bytes, *, expected: str) -> dict[str, object]:
    """Return the object of a JSON artifact of the expected format. Raises ForecasterUnreadable."""
    try:
        loaded = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ForecasterUnreadable(f"These {len(data)} bytes are not JSON of format {expected}.") from error
    if not isinstance(loaded, dict) or loaded.get("format") != expected:
        raise ForecasterUnreadable(f"These {len(data)} bytes are not of format {expected}.")
    return loaded
