"""Looks at what compiled code walks through without looking: trees, neighbours, support vectors. Pure.

A crafted index or shape would make scikit-learn read or write outside of its arrays when it predicts. Refuses what a
fit does not leave behind; builds the search trees of neighbours from their points, never from the file. Looks at the
objects after they are made and before they are called; `skops_files` looks at what is believed while it is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import GradientBoostingRegressor, StackingRegressor
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, TargetEncoder
from sklearn.svm._base import BaseLibSVM
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

from training.trainers import places, preparations
from training.trainers.base import ForecasterUnreadable
from training.trainers.places import StructureBroken

METRICS = ("euclidean", "l2", "manhattan", "cityblock", "l1", "chebyshev", "minkowski")
KERNELS = ("linear", "poly", "rbf", "sigmoid")
_SEARCHES = {"kd_tree": KDTree, "ball_tree": BallTree}
LEAF = -1


class OutputsDiffer(ForecasterUnreadable):
    """A regression predicts several values for each point; a series has one."""

    code = "outputs_differ"
    next_step = "Fit one regression for each target, on a target of one dimension, and register each for its series."
    tells_sender = True


def check(content: Any) -> None:
    """Look at the objects of a file, and make them ready to be called. Raises ForecasterUnreadable."""
    for each in places.walk(content):
        _check_names(each)
        _check_outputs(each)
        for kind, (learned, look) in _LOOKS.items():
            # What has learned nothing, such as the pattern of an ensemble's members, cannot be called.
            if isinstance(each, kind) and hasattr(each, learned):
                _look(each, look)
        if isinstance(each, BaseEstimator) and "n_jobs" in vars(each):
            # What serves has its own processes; a file does not start more.
            each.n_jobs = None


def _look(each: Any, look: Callable[[Any], bool]) -> None:
    name = type(each).__name__
    try:
        sound = look(each)
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise StructureBroken(f"A {name} is not as this scikit-learn fits it: {str(error)[:200]}.") from error
    if not sound:
        raise StructureBroken(f"What a {name} has learned does not fit together.")


def _check_names(each: Any) -> None:
    """Refuse a state that would take the place of a method."""
    strange = sorted(str(name) for name in vars(each) if not isinstance(name, str) or _is_called(type(each), name))
    if strange:
        raise StructureBroken(f"A {type(each).__name__} of the file has its own {strange[0][:60]}.")


def _is_called(kind: type, name: str) -> bool:
    if name.startswith("__"):
        return True
    found = inspect.getattr_static(kind, name, None)
    return callable(found) or hasattr(found, "__get__")


def _check_outputs(each: Any) -> None:
    if not isinstance(each, RegressorMixin):
        return
    said = vars(each).get("n_outputs_", 1)
    if isinstance(said, bool) or not isinstance(said, int | np.integer):
        raise StructureBroken(f"How many values a {type(each).__name__} predicts is no number.")
    coefficients = vars(each).get("coef_")
    rows = coefficients.shape[0] if isinstance(coefficients, np.ndarray) and coefficients.ndim > 1 else 1
    if other := [count for count in (said, rows) if count != 1]:
        raise OutputsDiffer(f"A {type(each).__name__} predicts {other[0]} values for a point, not one.")


def _is_sound_tree(each: Any) -> bool:
    tree = each.tree_
    return (
        isinstance(tree, Tree)
        and tree.n_features == each.n_features_in_
        and _is_walkable(tree.children_left, tree.children_right, tree.feature, tree.n_features)
    )


def _is_walkable(left: Any, right: Any, feature: Any, features: int) -> bool:
    """Return whether every way down ends: children come after their parent, and every split asks for a feature."""
    left, right, feature = (np.asarray(each).astype(np.int64) for each in (left, right, feature))
    inner = np.flatnonzero(left != LEAF)
    children = np.stack([left[inner], right[inner]])
    asked = feature[inner]
    within = (children > inner).all() and (children < len(left)).all()
    return bool(len(left) and within and (asked >= 0).all() and (asked < features).all())


def _is_sound_forest(each: Any) -> bool:
    return bool(each.estimators_) and _are_trees(each.estimators_, each.n_features_in_)


def _is_sound_boosting(each: Any) -> bool:
    # Compiled code writes one column for each column of this array, of which a regression has one.
    stages = each.estimators_
    shaped = isinstance(stages, np.ndarray) and stages.ndim == 2 and stages.shape[0] > 0 and stages.shape[1] == 1
    if not shaped or each.n_trees_per_iteration_ != 1 or not _is_sound_start(each.init_):
        return False
    # What a link makes of the start is written to as it comes.
    linked = type(each._loss) in places.LOSSES and type(each._loss.link) in places.LINKS
    return linked and _are_trees(list(stages[:, 0]), each.n_features_in_)


def _is_sound_start(start: Any) -> bool:
    """Return whether boosting starts from as many values as there are points."""
    if isinstance(start, DummyRegressor):
        return _is_sound_constant(start)
    return isinstance(start, str) and start == "zero"


def _is_sound_constant(each: Any) -> bool:
    return bool(each.n_outputs_ == 1 and each.constant_.shape == (1, 1) and each.constant_.dtype.kind in "iuf")


def _are_trees(members: Sequence[Any], features: int) -> bool:
    return all(isinstance(one, BaseDecisionTree) and one.n_features_in_ == features for one in members)


def _is_sound_histogram(each: Any) -> bool:
    # With a preprocessor, or within a fit, nothing holds the columns against those that were fitted.
    if each._preprocessor is not None or getattr(each, "_in_fit", False) is not False:
        return False
    stages, features = each._predictors, each.n_features_in_
    alone = bool(stages) and all(len(stage) == 1 for stage in stages) and each.n_trees_per_iteration_ == 1
    linked = type(each._loss) in places.LOSSES and type(each._loss.link) in places.LINKS
    mapped = linked and type(each._bin_mapper) is _BinMapper and _is_sound_mapper(each._bin_mapper, features)
    started = each._baseline_prediction.shape in ((), (1,), (1, 1)) and each._baseline_prediction.dtype == np.float64
    return alone and mapped and started and all(_is_sound_predictor(stage[0], features) for stage in stages)


def _is_sound_mapper(each: Any, features: int) -> bool:
    """Return whether no feature is categorical, and all are counted: bits are set by what it says of categories."""
    categorical, edges = each.is_categorical_, each.bin_thresholds_
    return bool(
        categorical.shape == (features,)
        and not categorical.any()
        and type(edges) is list
        and len(edges) == len(each.n_bins_non_missing_) == features
        and all(edge.ndim == 1 and edge.dtype.kind == "f" for edge in edges)
    )


def _is_sound_predictor(each: Any, features: int) -> bool:
    if type(each) is not TreePredictor or each.nodes.dtype != PREDICTOR_RECORD_DTYPE or each.nodes.ndim != 1:
        return False
    nodes = each.nodes
    if nodes["is_categorical"].any():
        return False
    left = np.where(nodes["is_leaf"], LEAF, nodes["left"].astype(np.int64))
    # A leaf is told by its mark alone; one that is none may not say -1.
    marked = bool(((left == LEAF) == (nodes["is_leaf"] != 0)).all())
    return marked and _is_walkable(left, nodes["right"], nodes["feature_idx"], features)


def _is_sound_neighbourhood(each: Any) -> bool:
    points, values, method = each._fit_X, each._y, each._fit_method
    shaped = isinstance(points, np.ndarray) and points.dtype.kind in "iuf" and points.ndim == 2 and len(points) > 0
    if not shaped or points.shape != (each.n_samples_fit_, each.n_features_in_) or not _is_column(values, len(points)):
        return False
    if each.effective_metric_ not in METRICS or set(_metric_params(each)) - {"p"}:
        return False
    if each.weights not in ("uniform", "distance", None) or each.metric == "precomputed":
        return False
    each._tree = None if method == "brute" else _search(each, method)
    return True


def _is_column(values: Any, count: int) -> bool:
    return values.shape in ((count,), (count, 1)) and values.dtype.kind in "iuf"


def _search(each: Any, method: str) -> Any:
    made = _SEARCHES[method]
    return made(each._fit_X, int(each.leaf_size), metric=each.effective_metric_, **_metric_params(each))


def _metric_params(each: Any) -> dict[str, Any]:
    return {name: value for name, value in each.effective_metric_params_.items() if value is not None}


def _is_sound_machine(each: Any) -> bool:
    vectors, support = each.support_vectors_, each.support_
    count = len(support)
    return (
        "_impl" not in vars(each)
        and count > 0
        and support.shape == (count,)
        and each._sparse is False
        and each.kernel in KERNELS
        and vectors.shape == (count, each.n_features_in_)
        and each._dual_coef_.shape == (1, count)
        and each._intercept_.shape == (1,)
        and each._n_support.shape == (2,)
        and int(each._n_support[0]) == count
    )


def _is_sound_stack(each: Any) -> bool:
    # These are looked up and called by name.
    return all(method == "predict" for method in each.stack_method_)


def _is_sound_choice(each: Any) -> bool:
    # This is looked up by name, at every call.
    getter = each.importance_getter
    return isinstance(getter, str) and not any(part.startswith("_") for part in getter.split("."))


_LOOKS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    BaseDecisionTree: ("tree_", _is_sound_tree),
    BaseForest: ("estimators_", _is_sound_forest),
    GradientBoostingRegressor: ("estimators_", _is_sound_boosting),
    BaseHistGradientBoosting: ("_predictors", _is_sound_histogram),
    NeighborsBase: ("_fit_X", _is_sound_neighbourhood),
    BaseLibSVM: ("support_vectors_", _is_sound_machine),
    DummyRegressor: ("constant_", _is_sound_constant),
    StackingRegressor: ("stack_method_", _is_sound_stack),
    SelectFromModel: ("importance_getter", _is_sound_choice),
    RFE: ("importance_getter", _is_sound_choice),
    Pipeline: ("steps", preparations.is_narrow),
    FeatureUnion: ("transformer_list", preparations.is_narrow),
    ColumnTransformer: ("transformers_", preparations.is_narrow),
    FunctionTransformer: ("func", preparations.is_sound_function),
    OneHotEncoder: ("categories_", preparations.is_sound_one_hot),
    PolynomialFeatures: ("n_features_in_", preparations.is_sound_polynomial),
    TargetEncoder: ("categories_", preparations.is_sound_target_encoding),
}
"""By kind: the attribute that tells that it has learned, and what is looked at then."""
