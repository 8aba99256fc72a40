"""Prophet as the library is: fits by CmdStan where that is asked for, and forecasters that were written as its JSON.

Imported only when one of the two is needed: it takes a second, and CmdStan's wrapper with it.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from training.trainers.base import Floats, ForecasterUnreadable, Points, Prediction, Series, Stamps, read_json

# Before the import: the library reports the absence of plotting, which is not wanted here, as an error, and CmdStan's
# wrapper prints two lines for each fit unless its logger has a handler.
logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
logging.getLogger("cmdstanpy").addHandler(logging.NullHandler())

from prophet import Prophet  # noqa: E402 - see above
from prophet.serialize import model_from_dict, model_to_dict  # noqa: E402

__all__ = ["FORMAT", "LibraryForecaster", "Prophet", "fit", "load"]
FORMAT = "prophet-json-1"
MOST_SEED = 2**31 - 1
# After the import, which sets it to INFO: a line for each season that a short series does without.
logging.getLogger("prophet").setLevel(logging.ERROR)
# Prophet draws from NumPy's one global generator; two threads must not interleave, nor may others notice.
_global_generator = threading.Lock()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with _global_generator:
        before = np.random.get_state()
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


@dataclass(frozen=True, kw_only=True)
class LibraryForecaster:
    """A fitted Prophet whose history is a stub: two rows with the first and last date and the mean step."""

    prophet: Any
    seed: int
    nonnegative: bool
    first: str
    last: str
    mean_step: float
    """Mean distance of two observations on Prophet's scale of time, which its uncertainty code reads."""

    def predict(self, observed: Series, at: Points) -> Prediction:
        """Return forecast and interval; equal calls give equal answers, whatever was drawn before."""
        if not len(at):
            return Prediction(yhat=np.empty(0), lower=np.empty(0), upper=np.empty(0))
        # Prophet sorts by wall time, which an hour in autumn has twice: ask for each time once, answer for each point.
        times, places = np.unique(at.times, return_inverse=True)
        with _seeded(self.seed):
            answer = self.prophet.predict(pd.DataFrame({"ds": times})).iloc[places]
        yhat = answer["yhat"].to_numpy(dtype=np.float64)
        lower, upper = self._bounds(answer, yhat)
        if self.nonnegative:
            yhat, lower, upper = (np.maximum(values, 0.0) for values in (yhat, lower, upper))
        return Prediction(yhat=yhat, lower=lower, upper=upper)

    def _bounds(self, answer: pd.DataFrame, yhat: Floats) -> tuple[Floats, Floats]:
        """Return the sampled bounds, or without samples those of the fitted noise alone, without the trend's."""
        if self.prophet.uncertainty_samples:
            return np.asarray(answer["yhat_lower"], np.float64), np.asarray(answer["yhat_upper"], np.float64)
        sigma = float(np.mean(self.prophet.params["sigma_obs"])) * self.prophet.y_scale
        reach = sigma * NormalDist().inv_cdf((1 + self.prophet.interval_width) / 2)
        return yhat - reach, yhat + reach

    def dump(self) -> bytes:
        """Return JSON without the training rows; equal forecasters give equal bytes."""
        stub = {"first": self.first, "last": self.last, "mean_step": self.mean_step}
        content = {"format": FORMAT, "seed": self.seed, "nonnegative": self.nonnegative, "history": stub}
        return json.dumps({**content, "prophet": model_to_dict(self.prophet)}, sort_keys=True).encode()


def fit(times: Stamps, target: Floats, settings: dict[str, Any], *, seed: int) -> Prophet:
    """Return a Prophet fitted by CmdStan, whose temporary files are gone afterwards."""
    folder = tempfile.mkdtemp(prefix="perennial-stan-")
    try:
        library = Prophet(**settings, uncertainty_samples=0)
        rows = pd.DataFrame({"ds": times, "y": target.copy()})
        library.fit(rows, seed=seed % MOST_SEED + 1, output_dir=folder)
        return library
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load(data: bytes) -> LibraryForecaster:
    """Return the forecaster of Prophet's JSON. Raises ForecasterUnreadable."""
    content: dict[str, Any] = read_json(data, expected=FORMAT)
    library = _library(content.get("prophet"))
    try:
        stub = content["history"]
        library.history = _stub(**stub)
        return LibraryForecaster(prophet=library, seed=content["seed"], nonnegative=content["nonnegative"], **stub)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ForecasterUnreadable(f"The fields of this {FORMAT} artifact are not its own.") from error


def _stub(first: str, last: str, mean_step: float) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.to_datetime([first, last]), "t": [0.0, mean_step]})


def _library(content: Any) -> Any:
    try:
        return model_from_dict(content)
    except Exception as error:  # A hostile file makes the library raise anything; whatever it is, it was not read.
        told = f"{type(error).__name__}: {str(error)[:200]}"
        raise ForecasterUnreadable(f"Prophet cannot read this {FORMAT} artifact: {told}.") from error
