"""Looks at the steps before a regression whose numbers decide where is written, and how much is allocated. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, PolynomialFeatures

MOST_COLUMNS = 10_000
"""As many a polynomial may make of its features; each row of a forecast takes as many numbers."""
MOST_WIDTH = 100_000
"""As many columns as a row may have on its way through all steps: 800 kB."""
MOST_DEGREE = 50


def is_narrow(each: Any) -> bool:
    """Return whether no row becomes wider than `MOST_WIDTH` in the steps of a composition.

    Branches in steps in turn multiply: a file of a few MB could ask for gigabytes with each row of a forecast.
    """
    return _width(each, _features(each), {}) <= MOST_WIDTH


def _features(each: Any) -> int:
    found = getattr(each, "n_features_in_", 1)
    return found if type(found) is int and found > 0 else 1


def _width(each: Any, given: int, known: dict[tuple[int, int], int]) -> int:
    """Return how many columns an estimator makes of so many, at the widest; `known` are those of what was looked at."""
    key = (id(each), given)
    if key not in known:
        known[key] = _widest(each, given, known)
    return known[key]


def _widest(each: Any, given: int, known: dict[tuple[int, int], int]) -> int:
    if given > MOST_WIDTH:
        return given
    if isinstance(each, Pipeline):
        for _, step in each.steps:
            given = max(given, _width(step, given, known))
        return given
    if isinstance(each, FeatureUnion | ColumnTransformer):
        return sum(_width(branch, given, known) for branch in _branches(each))
    return max(given, _made(each))


def _branches(each: FeatureUnion | ColumnTransformer) -> Iterable[Any]:
    branches = each.transformer_list if isinstance(each, FeatureUnion) else each.transformers_
    return [branch[1] for branch in branches]


def _made(each: Any) -> int:
    """Return how many columns a step makes that makes more than it is given."""
    if isinstance(each, OneHotEncoder):
        return sum(each._n_features_outs)
    if isinstance(each, KBinsDiscretizer):
        return int(np.sum(each.n_bins_))
    return int(each.n_output_features_) if isinstance(each, PolynomialFeatures) else 0


def is_sound_function(each: Any) -> bool:
    """Return whether a function is called with the values alone."""
    # An argument may name an array to write to.
    return not each.kw_args and not each.inv_kw_args


def is_sound_polynomial(each: Any) -> bool:
    """Return whether there are as many columns as a fit with these parameters makes."""
    degrees = each.degree if isinstance(each.degree, list | tuple) else (0, each.degree)
    if not all(type(degree) is int and 0 <= degree <= MOST_DEGREE for degree in degrees):
        return False
    if type(each.n_features_in_) is not int or not 0 < each.n_features_in_ <= MOST_COLUMNS:
        return False
    # What is not filled of that many columns would be what the memory held before.
    fresh = PolynomialFeatures(**each.get_params(deep=False)).fit(np.zeros((1, each.n_features_in_)))
    learned = ("_min_degree", "_max_degree", "_n_out_full", "n_output_features_")
    return fresh._n_out_full <= MOST_COLUMNS and all(vars(each)[name] == vars(fresh)[name] for name in learned)


def is_sound_target_encoding(each: Any) -> bool:
    """Return whether every column is encoded; what is not filled would be what the memory held before."""
    columns = each.n_features_in_
    encoded = each.target_type_ != "multiclass" and len(each.encodings_) == len(each.categories_) == columns
    return bool(encoded and not each._infrequent_enabled)


def is_sound_one_hot(each: Any) -> bool:
    """Return whether every category that can be found has a column: the matrix is filled by these numbers, unseen."""
    categories = each.categories_
    if each.n_features_in_ != len(categories) or not all(_are_told_apart(one) for one in categories):
        return False
    counts = [len(one) for one in categories]
    if each._infrequent_enabled:
        grouped = zip(counts, each._default_to_infrequent_mappings, each._infrequent_indices, strict=True)
        counts = [_grouped(*one) for one in grouped]
    counts = [count - _dropped(count, index) for count, index in zip(counts, _drops(each), strict=True)]
    outs = each._n_features_outs
    return type(outs) is list and outs == counts and min(counts, default=0) >= 0


def _are_told_apart(categories: Any) -> bool:
    """Return whether these are texts, or numbers in order, as the search for one expects them."""
    if categories.ndim != 1 or not len(categories):
        return False
    # As Python has them: the difference of two numbers of an array may wrap round.
    values = categories.tolist()
    # What is missing comes last.
    if values[-1] != values[-1]:
        values.pop()
    if values and values[-1] is None:
        values.pop()
    return all(type(one) is str for one in values) or all(one < other for one, other in pairwise(values))


def _grouped(count: int, mapping: Any, infrequent: Any) -> int:
    """Return how many categories are left, -1 where the rare ones are not put into one of these."""
    if mapping is None and infrequent is None:
        return count
    left = count - len(infrequent) + 1
    counted = mapping.dtype.kind == infrequent.dtype.kind == "i" and mapping.shape == (count,) and len(infrequent)
    within = counted and mapping.min() >= 0 and mapping.max() < left
    return left if within and infrequent.min() >= 0 and infrequent.max() < count else -1


def _drops(each: Any) -> list[Any]:
    dropped = each._drop_idx_after_grouping
    if dropped is None:
        return [None] * len(each.categories_)
    if not isinstance(dropped, np.ndarray) or dropped.ndim != 1:
        raise ValueError("what it drops is no list of columns")
    return list(dropped)


def _dropped(count: int, index: Any) -> int:
    if index is None:
        return 0
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < count:
        raise ValueError("it drops a category that is not there")
    return 1
