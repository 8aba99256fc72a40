"""Scores: predictions on windows, the scorecard, and the comparison that the gate sees. Pure; NaN never leaves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry.bundle.tables import Cell
from registry.reports import Scorecard
from training import dataset, gate, scores
from training.dataset import Split, Window
from training.trainers.base import Floats, Forecaster, Grid, Refused, Series, Stamps

VALIDATION_WINDOWS = 2
COLUMNS = ("window", "cutoff", "time", "actual", "yhat", "lower", "upper")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Predictions beside actuals, all windows one after the other; n points with an actual, in order of time."""

    window: NDArray[np.int64]
    """Number of the window, from 1. (n,)"""
    cutoffs: Stamps
    instants: Stamps
    actual: Floats
    yhat: Floats
    """Not finite where the forecaster gave no value."""
    lower: Floats
    upper: Floats
    expected: int
    """Stamps that the calendar has in the windows."""

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Scored:
        """Return the points that a mask or positions pick."""
        return Scored(
            window=self.window[rows],
            cutoffs=self.cutoffs[rows],
            instants=self.instants[rows],
            actual=self.actual[rows],
            yhat=self.yhat[rows],
            lower=self.lower[rows],
            upper=self.upper[rows],
            expected=self.expected,
        )

    def finite(self) -> Scored:
        """Return the points with a finite forecast."""
        return self.select(np.isfinite(self.yhat))

    def errors(self) -> Floats:
        """Return forecast minus actual."""
        return np.asarray(self.yhat - self.actual)


def predict_windows(forecaster: Forecaster, windows: Sequence[Window]) -> Scored:
    """Forecast each window by the fitted forecaster, knowing the observations up to its own cutoff.

    Raises what the forecaster raises, and ValueError where it answers with another number of points than asked.
    """
    predictions = [forecaster.predict(window.observed, window.at) for window in windows]
    for window, prediction in zip(windows, predictions, strict=True):
        if len(prediction.yhat) != len(window.at):
            raise ValueError(f"{len(prediction.yhat)} values were predicted for {len(window.at)} points.")
    sizes = [len(window.at) for window in windows]
    return Scored(
        window=np.repeat(np.arange(1, len(windows) + 1), sizes),
        cutoffs=np.repeat(np.array([window.cutoff for window in windows], dtype="datetime64[us]"), sizes),
        instants=np.concatenate([window.at.instants for window in windows]),
        actual=np.concatenate([window.actual for window in windows]),
        yhat=np.concatenate([prediction.yhat for prediction in predictions]),
        lower=np.concatenate([prediction.lower for prediction in predictions]),
        upper=np.concatenate([prediction.upper for prediction in predictions]),
        expected=sum(window.expected for window in windows),
    )


def table(scored: Scored, *, grid: Grid) -> tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...]]:
    """Return columns and rows for a bundle, complete; stamps as ISO text, None where there is no finite value."""
    stamps = (iso(scored.cutoffs, grid), iso(scored.instants, grid))
    numbers = [
        [float(value) if np.isfinite(value) else None for value in column]
        for column in (scored.actual, scored.yhat, scored.lower, scored.upper)
    ]
    return COLUMNS, tuple(zip(scored.window.tolist(), *stamps, *numbers, strict=True))


def iso(stamps: Stamps, grid: Grid) -> list[str]:
    """Return ISO text: dates for daily or coarser grids, else UTC with Z, to the second where that is exact."""
    if grid.dated:
        return [str(stamp) for stamp in stamps.astype("datetime64[D]")]
    whole = bool((stamps == stamps.astype("datetime64[s]")).all())
    return [f"{stamp}Z" for stamp in (stamps.astype("datetime64[s]") if whole else stamps)]


def validation_split(train: Series, grid: Grid) -> Split | Refused:
    """Return windows inside the train part, for tuning and the choice among trainers; never the test windows."""
    return dataset.split(train, grid, most_windows=VALIDATION_WINDOWS)


