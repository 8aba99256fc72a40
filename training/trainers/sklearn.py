"""The regressions of scikit-learn: `random_forest` and `ridge`, stored by skops with fixed lists of trusted types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from billiard.exceptions import SoftTimeLimitExceeded
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from registry.errors import Invalid, PerennialError
from training.trainers import fitted_columns, rules, skops_files, trusted
from training.trainers.base import (
    Asked,
    Fitted,
    Floats,
    ForecasterFailed,
    ForecasterUnreadable,
    Grid,
    Params,
    Points,
    Prediction,
    Refused,
    Series,
    Stamps,
    point_only,
)
from training.trainers.each import fit_each, predict_each

CALENDAR = ("hour", "weekday", "month")
MOST_SEED = 2**32
TRIED_ROWS = 2


class FeaturesDiffer(Invalid):
    """The points have other feature columns than those that were fitted."""

    code = "features_differ"
    next_step = "Restore the source's feature columns, or retrain this model on those there are."


@dataclass(frozen=True, kw_only=True)
class SklearnForecaster:
    """A fitted estimator and the columns that it reads, in order."""

    estimator: Any
    feature_names: tuple[str, ...]
    calendar: bool
    format: str

    def predict(self, observed: Series, at: Points) -> Prediction:
        """Return one value for each point, NaN where a feature is not finite.

        Raises FeaturesDiffer, ForecasterFailed.
        """
        if tuple(at.feature_names) != self.feature_names:
            fitted, asked = (fitted_columns.listed(names) for names in (self.feature_names, at.feature_names))
            raise FeaturesDiffer(f"Fitted on {fitted}, asked with {asked}.")
        columns = _columns(at.features, at.times, calendar=self.calendar)
        whole = np.isfinite(columns).all(axis=1)
        yhat = np.full(len(at), np.nan)
        if whole.any():
            yhat[whole] = _values(self._answer(columns[whole]), int(whole.sum()))
        return point_only(yhat)

    def try_out(self) -> None:
        """Predict a few rows. Raises ForecasterUnreadable where it gives other than one number for each.

        That it gives none says nothing: it may know the categories alone that it was fitted on.
        """
        count, _ = fitted_columns.fitted_on(self.estimator)
        rows = np.vstack([np.zeros((TRIED_ROWS, count)), np.ones((TRIED_ROWS, count))])
        try:
            answer = self._answer(rows)
        except ForecasterFailed:
            return
        try:
            _values(answer, len(rows))
        except ForecasterFailed as error:
            raise ForecasterUnreadable(error.sentence) from error

    def _answer(self, columns: Floats) -> Any:
        try:
            return self.estimator.predict(self._named(columns))
        except (MemoryError, SoftTimeLimitExceeded):
            raise
        except Exception as error:  # What was fitted elsewhere raises anything; a category that is new, for one.
            told = f"{type(error).__name__}: {str(error)[:300]}"
            raise ForecasterFailed(f"The regression gives no answer for {len(columns)} points: {told}") from error

    def _named(self, columns: Floats) -> Any:
        """Return the columns as the estimator saw them; one fitted on names may choose its columns by them."""
        names = getattr(self.estimator, "feature_names_in_", None)
        return columns if names is None else pd.DataFrame(columns, columns=list(names))

    def dump(self) -> bytes:
        """Return the skops file; its bytes differ from dump to dump, its forecasts do not."""
        return bytes(
            skops.io.dumps(
                {
                    "format": self.format,
                    "estimator": self.estimator,
                    "feature_names": list(self.feature_names),
                    "calendar": self.calendar,
                }
            )
        )


@dataclass(frozen=True, kw_only=True)
class SklearnTrainer:
    """One kind of estimator with its parameters, and which kinds of objects its files may hold."""

    name: str
    format: str
    rules: Mapping[str, rules.Rule]
    build: Callable[[Params, int], Any]
    importance: Callable[[Any], Floats]
    kind: type
    trusted: trusted.Kinds
    kinds: frozenset[str] = frozenset({"regression"})

    @property
    def defaults(self) -> Params:
        """Return the default of each parameter."""
        return rules.defaults(self.rules)

    def check_params(self, params: Params) -> Params:
        """Return the parameters completed by defaults. Raises ParamsInvalid."""
        return rules.complete(self.rules, params, trainer=self.name)

    def fit_many(
        self, train: Sequence[Series], *, params: Sequence[Params], seeds: Sequence[int], grid: Grid
    ) -> list[Fitted | Refused]:
        """Fit each series on the rows whose features are finite; the others are counted in a warning."""
        return fit_each(train, params, seeds, self._fit)

    def _fit(self, series: Series, wanted: Params, seed: int) -> Fitted | Refused:
        params = self.check_params(wanted)
        calendar = bool(params["calendar"])
        columns = _columns(series.features, series.times, calendar=calendar)
        whole: NDArray[np.bool_] = np.asarray(np.isfinite(columns).all(axis=1))
        if refused := _unfit(series, columns, whole):
            return refused
        estimator = self.build(params, seed % MOST_SEED).fit(columns[whole], series.target[whole])
        names = (*series.feature_names, *(CALENDAR if calendar else ()))
        lost = int((~whole).sum())
        return Fitted(
            forecaster=SklearnForecaster(
                estimator=estimator, feature_names=series.feature_names, calendar=calendar, format=self.format
            ),
            params=params,
            feature_importance=_shares(names, self.importance(estimator)),
            warnings=(f"{lost} rows with a feature that is not finite were left out of the fit.",) if lost else (),
        )

    def predict_many(self, asked: Sequence[Asked]) -> list[Prediction | PerennialError]:
        """Answer one after the other."""
        return predict_each(asked)

    def load(self, data: bytes) -> SklearnForecaster:
        """Return the forecaster, if every object in the file is on the fixed list. Raises ForecasterUnreadable."""
        forecaster = read(data, kinds=self.trusted, format=self.format)
        if not isinstance(forecaster.estimator, self.kind):
            raise ForecasterUnreadable(f"The bytes hold no {self.kind.__name__}.")
        return forecaster


def read(data: bytes, *, kinds: trusted.Kinds, format: str) -> SklearnForecaster:
    """Return the forecaster of a skops file, whatever its estimator is. Raises ForecasterUnreadable."""
    content = skops_files.load(data, kinds=kinds, format=format)
    if not isinstance(content, dict) or content.get("format") != format:
        raise ForecasterUnreadable(f"The bytes are not of format {format}.")
    names, calendar = content.get("feature_names"), content.get("calendar")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or type(calendar) is not bool:
        raise ForecasterUnreadable("feature_names is no list of texts, or calendar neither true nor false.")
    estimator = content.get("estimator")
    fitted_columns.check([*names, *(CALENDAR if calendar else ())], estimator)
    return SklearnForecaster(estimator=estimator, feature_names=tuple(names), calendar=calendar, format=format)


def _values(answer: Any, count: int) -> Floats:
    """Return one number for each point. Raises ForecasterFailed."""
    found = np.asarray(answer)
    if found.shape not in ((count,), (count, 1)) or found.dtype.kind not in "biuf":
        shape = " x ".join(map(str, found.shape)) or "no"
        raise ForecasterFailed(f"The regression gives {shape} values of type {found.dtype} for {count} points.")
    return found.reshape(count).astype(np.float64)


def _unfit(series: Series, columns: Floats, whole: NDArray[np.bool_]) -> Refused | None:
    if not columns.shape[1]:
        return Refused(
            code="no_features",
            sentence=f"{series.entity} has no feature columns, a regression needs one.",
            next_step="Declare features in the source, or set the trainer's parameter calendar to true.",
        )
    if whole.sum() < 2:
        return Refused(
            code="no_finite_features",
            sentence=f"Only {int(whole.sum())} of {len(series)} rows of {series.entity} have finite features.",
            next_step="Repair or leave out the feature column that is empty.",
        )
    return None


def _columns(features: Floats, times: Stamps, *, calendar: bool) -> Floats:
    """Return the declared columns, and with `calendar` hour, weekday (0 is Monday) and month of wall time."""
    if not calendar:
        return features
    local = pd.DatetimeIndex(times)
    added = np.column_stack([local.hour, local.day_of_week, local.month]).astype(np.float64)
    return np.hstack([features, added])


def _shares(names: Sequence[str], weights: Floats) -> Mapping[str, float]:
    total = float(np.sum(weights))
    return {name: float(weight) / total for name, weight in zip(names, weights, strict=True)} if total > 0 else {}


def _forest(params: Params, seed: int) -> Any:
    settings = {key: value for key, value in params.items() if key != "calendar"}
    return RandomForestRegressor(**settings, n_jobs=1, random_state=seed)


def _ridge(params: Params, seed: int) -> Any:
    ridge = Ridge(alpha=float(str(params["alpha"])), random_state=seed)
    return Pipeline([("scale", StandardScaler()), ("ridge", ridge)])


RANDOM_FOREST = SklearnTrainer(
    name="random_forest",
    format="random-forest-skops-1",
    rules={
        "n_estimators": rules.integer(100, least=1, most=2000),
        "max_depth": rules.integer(None, least=1, most=100),
        "min_samples_leaf": rules.integer(5, least=1, most=10_000),
        "max_features": rules.number(1.0, least=0.01, most=1.0),
        "calendar": rules.flag(False),
    },
    build=_forest,
    importance=lambda forest: np.asarray(forest.feature_importances_),
    kind=RandomForestRegressor,
    trusted=trusted.ALL,
)
RIDGE = SklearnTrainer(
    name="ridge",
    format="ridge-skops-1",
    rules={"alpha": rules.number(1.0, least=0.0, most=1e9), "calendar": rules.flag(False)},
    build=_ridge,
    importance=lambda pipeline: np.abs(pipeline.named_steps["ridge"].coef_),
    kind=Pipeline,
    trusted=trusted.PLAIN,
)
