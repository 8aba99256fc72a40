"""Looks at the steps before a regression whose numbers decide where is written, and how much is allocated. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import PolynomialFeatures

MOST_COLUMNS = 10_000
"""As many a polynomial may make of its features; each row of a forecast takes as many numbers."""
MOST_DEGREE = 50


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
    if categories.dtype.kind not in "iuf":
        return True
    there = categories[:-1] if np.isnan(categories[-1]) else categories
    return bool((np.diff(there) > 0).all() if there.dtype.kind != "u" else (there[1:] > there[:-1]).all())


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
