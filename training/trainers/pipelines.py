"""The trainer `sklearn`: reads regressions of scikit-learn that were fitted elsewhere, and fits none itself.

What it was fitted with is in the file alone, not in parameters, so that no other series can be fitted by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import RegressorMixin
from sklearn.pipeline import Pipeline

from registry.errors import PerennialError
from training.trainers import rules, sklearn, trusted
from training.trainers.base import Asked, Fitted, ForecasterUnreadable, Grid, Params, Prediction, Refused, Series
from training.trainers.each import predict_each
from training.trainers.sklearn import SklearnForecaster


class PipelineTrainer:
    """Reads every regression that `trusted` lists, alone or at the end of a pipeline."""

    name = "sklearn"
    kinds = frozenset({"regression"})
    format = "sklearn-skops-1"
    defaults: Params = {}

    def check_params(self, params: Params) -> Params:
        """Return the parameters, of which there are none. Raises ParamsInvalid."""
        return rules.complete({}, params, trainer=self.name)

    def fit_many(
        self, train: Sequence[Series], *, params: Sequence[Params], seeds: Sequence[int], grid: Grid
    ) -> list[Fitted | Refused]:
        """Refuse each series."""
        return [_refused(series) for series in train]

    def predict_many(self, asked: Sequence[Asked]) -> list[Prediction | PerennialError]:
        """Answer one after the other."""
        return predict_each(asked)

    def load(self, data: bytes) -> SklearnForecaster:
        """Return the forecaster, if every object in the file is on the fixed list. Raises ForecasterUnreadable."""
        forecaster = sklearn.read(data, kinds=trusted.ALL, format=self.format)
        if not isinstance(_last(forecaster.estimator), RegressorMixin):
            raise ForecasterUnreadable("The bytes hold no regression, alone or at the end of a pipeline.")
        return forecaster


def _last(estimator: Any) -> Any:
    """Return what predicts; None where the steps of a pipeline are none."""
    while isinstance(estimator, Pipeline):
        try:
            estimator = estimator.steps[-1][1]
        except (AttributeError, LookupError, TypeError):
            return None
    return estimator


def _refused(series: Series) -> Refused:
    return Refused(
        code="not_fitted_here",
        sentence=f"What {series.entity} was fitted with elsewhere is not known here.",
        next_step="Name another trainer in the policy, or register what was fitted elsewhere.",
    )


TRAINER = PipelineTrainer()
