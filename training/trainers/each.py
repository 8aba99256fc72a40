"""Fits and asks one after the other, for trainers that cannot do many at once; one that breaks ends alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from billiard.exceptions import SoftTimeLimitExceeded

from registry.errors import Invalid, PerennialError
from training.trainers.base import Asked, Fitted, Params, Prediction, Refused, Series


def fit_each(
    train: Sequence[Series],
    params: Sequence[Params],
    seeds: Sequence[int],
    fit: Callable[[Series, Params, int], Fitted | Refused],
) -> list[Fitted | Refused]:
    """Fit one series after the other, turning what a library raises into a refusal of that series alone."""
    return [_outcome(fit, one, wanted, seed) for one, wanted, seed in zip(train, params, seeds, strict=True)]


def _outcome(
    fit: Callable[[Series, Params, int], Fitted | Refused], series: Series, params: Params, seed: int
) -> Fitted | Refused:
    if refused := unfit(series):
        return refused
    try:
        return fit(series, params, seed)
    except (MemoryError, SoftTimeLimitExceeded):
        raise
    except Exception as error:  # Libraries raise anything; it is reported for this series, not hidden.
        return broken(series, error)


def unfit(series: Series) -> Refused | None:
    """Return why no trainer can fit a series, or None."""
    if len(series) < 2:
        return Refused(
            code="series_too_short",
            sentence=f"{series.entity} has {len(series)} observations, a fit needs two.",
            next_step="Wait for more observations, or lengthen the look-back.",
        )
    if not np.isfinite(series.target).all():
        return Refused(
            code="target_not_finite",
            sentence=f"{series.entity} has targets that are not finite numbers.",
            next_step="Validate the series first; `dataset.validate` leaves such rows out.",
        )
    return None


def broken(series: Series, error: Exception) -> Refused:
    """Return the refusal of a series whose fit raised."""
    return Refused(
        code=getattr(error, "code", "") if isinstance(error, Invalid) else "fit_failed",
        sentence=f"The fit of {series.entity} ended with {type(error).__name__}: {str(error)[:300]}",
        next_step="Look at the series of this snapshot, or choose another trainer.",
    )


def predict_each(asked: Sequence[Asked]) -> list[Prediction | PerennialError]:
    """Answer one after the other; what a forecaster refuses is the answer to that one alone."""
    return [_answered(each) for each in asked]


def _answered(asked: Asked) -> Prediction | PerennialError:
    try:
        return asked.forecaster.predict(asked.observed, asked.at)
    except PerennialError as error:
        return error
