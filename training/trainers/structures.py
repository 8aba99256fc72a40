"""Looks at what compiled code walks through without looking: trees, neighbours, support vectors. Pure.

A crafted index or shape would make scikit-learn read or write outside of its arrays when it predicts. Refuses what a
fit does not leave behind; builds the search trees of neighbours from their points, never from the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm._base import BaseLibSVM
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

from training.trainers.base import ForecasterUnreadable

METRICS = ("euclidean", "manhattan", "chebyshev", "minkowski")
KERNELS = ("linear", "poly", "rbf", "sigmoid")
_SEARCHES = {"kd_tree": KDTree, "ball_tree": BallTree}
LEAF = -1


class StructureBroken(ForecasterUnreadable):
    """An estimator is not as a fit leaves it; predicting with it could end the process."""

    code = "structure_broken"
    next_step = "Export the fitted pipeline again and register that."


def check(objects: Iterable[Any]) -> None:
    """Look at the objects of a file, and make them ready to be called. Raises StructureBroken."""
    for each in objects:
        _check_names(each)
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
        raise StructureBroken(f"A {name} is not as this scikit-learn fits it: {error}.") from error
    if not sound:
        raise StructureBroken(f"What a {name} has learned does not fit together.")


def _check_names(each: Any) -> None:
    """Refuse a state that would take the place of a method."""
    strange = sorted(str(name) for name in vars(each) if not isinstance(name, str) or hasattr(type(each), name))
    if strange:
        raise StructureBroken(f"A {type(each).__name__} of the file has its own {strange[0]}.")


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
    return bool(
        (children > inner).all() and (children < len(left)).all() and (asked >= 0).all() and (asked < features).all()
    )


def _is_sound_forest(each: Any) -> bool:
    return bool(each.estimators_) and _are_trees(each.estimators_, each.n_features_in_)


def _is_sound_boosting(each: Any) -> bool:
    # Compiled code writes one column for each column of this array, of which a regression has one.
    stages = each.estimators_
    shaped = isinstance(stages, np.ndarray) and stages.ndim == 2 and stages.shape[0] > 0 and stages.shape[1] == 1
    if not shaped or each.n_trees_per_iteration_ != 1 or not _is_sound_start(each.init_):
        return False
    members = list(stages[:, 0])
    return _are_trees(members, each.n_features_in_) and all(one.tree_.n_outputs == 1 for one in members)


def _is_sound_start(start: Any) -> bool:
    """Return whether boosting starts from as many values as there are points."""
    if isinstance(start, DummyRegressor):
        return bool(start.n_outputs_ == 1 and start.constant_.shape == (1, 1))
    return isinstance(start, str) and start == "zero"


def _are_trees(members: Sequence[Any], features: int) -> bool:
    return all(isinstance(one, BaseDecisionTree) and one.n_features_in_ == features for one in members)


def _is_sound_histogram(each: Any) -> bool:
    predictors = [one for stage in each._predictors for one in stage]
    return bool(predictors) and all(_is_sound_predictor(one, each.n_features_in_) for one in predictors)


def _is_sound_predictor(each: Any, features: int) -> bool:
    if not isinstance(each, TreePredictor):
        return False
    nodes = each.nodes
    if nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1 or not len(nodes) or nodes["is_categorical"].any():
        return False
    left = np.where(nodes["is_leaf"], LEAF, nodes["left"].astype(np.int64))
    # A leaf is told by its mark alone; one that is none may not say -1.
    marked = bool(((left == LEAF) == (nodes["is_leaf"] != 0)).all())
    return marked and _is_walkable(left, nodes["right"], nodes["feature_idx"], features)


def _is_sound_neighbourhood(each: Any) -> bool:
    points, method = each._fit_X, each._fit_method
    shaped = isinstance(points, np.ndarray) and points.dtype.kind == "f" and points.ndim == 2
    if not shaped or points.shape != (each.n_samples_fit_, each.n_features_in_) or len(each._y) != len(points):
        return False
    if each.effective_metric_ not in METRICS or set(each.effective_metric_params_) - {"p"}:
        return False
    if each.weights not in ("uniform", "distance", None) or each.metric == "precomputed":
        return False
    each._tree = None if method == "brute" else _search(each, method)
    return True


def _search(each: Any, method: str) -> Any:
    made = _SEARCHES[method]
    return made(each._fit_X, int(each.leaf_size), metric=each.effective_metric_, **each.effective_metric_params_)


def _is_sound_machine(each: Any) -> bool:
    vectors, support = each.support_vectors_, each.support_
    count = len(support)
    return (
        each._sparse is False
        and each.kernel in KERNELS
        and vectors.shape == (count, each.n_features_in_)
        and each._dual_coef_.shape == (1, count)
        and each._intercept_.shape == (1,)
        and each._n_support.shape == (2,)
        and int(each._n_support[0]) == count
    )


def _is_sound_function(each: Any) -> bool:
    # An argument may name an array to write to.
    return not each.kw_args and not each.inv_kw_args


_LOOKS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    BaseDecisionTree: ("tree_", _is_sound_tree),
    BaseForest: ("estimators_", _is_sound_forest),
    BaseGradientBoosting: ("estimators_", _is_sound_boosting),
    BaseHistGradientBoosting: ("_predictors", _is_sound_histogram),
    NeighborsBase: ("_fit_X", _is_sound_neighbourhood),
    BaseLibSVM: ("support_vectors_", _is_sound_machine),
    FunctionTransformer: ("func", _is_sound_function),
}
"""By kind: the attribute that tells that it has learned, and what is looked at then."""
