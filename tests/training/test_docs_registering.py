"""The code of docs/registering.md makes files that trainers here read, and that forecast as their models do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry.models import Fleet, ModelVersion
from tests import factories
from tests.training.series import a_series, weekly_pattern
from training import forecasting, inspection
from training.trainers.base import Points

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server"), pytest.mark.requirement("R01")]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "registering.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the blocks of Python on the page define."""
    known: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S):
        exec(compile(block, str(PAGE), "exec"), known)
    return known


def admitted(version: ModelVersion) -> ModelVersion:
    found = inspection.inspect(now=lambda: factories.NOW)
    assert (found.admitted, found.turned_away) == (1, {})
    return ModelVersion.objects.get(pk=version.pk)


def test_a_prophet_model_of_a_notebook_becomes_a_ready_version(page: dict[str, Any]) -> None:
    days = pd.date_range("2026-01-01", periods=120)
    model = Prophet(weekly_seasonality=True, daily_seasonality=False, yearly_seasonality=False, uncertainty_samples=0)
    model.fit(pd.DataFrame({"ds": days, "y": 10.0 + np.arange(120) % 7}), seed=1)
    future = pd.date_range(days[-1] + pd.Timedelta(days=1), periods=7)
    expected = model.predict(pd.DataFrame({"ds": future}))["yhat"].to_numpy()
    factories.fleet(name="bakery")
    said = {"format": "prophet-json-1", "metrics": {"mae": 0.5}}
    version = admitted(page["register"]("bakery", "bread", page["prophet_bytes"](model), **said))
    stamps = future.to_numpy().astype("datetime64[us]")
    at = Points(instants=stamps, times=stamps, features=np.empty((7, 0)))
    found = forecasting.load(version).predict(a_series(weekly_pattern(10)), at).yhat
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("last", [Ridge(), GradientBoostingRegressor(n_estimators=3)], ids=repr)
def test_a_pipeline_of_a_notebook_becomes_a_ready_version(page: dict[str, Any], last: Any) -> None:
    rows = np.arange(20.0).reshape(-1, 1)
    pipeline = make_pipeline(StandardScaler(), last).fit(rows, rows.ravel() * 2)
    Fleet.objects.filter(pk=factories.fleet(name="solar").pk).update(kind="regression")
    content = page["sklearn_bytes"](pipeline, ["power"])
    version = admitted(page["register"]("solar", "plant", content, format="sklearn-skops-1"))
    stamps = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[us]")
    at = Points(instants=stamps, times=stamps, features=np.array([[3.0], [4.0]]), feature_names=("power",))
    found = forecasting.load(version).predict(a_series(weekly_pattern(10)), at).yhat
    np.testing.assert_allclose(found, pipeline.predict([[3.0], [4.0]]))
