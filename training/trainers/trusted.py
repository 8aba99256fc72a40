"""Which kinds of objects a skops file may hold, by the node of skops that would make them: all else is refused.

A kind stands here because making it calls nothing that the file says: scikit-learn's own estimators, containers, arrays
of numbers. Functions are listed by name, those that only calculate; partials, methods, scorers and readers of bytes
have no place.
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
    "sklearn.gaussian_process": "GaussianProcessRegressor",
    "sklearn.isotonic": "IsotonicRegression",
    "sklearn.kernel_ridge": "KernelRidge",
    "sklearn.neural_network": "MLPRegressor",
    "sklearn.svm": "LinearSVR",
    "sklearn.decomposition": "FactorAnalysis FastICA IncrementalPCA PCA TruncatedSVD",
    "sklearn.feature_selection": "SelectFromModel SelectKBest SelectPercentile RFE VarianceThreshold",
    "sklearn.impute": "KNNImputer MissingIndicator SimpleImputer",
    "sklearn.kernel_approximation": "Nystroem RBFSampler",
    "sklearn.preprocessing": (
        "Binarizer FunctionTransformer KBinsDiscretizer MaxAbsScaler MinMaxScaler Normalizer OneHotEncoder "
        "OrdinalEncoder PolynomialFeatures PowerTransformer QuantileTransformer RobustScaler StandardScaler "
        "TargetEncoder"
    ),
}
"""What is made of plain numbers and arrays alone."""
COMPILED = {
    "sklearn.tree": "DecisionTreeRegressor ExtraTreeRegressor",
    "sklearn.ensemble": (
        "AdaBoostRegressor BaggingRegressor ExtraTreesRegressor GradientBoostingRegressor "
        "HistGradientBoostingRegressor RandomForestRegressor StackingRegressor VotingRegressor"
    ),
    "sklearn.neighbors": "KNeighborsRegressor RadiusNeighborsRegressor",
    "sklearn.svm": "NuSVR SVR",
}
"""What compiled code walks through, so that `training.trainers.structures` looks at it first; and what holds such."""
_PARTS = {
    "sklearn.gaussian_process.kernels": (
        "ConstantKernel DotProduct ExpSineSquared Exponentiation Matern Product RBF RationalQuadratic Sum WhiteKernel"
    ),
    "sklearn._loss.link": "HalfLogitLink IdentityLink Interval LogLink",
    "sklearn._loss.loss": (
        "AbsoluteError HalfGammaLoss HalfPoissonLoss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity "
        "HuberLoss PinballLoss"
    ),
    "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
}
_COMPILED_PARTS = {
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
}
_LOSSES = {
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


def _names(modules: Mapping[str, str]) -> frozenset[str]:
    """Return the names by which skops knows these types: of the modules that define them."""
    return frozenset(_name(module, each) for module, listed in modules.items() for each in listed.split())


def _name(module: str, name: str) -> str:
    found = getattr(import_module(module), name)
    return f"{found.__module__}.{found.__name__}"


PLAIN: Kinds = {
    _general.JsonNode: frozenset({ANY}),
    _general.SliceNode: frozenset({ANY}),
    _general.DictNode: frozenset({"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"}),
    _general.ListNode: frozenset({"builtins.list"}),
    _general.SetNode: frozenset({"builtins.set"}),
    _general.TupleNode: frozenset({"builtins.tuple"}),
    _general.TypeNode: _NUMBERS | _PLAIN_TYPES,
    _general.FunctionNode: FUNCTIONS,
    _general.ObjectNode: _names(ESTIMATORS) | _names(_PARTS),
    _sklearn.LossNode: _names(_LOSSES),
    _numpy.NdArrayNode: _NUMBERS | {"numpy.ndarray"},
    _numpy.DTypeNode: frozenset({"numpy.dtype"}),
    _numpy.RandomStateNode: frozenset({"numpy.random.mtrand.RandomState"}),
    _numpy.RandomGeneratorNode: frozenset({"numpy.random._generator.Generator"}),
}
"""A pipeline of arrays and numbers."""
ALL: Kinds = {
    **PLAIN,
    _general.ObjectNode: PLAIN[_general.ObjectNode] | _names(COMPILED) | _names(_COMPILED_PARTS),
    _sklearn.TreeNode: frozenset({"sklearn.tree._tree.Tree"}),
}
"""Every pipeline that is listed."""
