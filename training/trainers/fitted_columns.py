"""Holds the names that are said of features against the columns that an estimator was fitted on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from training.trainers.base import ForecasterUnreadable


class FeatureNamesWrong(ForecasterUnreadable):
    """The names that are said of the features are not those that the estimator was fitted on."""

    code = "feature_names_wrong"
    next_step = "Say in feature_names the columns it was fitted on, in their order, and register it again."
    tells_sender = True


def check(names: Sequence[str], estimator: Any) -> None:
    """Hold what is said against what was fitted, in whichever of the two ways scikit-learn keeps it.

    Raises FeatureNamesWrong, ForecasterUnreadable.
    """
    count, fitted = fitted_on(estimator)
    if count != len(names):
        raise FeatureNamesWrong(f"It was fitted on {count} columns; feature_names and calendar say {listed(names)}.")
    if fitted and fitted != list(names):
        raise FeatureNamesWrong(f"It was fitted on {listed(fitted)}; feature_names says {listed(names)}.")


def fitted_on(estimator: Any) -> tuple[int, list[str]]:
    """Return how many columns an estimator was fitted on, and their names where it knows them.

    Raises ForecasterUnreadable.
    """
    try:
        asked = _first_fitted(estimator)
        count = asked.n_features_in_
        names = [str(name) for name in getattr(asked, "feature_names_in_", ())]
    except (AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
        told = "The bytes hold no estimator that was fitted on a table of features."
        raise ForecasterUnreadable(told) from error
    if type(count) is not int:
        raise ForecasterUnreadable("The number of columns it was fitted on is no number.")
    return count, names


def _first_fitted(estimator: Any) -> Any:
    """Return what knows the columns: of a pipeline the first step that learned something, in a strange file anything.

    A search for parameters leaves a step out by the text `passthrough`.
    """
    while isinstance(estimator, Pipeline):
        estimator = next(step for _, step in estimator.steps if step is not None and not isinstance(step, str))
    return estimator


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them."""
    return ", ".join(names) or "no features"
