"""Fitted regressions of scikit-learn as people have them, and the rows that they were fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
import skops.io
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
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, Ridge, SGDRegressor, TweedieRegressor
from sklearn.neighbors import KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

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
    "neighbours within": RadiusNeighborsRegressor(5.0),
    "support vectors": make_pipeline(StandardScaler(), SVR()),
    "lasso": make_pipeline(StandardScaler(), Lasso(alpha=0.1)),
    "elastic net": ElasticNet(alpha=0.1),
    "gradient descent": make_pipeline(StandardScaler(), SGDRegressor()),
    "tweedie": TweedieRegressor(power=1.5, link="log"),
    "network": make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=50, tol=1e9)),
    "gaussian process": GaussianProcessRegressor(RBF() + WhiteKernel(), optimizer=None),
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
    "columns passed through": make_pipeline(
        ColumnTransformer([("day", OrdinalEncoder(), [2])], remainder="passthrough"),
        KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
        Ridge(),
    ),
    "logarithm of the target": TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    "function of the features": make_pipeline(FunctionTransformer(np.absolute), Ridge()),
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
