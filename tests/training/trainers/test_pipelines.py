"""Regressions that were fitted elsewhere are read as they are, and held against what is said of their features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Lasso, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.training.series import SOLAR, a_series, linear_rows, weekly_pattern
from tests.training.trainers import pipelines_of
from tests.training.trainers.pipelines_of import NAMES, PIPELINES, ROWS, TARGET, content
from training.trainers import fitted_columns, pipelines, sklearn, table, trusted
from training.trainers.base import ForecasterFailed, ForecasterUnreadable, Points, Refused

pytestmark = pytest.mark.requirement("R01")
PAGE = Path(__file__).resolve().parents[3] / "docs" / "registering.md"


def points(rows: Any = ROWS, names: tuple[str, ...] = NAMES) -> Points:
    stamps = np.datetime64("2026-01-05T12:00", "us") + np.arange(len(rows)) * np.timedelta64(1, "h")
    return Points(instants=stamps, times=stamps, features=np.asarray(rows, dtype=np.float64), feature_names=names)


def forecast(data: bytes, at: Points) -> Any:
    return pipelines.TRAINER.load(data).predict(a_series(weekly_pattern(10)), at).yhat


@pytest.mark.parametrize("name", PIPELINES)
def test_what_was_fitted_elsewhere_is_read_and_predicts_the_same(name: str) -> None:
    estimator = pipelines_of.fitted(name)
    data = content(estimator)
    expected = estimator.predict(ROWS)
    # Threads add the trees of a forest up in any order.
    np.testing.assert_allclose(forecast(data, points()), expected, rtol=1e-12)
    again = pipelines.TRAINER.load(data).dump()
    np.testing.assert_allclose(forecast(again, points()), expected, rtol=1e-12)


LISTED = sorted(
    {name for each in (trusted.ESTIMATORS, trusted.COMPILED) for one in each.values() for name in one.split()}
)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", LISTED)
def test_every_class_of_the_list_is_read_and_predicts_the_same(name: str) -> None:
    for rows in (ROWS[:60], ROWS[:60].round().astype(np.int64)):
        estimator = clone(pipelines_of.of(name)).fit(rows, TARGET[:60])
        loaded = pipelines.TRAINER.load(content(estimator))
        loaded.try_out()
        np.testing.assert_allclose(forecast(content(estimator), points(rows)), estimator.predict(rows), rtol=1e-12)


def test_a_pipeline_fitted_on_a_table_gets_its_columns_by_name() -> None:
    frame = pd.DataFrame(ROWS, columns=list(NAMES))
    columns = ColumnTransformer([("day", OneHotEncoder(), ["weekday"]), ("rest", StandardScaler(), ["wind"])])
    estimator = make_pipeline(columns, Lasso(alpha=0.01)).fit(frame, TARGET)
    np.testing.assert_array_equal(forecast(content(estimator), points()), estimator.predict(frame))


def test_the_calendar_follows_the_columns_that_were_named() -> None:
    at = points(ROWS[:, :1], names=NAMES[:1])
    times = pd.DatetimeIndex(at.times)
    whole = np.column_stack([ROWS[:, 0], times.hour, times.day_of_week, times.month])
    estimator = Ridge().fit(whole, TARGET)
    data = content(estimator, feature_names=[NAMES[0]], calendar=True)
    np.testing.assert_array_equal(forecast(data, at), estimator.predict(whole))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"feature_names": ["a", "b"]}, "fitted on 3 columns; feature_names and calendar say a, b"),
        ({"feature_names": [*NAMES, "more"]}, "fitted on 3 columns"),
        ({"calendar": True}, "temperature, wind, weekday, hour, weekday, month"),
        ({"feature_names": []}, "no features"),
    ],
)
def test_names_that_do_not_fit_the_columns_are_refused_with_a_way_out(said: dict[str, Any], told: str) -> None:
    with pytest.raises(fitted_columns.FeatureNamesWrong, match=told) as caught:
        pipelines.TRAINER.load(content(pipelines_of.fitted("lasso"), **said))
    assert "in their order" in caught.value.next_step


def test_names_in_another_order_than_the_fitted_are_refused() -> None:
    estimator = Ridge().fit(pd.DataFrame(ROWS, columns=list(NAMES)), TARGET)
    with pytest.raises(fitted_columns.FeatureNamesWrong, match="temperature, wind, weekday; feature_names says wind"):
        pipelines.TRAINER.load(content(estimator, feature_names=["wind", "temperature", "weekday"]))


def test_the_trainers_of_this_product_hold_their_names_against_the_fit_too() -> None:
    estimator = make_pipeline(StandardScaler(), Ridge()).fit(ROWS, TARGET)
    with pytest.raises(fitted_columns.FeatureNamesWrong):
        sklearn.RIDGE.load(content(estimator, format="ridge-skops-1", feature_names=["one"]))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"feature_names": "abc"}, "no list of texts"),
        ({"feature_names": [1, 2, 3]}, "no list of texts"),
        ({"calendar": "yes"}, "neither true nor false"),
        ({"estimator": Ridge()}, "no estimator that was fitted"),
        ({"estimator": StandardScaler().fit(ROWS)}, "no regression"),
        ({"estimator": make_pipeline(StandardScaler()).fit(ROWS)}, "no regression"),
        ({"format": "ridge-skops-1"}, "not of format"),
        ({"estimator": 7}, "no estimator"),
    ],
)
def test_what_is_no_fitted_regression_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ForecasterUnreadable, match=told):
        pipelines.TRAINER.load(content(**{"estimator": pipelines_of.fitted("lasso"), **values}))


@pytest.mark.parametrize("steps", [[], "steps", 7, [("one",)], [["one", 1], ["two", 2]], [("one", None)]], ids=str)
def test_a_pipeline_of_strange_steps_is_refused(steps: Any) -> None:
    estimator = make_pipeline(StandardScaler(), Ridge()).fit(ROWS, TARGET)
    estimator.steps = steps
    with pytest.raises(ForecasterUnreadable):
        pipelines.TRAINER.load(content(estimator))


def test_strange_attributes_are_refused() -> None:
    for name, value in (("n_features_in_", "3"), ("feature_names_in_", 3), (1.5, 3)):
        estimator = Ridge().fit(ROWS, TARGET)
        vars(estimator)[name] = value
        with pytest.raises(ForecasterUnreadable):
            pipelines.TRAINER.load(content(estimator))


def test_a_file_does_not_start_processes_or_threads() -> None:
    estimator = pipelines_of.fitted("forest")
    assert estimator[-1].n_jobs == 2
    assert pipelines.TRAINER.load(content(estimator)).estimator[-1].n_jobs is None


def test_an_answer_of_another_shape_is_an_error_with_a_way_out() -> None:
    class Pairs:
        n_features_in_ = 3

        def predict(self, rows: Any) -> Any:
            return np.zeros((len(rows), 2))

    forecaster = sklearn.SklearnForecaster(estimator=Pairs(), feature_names=NAMES, calendar=False, format="any")
    with pytest.raises(ForecasterFailed, match="120 x 2 values") as caught:
        forecaster.predict(a_series(weekly_pattern(10)), points())
    assert (caught.value.code, caught.value.status) == ("forecaster_failed", 409)
    assert "retrain" in caught.value.next_step
    with pytest.raises(ForecasterUnreadable, match="4 x 2 values"):
        forecaster.try_out()


def test_a_category_that_is_new_is_an_error_with_a_way_out() -> None:
    day = ColumnTransformer([("day", OneHotEncoder(), [2])], remainder="passthrough")
    loaded = pipelines.TRAINER.load(content(make_pipeline(day, Ridge()).fit(ROWS, TARGET)))
    with pytest.raises(ForecasterFailed, match="Found unknown categories"):
        loaded.predict(a_series(weekly_pattern(10)), points(np.vstack([ROWS, [0, 0, 9]])))


def test_what_gives_no_answer_to_rows_that_were_made_up_is_no_worse_for_it() -> None:
    day = ColumnTransformer([("day", OneHotEncoder(), [2])])
    rows = ROWS + np.array([0, 0, 7])
    pipelines.TRAINER.load(content(make_pipeline(day, Ridge()).fit(rows, TARGET))).try_out()


def test_it_reads_and_fits_nothing_and_no_policy_can_name_it() -> None:
    trainer = table.find("sklearn")
    assert (trainer.name, trainer.format, trainer.kinds) == ("sklearn", "sklearn-skops-1", frozenset({"regression"}))
    assert "sklearn" not in table.names()
    assert table.format_of("sklearn").kinds == trainer.kinds
    [refused] = trainer.fit_many([linear_rows(50)], params=[{}], seeds=[1], grid=SOLAR)
    assert isinstance(refused, Refused)
    assert trainer.check_params({}) == trainer.defaults == {}


def test_the_guide_lists_what_is_accepted() -> None:
    page = PAGE.read_text()
    assert len(LISTED) > 60
    assert [name for name in LISTED if f"`{name}`" not in page] == []
    assert [name for name in trusted.FUNCTIONS if f"`{name.split('.')[-1]}`" not in page] == []
