"""Fitted regressions of scikit-learn as people have them, and the rows that they were fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
import skops.io
from sklearn.base import RegressorMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest, f_regression, mutual_info_regression
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, Ridge, SGDRegressor, TweedieRegressor
from sklearn.neighbors import KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from training.trainers import trusted

FORMAT = "sklearn-skops-1"
NAMES = ("temperature", "wind", "weekday")
_RANDOM = np.random.default_rng(3)
ROWS = np.column_stack([_RANDOM.normal(size=(120, 2)), _RANDOM.integers(0, 5, 120)])
TARGET = 20.0 + ROWS @ np.array([1.0, -2.0, 3.0]) + _RANDOM.normal(size=120) / 10

PIPELINES: dict[str, Any] = {
    "forest": make_pipeline(StandardScaler(), RandomForestRegressor(5, n_jobs=2)),
    "extra trees": ExtraTreesRegressor(5),
    "boosting": make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=5)),
    "boosting from zero, huber": GradientBoostingRegressor(n_estimators=5, init="zero", loss="huber"),
    "histograms": HistGradientBoostingRegressor(max_iter=5),
    "histograms of a quantile": HistGradientBoostingRegressor(max_iter=5, loss="quantile", quantile=0.9),
    "tree": DecisionTreeRegressor(max_depth=4),
    "bagging": BaggingRegressor(n_estimators=3, max_features=2),
    "adaboost": AdaBoostRegressor(n_estimators=3),
    "voting": VotingRegressor([("tree", DecisionTreeRegressor()), ("ridge", Ridge())]),
    "stacking": StackingRegressor([("tree", DecisionTreeRegressor()), ("ridge", Ridge())], cv=2),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor()),
    "neighbours by balls": KNeighborsRegressor(algorithm="ball_tree", metric="manhattan", weights="distance"),
    "neighbours, all of them": KNeighborsRegressor(algorithm="brute"),
    "neighbours by a power": KNeighborsRegressor(p=3),
    "neighbours by l1": KNeighborsRegressor(metric="l1", algorithm="brute"),
    "neighbours by l2": KNeighborsRegressor(metric="l2", algorithm="kd_tree"),
    "neighbours by blocks": KNeighborsRegressor(metric="cityblock"),
    "neighbours within": RadiusNeighborsRegressor(5.0),
    "support vectors": make_pipeline(StandardScaler(), SVR()),
    "lasso": make_pipeline(StandardScaler(), Lasso(alpha=0.1)),
    "elastic net": ElasticNet(alpha=0.1),
    "gradient descent": make_pipeline(StandardScaler(), SGDRegressor()),
    "tweedie": TweedieRegressor(power=1.5, link="log"),
    "network": make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=50, tol=1e9)),
    "polynomials": make_pipeline(PolynomialFeatures(2), SelectKBest(f_regression, k=4), Ridge()),
    "columns": make_pipeline(
        ColumnTransformer(
            [
                ("day", OneHotEncoder(handle_unknown="ignore"), [2]),
                ("rest", make_pipeline(SimpleImputer(), StandardScaler()), slice(0, 2)),
            ]
        ),
        Lasso(alpha=0.01),
    ),
    "columns without the first category": make_pipeline(
        ColumnTransformer([("day", OneHotEncoder(drop="first"), [2])], remainder="passthrough"), Ridge()
    ),
    "columns of rare categories": make_pipeline(
        ColumnTransformer(
            [("day", OneHotEncoder(max_categories=3, handle_unknown="infrequent_if_exist", drop="if_binary"), [2])]
        ),
        Ridge(),
    ),
    "own randomness": RandomForestRegressor(3, random_state=np.random.RandomState(3)),
    "columns passed through": make_pipeline(
        ColumnTransformer([("day", OrdinalEncoder(), [2])], remainder="passthrough"),
        KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
        Ridge(),
    ),
    "logarithm of the target": TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    "function of the features": make_pipeline(FunctionTransformer(np.absolute), Ridge()),
}


def of(name: str) -> Any:
    """Return a regression that uses the class of this name, unfitted, and quick to fit."""
    listed = trusted.classes(trusted.ESTIMATORS) + trusted.classes(trusted.COMPILED)
    kind: Any
    [kind] = [each for each in listed if each.__name__ == name]
    if name in AROUND:
        return AROUND[name]
    made = kind(**{"n_estimators": 3} if "n_estimators" in kind._parameter_constraints else ARGUMENTS.get(name, {}))
    return made if issubclass(kind, RegressorMixin) else make_pipeline(made, Ridge())


ARGUMENTS: dict[str, dict[str, Any]] = {
    "HistGradientBoostingRegressor": {"max_iter": 3},
    "MLPRegressor": {"hidden_layer_sizes": (3,), "max_iter": 10, "tol": 1e9},
    "OneHotEncoder": {"handle_unknown": "ignore"},
    "QuantileTransformer": {"n_quantiles": 20},
    "KBinsDiscretizer": {"n_bins": 2, "quantile_method": "averaged_inverted_cdf"},
    "RadiusNeighborsRegressor": {"radius": 50.0},
    "SelectKBest": {"score_func": f_regression, "k": 2},
    "SelectPercentile": {"score_func": mutual_info_regression, "percentile": 70},
    "SelectFromModel": {"estimator": RandomForestRegressor(3)},
    "RFE": {"estimator": Ridge(), "n_features_to_select": 2},
    "TargetEncoder": {"target_type": "continuous"},
    "TheilSenRegressor": {"max_subpopulation": 20},
}
_MEMBERS = [("tree", DecisionTreeRegressor(max_depth=2)), ("ridge", Ridge())]
AROUND: dict[str, Any] = {
    "Pipeline": make_pipeline(StandardScaler(), Ridge()),
    "FeatureUnion": make_pipeline(make_union(StandardScaler(), MinMaxScaler()), Ridge()),
    "ColumnTransformer": make_pipeline(ColumnTransformer([("one", StandardScaler(), [0, 1])]), Ridge()),
    "VotingRegressor": VotingRegressor(_MEMBERS),
    "StackingRegressor": StackingRegressor(_MEMBERS, cv=2),
}


def fitted(name: str) -> Any:
    """Return one of them, fitted; the same object at each call."""
    estimator = PIPELINES[name]
    if not hasattr(estimator, "n_features_in_"):
        estimator.fit(ROWS, TARGET)
    return estimator


def content(estimator: Any, **values: Any) -> bytes:
    """Return the file of an estimator, as docs/registering.md makes it."""
    said = {"format": FORMAT, "estimator": estimator, "feature_names": list(NAMES), "calendar": False}
    return bytes(skops.io.dumps({**said, **values}))