def choose(validations: Mapping[str, Scored | None]) -> str:
    """Return the key with the smallest MAE on the validation windows.

    The first wins ties, and where none was scored. One that left points without a finite forecast is not chosen.
    """
    scored = {name: found for name, found in validations.items() if found is not None and len(found.actual)}
    errors = {name: float(np.abs(found.errors()).mean()) for name, found in scored.items()}
    finite = {name: error for name, error in errors.items() if np.isfinite(error)}
    return min(finite, key=finite.__getitem__) if finite else next(iter(validations))


def scorecard(scored: Scored, *, naive: Scored | None, train: Series, grid: Grid, zero_below: float = 0.0) -> Scorecard:
    """Return all metrics on the points with a finite forecast; None with a reason where one has no value.

    `train` gives the scale of MASE and RMSSE; actuals of at most `zero_below` in size are left out of MAPE.
    """
    points = scored.finite()
    baseline = None if naive is None else naive.select(np.isfinite(scored.yhat) & np.isfinite(naive.yhat))
    metrics, reasons = scores.measure(points, train=train, grid=grid, zero_below=zero_below, naive=baseline)
    compared = {} if baseline is None else scores.measure(baseline, train=train, grid=grid, zero_below=zero_below)[0]
    span = iso(scored.instants, grid) if len(scored.instants) else [""]
    return Scorecard(
        metrics=metrics,
        reasons=reasons,
        baseline=compared,
        points=len(points.actual),
        windows=len(np.unique(scored.window)),
        test_start=span[0],
        test_end=span[-1],
        completeness=min(1.0, len(scored.actual) / scored.expected) if scored.expected else None,
    )


def stability(champion: Scored, candidate: Scored) -> float | None:
    """Return the WAPE between two forecasts of the same dates, in percent of the champion's; None without a scale."""
    old, new = _shared(champion.finite(), candidate.finite())
    size = float(np.abs(old.yhat).sum())
    change = float(np.abs(new.yhat - old.yhat).sum())
    if not len(old.yhat) or (size == 0 and change > 0):
        return None
    return 100.0 * change / size if size else 0.0


def compare(
    *,
    candidate: Scored,
    naive: Scored,
    naive_candidate: bool = False,
    incumbent: Scored | None = None,
    how: str = "none",
    anchor: Scored | None = None,
    champion: Scored | None = None,
    realised: Scored | None = None,
) -> gate.Comparison:
    """Return the plain numbers for the gate; each pair is compared on the points that both forecast.

    `how` is `none`, `stored`, `twin` or `same_recipe`; `incumbent` holds the predictions of the stored champion or of
    the twin; `anchor` those of the anchor's recipe, for the ratchet; `champion` those of the stored champion on the
    same windows, for stability; `realised` those of the stored champion on `dataset.since(...)`.
    """
    points = candidate.finite()
    floor, _ = _shared(naive.finite(), points)
    before, after = _shared(_none(points) if incumbent is None else incumbent.finite(), points)
    best, beside = _shared(_none(points) if anchor is None else anchor.finite(), points)
    since, now = _shared(_none(points) if realised is None else realised.finite(), points)
    return gate.Comparison(
        points=len(points.actual),
        unscored=len(candidate.actual) - len(points.actual),
        mae=scores.mae(points),
        bias=scores.mean(points.errors()),
        mean_absolute_actual=scores.mean(np.abs(points.actual)),
        naive_mae=scores.mae(floor),
        naive_candidate=naive_candidate,
        incumbent=how,
        incumbent_mae=scores.mae(before),
        mae_beside_incumbent=scores.mae(after),
        anchor_mae=scores.mae(best),
        mae_beside_anchor=scores.mae(beside),
        stability_percent=None if champion is None else stability(champion, points),
        realised_points=len(since.actual),
        realised_champion_mae=scores.mae(since),
        realised_mae=scores.mae(now),
    )


def _none(scored: Scored) -> Scored:
    return scored.select(np.zeros(len(scored.yhat), dtype=np.bool_))


def _shared(one: Scored, other: Scored) -> tuple[Scored, Scored]:
    """Return both on the stamps that both have."""
    _, first, second = np.intersect1d(one.instants, other.instants, return_indices=True)
    return one.select(first), other.select(second)
