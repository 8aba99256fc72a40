"""The library itself: CmdStan leaves no file and no message behind, and its JSON of before is read as it was."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import cmdstanpy
import numpy as np
import pandas as pd
import pytest
from prophet import Prophet
from prophet.serialize import model_to_dict

from tests.training.series import BAKERY, a_series, bakery, weekly_pattern
from training import windows
from training.trainers import prophet, prophet_cmdstan
from training.trainers.base import Fitted, ForecasterUnreadable, Grid, Series


def written(series: Series, *, seed: int = 7, **params: Any) -> tuple[Prophet, bytes]:
    """A Prophet that the library fitted, and the JSON of it that earlier releases stored."""
    library: Any = Prophet(uncertainty_samples=200, **params)
    library.fit(pd.DataFrame({"ds": series.times, "y": series.target}), seed=8)
    first, last = (pd.Timestamp(library.history["ds"].iloc[place]).isoformat() for place in (0, -1))
    stub = {"first": first, "last": last, "mean_step": float(np.diff(library.history["t"]).mean())}
    content = {"format": "prophet-json-1", "seed": seed, "nonnegative": False, "history": stub}
    return library, json.dumps({**content, "prophet": model_to_dict(library)}).encode()


@pytest.mark.parametrize("params", [{}, {"growth": "flat"}, {"seasonality_mode": "multiplicative"}])
@pytest.mark.parametrize("steps", [1, 14])
def test_what_was_written_as_the_librarys_json_forecasts_what_it_did(steps: int, params: dict[str, Any]) -> None:
    series = bakery()["store00_roll"]
    ahead = windows.future(series, Grid(frequency="D", horizon=steps))
    library, data = written(series, **params)
    np.random.seed(7)
    whole = library.predict(pd.DataFrame({"ds": ahead.times}))
    read = prophet.TRAINER.load(data)
    for answer in (read.predict(series, ahead), prophet.TRAINER.load(read.dump()).predict(series, ahead)):
        for ours, theirs in (("yhat", "yhat"), ("lower", "yhat_lower"), ("upper", "yhat_upper")):
            assert np.array_equal(getattr(answer, ours), whole[theirs].to_numpy())


def test_the_random_numbers_of_others_are_not_disturbed() -> None:
    series = a_series(weekly_pattern(20))
    read = prophet.TRAINER.load(written(series)[1])
    ahead = windows.future(series, Grid(frequency="D", horizon=7))
    np.random.seed(1)
    expected = np.random.random(3)
    np.random.seed(1)
    first = read.predict(series, ahead)
    assert np.array_equal(np.random.random(3), expected)
    assert np.array_equal(first.upper, read.predict(series, ahead).upper)


def test_json_of_the_right_format_with_other_fields_is_refused() -> None:
    with pytest.raises(ForecasterUnreadable):
        prophet.TRAINER.load(json.dumps({"format": prophet_cmdstan.FORMAT, "prophet": {}}).encode())


def test_no_file_is_left_behind_and_nothing_is_said(
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def by_cmdstan() -> None:
        series = a_series(weekly_pattern(20))
        [fit] = prophet.TRAINER.fit_many([series], params=[{"optimizer": "cmdstan"}], seeds=[7], grid=BAKERY)
        assert isinstance(fit, Fitted)

    by_cmdstan()  # Loads the library, which makes a folder for the life of the process.
    of_the_process = Path(cmdstanpy._TMPDIR)
    before = set(of_the_process.rglob("*"))
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with caplog.at_level(logging.INFO):
        by_cmdstan()
    assert list(folder.iterdir()) == []
    assert set(of_the_process.rglob("*")) <= before
    assert (caplog.records, *capfd.readouterr()) == ([], "", "")
