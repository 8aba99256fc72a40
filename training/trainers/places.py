"""Knows where the objects of a fitted pipeline stand, and refuses those that stand anywhere else. Pure.

Compiled code takes what stands in a certain place for what a fit puts there: a tree as a step of a pipeline, or a loss
that is none, would not be looked at. One object may stand in several places; each of them has to be its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import GradientBoostingRegressor, StackingRegressor, VotingRegressor
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.feature_selection import SelectKBest, SelectPercentile
from sklearn.impute import SimpleImputer
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree
from sklearn.utils import Bunch

from training.trainers import trusted
from training.trainers.base import ForecasterUnreadable

Place = tuple[type, str]
"""The kind of an object, and the name of its attribute; lists and the like inside of it are the same place."""

LOSSES = trusted.classes(trusted.LOSSES)
LINKS = trusted.classes(trusted.LINKS)
_PLAIN = (type(None), bool, int, float, str, slice, list, tuple, set, dict)
_NUMBERS = "biuf"
_FUNCTIONS: list[Place] = [
    (each, name) for each in (FunctionTransformer, TransformedTargetRegressor) for name in ("func", "inverse_func")
]
_LOSS_OF: list[Place] = [
    *((each, "_base_loss") for each in (GammaRegressor, PoissonRegressor, TweedieRegressor)),
    *((each, "_loss") for each in (GradientBoostingRegressor, BaseHistGradientBoosting)),
]


def _each(kinds: Iterable[type], *places: Place) -> dict[type, tuple[Place, ...]]:
    return dict.fromkeys(kinds, places)


_OF_LOSSES = [(each, name) for each in LOSSES for name in ("interval_y_true", "interval_y_pred")]
PLACES: dict[type, tuple[Place, ...]] = {
    **_each([Tree], (BaseDecisionTree, "tree_")),
    **_each([TreePredictor], (BaseHistGradientBoosting, "_predictors")),
    **_each([_BinMapper], (BaseHistGradientBoosting, "_bin_mapper")),
    **_each(LOSSES, *_LOSS_OF),
    **_each(LINKS, *((each, "link") for each in LOSSES)),
    **_each(trusted.classes(trusted.INTERVALS), *_OF_LOSSES, *((each, "interval_y_pred") for each in LINKS)),
    **_each(trusted.classes(trusted.COMPILED_LOSSES), *((each, "closs") for each in LOSSES)),
    **_each(trusted.classes(trusted.OPTIMIZERS), (MLPRegressor, "_optimizer")),
    **_each([Bunch], (VotingRegressor, "named_estimators_"), (StackingRegressor, "named_estimators_")),
    **_each([np.ufunc], *_FUNCTIONS),
    **_each([FunctionType], (SelectKBest, "score_func"), (SelectPercentile, "score_func")),
    **_each(
        [type, np.dtype], (BaseEstimator, "dtype"), *((SimpleImputer, name) for name in ("_fit_dtype", "_fill_dtype"))
    ),
}
"""Of what is no estimator, the only places where it may stand."""


# Arrays are made of it, also where it is written as a text: one of a hundred thousand letters takes as much for each.
_DTYPES = ("dtype", "_fit_dtype", "_fill_dtype")


class StructureBroken(ForecasterUnreadable):
    """Something is not as a fit leaves it, or stands where none puts it; predicting could end the process."""

    code = "structure_broken"
    next_step = "Export the fitted pipeline again and register that."
    tells_sender = True


def walk(content: Any) -> list[Any]:
    """Return the objects with attributes of their own, each once. Raises StructureBroken."""
    found, seen, left = dict[int, Any](), set[tuple[int, type, object]](), [(content, type(None), "")]
    while left:
        value, holder, name = left.pop()
        if (id(value), holder, name) in seen:
            continue
        seen.add((id(value), holder, name))
        if not _may_stand(value, holder, name):
            of = "the file" if holder is type(None) else f"a {holder.__name__}"
            raise StructureBroken(f"A {type(value).__name__} has no place as {str(name)[:60] or 'a part'} of {of}.")
        left += [(each, holder, name) for each in _within(value)]
        if _has_attributes(value) and id(value) not in found:
            found[id(value)] = value
            left += [(each, type(value), inner) for inner, each in vars(value).items()]
    return list(found.values())


def _may_stand(value: Any, holder: type, name: object) -> bool:
    kind = type(value)
    if kind is str and name in _DTYPES:
        return _is_of_numbers(value)
    if kind in _PLAIN:
        return True
    if kind in _ESTIMATORS:
        return holder is type(None) or holder in _ESTIMATORS
    if isinstance(value, np.ndarray | np.generic):
        return _is_plain(value.dtype, holder, name)
    if isinstance(value, type | np.dtype):
        # Arrays are made of it; numbers alone have a size that is known.
        kind = type if isinstance(value, type) else np.dtype
        if value is type(None) or np.dtype(value).kind not in _NUMBERS:
            return False
    return any(issubclass(holder, held) and name == attribute for held, attribute in PLACES.get(kind, ()))


def _is_of_numbers(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in _NUMBERS
    except TypeError:
        return False


def _is_plain(dtype: Any, holder: type, name: object) -> bool:
    """Return whether an array is one of numbers, texts or objects; of records the nodes of a predictor alone are."""
    if dtype.kind == "V":
        return holder is TreePredictor and name == "nodes"
    return dtype.kind in f"{_NUMBERS}UO" and bool(dtype.isnative)


def _within(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value
    elif isinstance(value, slice):
        yield from (value.start, value.stop, value.step)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "O":
        yield from value.flat


def _has_attributes(value: Any) -> bool:
    return type(value) in _ESTIMATORS or type(value) in _OBJECTS


_ESTIMATORS = frozenset(trusted.classes(trusted.ESTIMATORS) + trusted.classes(trusted.COMPILED))
_SMALL = (trusted.LOSSES, trusted.LINKS, trusted.INTERVALS, trusted.OPTIMIZERS)
_OBJECTS = frozenset((TreePredictor, _BinMapper, *(kind for each in _SMALL for kind in trusted.classes(each))))
