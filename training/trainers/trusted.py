"""Which kinds of objects a skops file may hold, by the node of skops that would make them: all else is refused.

A kind stands here because making it calls nothing that the file says: scikit-learn's own estimators, containers, arrays
of numbers. Functions are listed by name, those that only calculate; partials, methods, scorers and readers of bytes
have no place. Which of these stands where is for `places`, and what they have learned for `structures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from skops.io import _general, _numpy, _sklearn
from skops.io._audit import Node

Kinds = Mapping[type[Node], frozenset[str]]
ANY = "*"
"""In place of a name, where the node makes no object of the type that it names."""

ESTIMATORS = {
    "sklearn.pipeline": "Pipeline FeatureUnion",
    "sklearn.compose": "ColumnTransformer TransformedTargetRegressor",
    "sklearn.linear_model": (
        "ARDRegression BayesianRidge ElasticNet ElasticNetCV GammaRegressor HuberRegressor Lars LarsCV Lasso LassoCV "
        "LassoLars LassoLarsCV LassoLarsIC LinearRegression OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV "
        "PoissonRegressor QuantileRegressor RANSACRegressor Ridge RidgeCV SGDRegressor TheilSenRegressor "
        "TweedieRegressor"
    ),
    "sklearn.cross_decomposition": "PLSRegression",
    "sklearn.dummy": "DummyRegressor",
    "sklearn.neural_network": "MLPRegressor",
    "sklearn.svm": "LinearSVR",
    "sklearn.decomposition": "PCA TruncatedSVD",
    "sklearn.feature_selection": "SelectFromModel SelectKBest SelectPercentile RFE VarianceThreshold",
    "sklearn.impute": "SimpleImputer",
    "sklearn.preprocessing": (
        "Binarizer FunctionTransformer KBinsDiscretizer MaxAbsScaler MinMaxScaler Normalizer OneHotEncoder "
        "OrdinalEncoder PolynomialFeatures PowerTransformer QuantileTransformer RobustScaler StandardScaler "
        "TargetEncoder"
    ),
}
"""What predicts through NumPy, which looks at every index and shape; `preparations` looks where it does not."""
COMPILED = {
    "sklearn.tree": "DecisionTreeRegressor ExtraTreeRegressor",
    "sklearn.ensemble": (
        "AdaBoostRegressor BaggingRegressor ExtraTreesRegressor GradientBoostingRegressor "
        "HistGradientBoostingRegressor RandomForestRegressor StackingRegressor VotingRegressor"
    ),
    "sklearn.neighbors": "KNeighborsRegressor RadiusNeighborsRegressor",
    "sklearn.svm": "NuSVR SVR",
}
"""What compiled code walks through unless `structures` refuses it; and what holds such."""
LINKS = {"sklearn._loss.link": "IdentityLink LogLink"}
INTERVALS = {"sklearn._loss.link": "Interval"}
LOSSES = {
    "sklearn._loss.loss": (
        "AbsoluteError HalfGammaLoss HalfPoissonLoss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity "
        "HuberLoss PinballLoss"
    ),
}
OPTIMIZERS = {"sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer"}
_PARTS = (LINKS, INTERVALS, LOSSES, OPTIMIZERS)
_COMPILED_PARTS = {
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
}
COMPILED_LOSSES = {
    "sklearn._loss._loss": (
        "CyAbsoluteError CyHalfGammaLoss CyHalfPoissonLoss CyHalfSquaredError CyHalfTweedieLoss "
        "CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss"
    )
}
FUNCTIONS = frozenset(
    {
        f"numpy.{name}"
        for name in [
            "absolute",
            "arcsinh",
            "exp",
            "exp2",
            "expm1",
            "log",
            "log10",
            "log1p",
            "log2",
            "sinh",
            "sqrt",
            "square",
        ]
    }
    | {
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
    }
)
"""Of transformations, such as that of a target, and of a selection by scores. They only calculate."""
_NUMBERS = frozenset(
    f"numpy.{name}"
    for name in [
        "bool",
        "bool_",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "str_",
    ]
)
_PLAIN_TYPES = frozenset(f"builtins.{name}" for name in ("bool", "float", "int", "str"))


def classes(modules: Mapping[str, str]) -> tuple[type, ...]:
    """Return the classes that a list names."""
    return tuple(getattr(import_module(module), each) for module, listed in modules.items() for each in listed.split())


def _names(*lists: Mapping[str, str]) -> frozenset[str]:
    """Return the names by which skops knows these types: of the modules that define them."""
    return frozenset(f"{each.__module__}.{each.__name__}" for listed in lists for each in classes(listed))


PLAIN: Kinds = {
    _general.JsonNode: frozenset({ANY}),
    _general.SliceNode: frozenset({ANY}),
    _general.DictNode: frozenset({"builtins.dict", "sklearn.utils._bunch.Bunch"}),
    _general.ListNode: frozenset({"builtins.list"}),
    _general.SetNode: frozenset({"builtins.set"}),
    _general.TupleNode: frozenset({"builtins.tuple"}),
    _general.TypeNode: _NUMBERS | _PLAIN_TYPES,
    _general.FunctionNode: FUNCTIONS,
    _general.ObjectNode: _names(ESTIMATORS, *_PARTS),
    _sklearn.LossNode: _names(COMPILED_LOSSES),
    _numpy.NdArrayNode: _NUMBERS | {"numpy.ndarray"},
    _numpy.DTypeNode: frozenset({"numpy.dtype"}),
}
"""A pipeline of arrays and numbers."""
ALL: Kinds = {
    **PLAIN,
    _general.ObjectNode: PLAIN[_general.ObjectNode] | _names(COMPILED, _COMPILED_PARTS),
    _sklearn.TreeNode: frozenset({"sklearn.tree._tree.Tree"}),
}
"""Every pipeline that is listed."""
