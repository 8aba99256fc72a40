"""The regressions read declared columns and wall time, and their files may hold nothing that was not foreseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import Lasso
from sklearn.svm import SVR

from tests.training.series import SOLAR, SOLAR_FEATURES, linear_rows, solar
from training import evaluation, windows
from training.trainers import sklearn
from training.trainers.base import Fitted, ForecasterUnreadable, Refused, Series
from training.trainers.sklearn import SklearnTrainer
from training.windows import Split

BOTH = pytest.mark.parametrize("trainer", [sklearn.RANDOM_FOREST, sklearn.RIDGE], ids=lambda trainer: trainer.name)


def fitted(trainer: SklearnTrainer, series: Series, **params: object) -> Fitted:
    """A fit that succeeds."""
    (fit,) = trainer.fit_many([series], params=[params], seeds=[7], grid=SOLAR)
    assert isinstance(fit, Fitted), fit
    return fit


def test_a_ridge_finds_a_linear_relation() -> None:
    rows = linear_rows(500)
    fit = fitted(sklearn.RIDGE, rows.head(400))
    answer = fit.forecaster.predict(rows.head(400), rows.slice(400, None).points())
    assert np.abs(answer.yhat - rows.target[400:]).mean() < 0.12
    assert fit.feature_importance["f0"] == pytest.approx(0.6, abs=0.02)
    assert np.isnan(answer.lower).all()


@BOTH
def test_real_power_is_explained_far_better_than_by_the_hour_of_day(trainer: SklearnTrainer) -> None:
    for site in solar().values():
        parts = windows.split(site, SOLAR)
        assert isinstance(parts, Split)
        fit = fitted(trainer, parts.train)
        scored = evaluation.predict_windows(fit.forecaster, parts.windows)
        wanted = evaluation.ToScore(scored=scored, naive=None, train=parts.train)
        [card] = evaluation.scorecards([wanted], grid=SOLAR)
        assert (card.metrics["r_squared"] or 0) > 0.95
        assert set(fit.feature_importance) == set(SOLAR_FEATURES)
        assert sum(fit.feature_importance.values()) == pytest.approx(1.0)


def test_the_calendar_is_that_of_wall_time() -> None:
    rows = linear_rows(24 * 40)
    local = (rows.times - rows.times.astype("datetime64[D]")) / np.timedelta64(1, "h")
    by_hour = replace(rows.without_features(), target=np.where(local == 18, 100.0, 0.0))
    fit = fitted(sklearn.RANDOM_FOREST, by_hour.head(900), calendar=True)
    answer = fit.forecaster.predict(by_hour, by_hour.slice(900, None).points())
    assert answer.yhat == pytest.approx(by_hour.target[900:])
    assert fit.feature_importance["hour"] > 0.99


@BOTH
def test_without_features_and_calendar_the_fit_is_refused(trainer: SklearnTrainer) -> None:
    (fit,) = trainer.fit_many([linear_rows(200).without_features()], params=[{}], seeds=[1], grid=SOLAR)
    assert isinstance(fit, Refused)
    assert (fit.code, "calendar" in fit.next_step) == ("no_features", True)


@BOTH
def test_rows_without_finite_features_are_left_out_counted_and_forecast_as_missing(trainer: SklearnTrainer) -> None:
    rows = linear_rows(300)
    rows.features[[5, 6, 290], [0, 1, 0]] = [np.nan, np.inf, np.nan]
    fit = fitted(trainer, rows.head(250))
    assert fit.warnings == ("2 rows with a feature that is not finite were left out of the fit.",)
    answer = fit.forecaster.predict(rows.head(250), rows.slice(250, None).points())
    assert np.flatnonzero(np.isnan(answer.yhat)).tolist() == [40]


@BOTH
def test_an_empty_feature_column_is_refused(trainer: SklearnTrainer) -> None:
    rows = linear_rows(200)
    rows.features[:, 1] = np.nan
    (fit,) = trainer.fit_many([rows], params=[{}], seeds=[1], grid=SOLAR)
    assert isinstance(fit, Refused)
    assert fit.code == "no_finite_features"


@BOTH
def test_other_feature_columns_than_those_fitted_are_refused(trainer: SklearnTrainer) -> None:
    rows = linear_rows(200)
    forecaster = fitted(trainer, rows).forecaster
    with pytest.raises(sklearn.FeaturesDiffer, match="Fitted on f0, f1, asked with f1, f0"):
        forecaster.predict(rows, replace(rows, feature_names=("f1", "f0")).points())


@BOTH
@pytest.mark.parametrize(
    "content",
    [
        {"estimator": SVR().fit([[0.0], [1.0]], [0.0, 1.0])},
        {"estimator": Lasso().fit([[0.0], [1.0]], [0.0, 1.0]), "feature_names": ["f0"], "calendar": False},
        {"estimator": print},
        [1, 2, 3],
    ],
)
def test_a_skops_file_of_something_else_is_refused(trainer: SklearnTrainer, content: object) -> None:
    if isinstance(content, dict):
        content = {"format": trainer.format, **content}
    with pytest.raises(ForecasterUnreadable):
        trainer.load(skops.io.dumps(content))


def test_a_forest_does_not_load_where_a_ridge_is_expected() -> None:
    data = fitted(sklearn.RANDOM_FOREST, linear_rows(200)).forecaster.dump()
    with pytest.raises(ForecasterUnreadable, match=r"sklearn\.tree\._tree\.Tree"):
        sklearn.RIDGE.load(data)


def test_a_forest_with_the_defaults_stays_small() -> None:
    data = fitted(sklearn.RANDOM_FOREST, linear_rows(2000)).forecaster.dump()
    assert len(data) < 6_000_000
