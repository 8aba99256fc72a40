"""Turns a decided case into what is stored: refitted where accepted, packed, and checked on its very bytes."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from registry import bundle
from registry.bundle.tables import Table
from registry.lifecycle import Registration, Stored
from registry.models import Fleet
from registry.reports import Check, Scorecard, Verdict
from training import candidates, dataset, evaluation, forecasting, gate
from training.cases import Case
from training.judging import Judged
from training.publishing import Publication
from training.trainers import table
from training.trainers.base import Fitted, Forecaster, Grid, Points, Prediction, Refused, Series

LIBRARIES = ("numpy", "pandas", "prophet", "scikit-learn", "skops")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sealed:
    """A decided case with the bytes that will be its artifact."""

    judged: Judged
    fitted: Fitted
    """What serves: the refitted one where `refitted`, else the one that was scored."""
    refitted: bool
    scorecard: Scorecard
    content: bytes
    check: Check
    """`gate.check_artifact` on the very bytes."""
    at: Points
    """Where the published forecast lies; for a regression the last window, which is not published."""
    prediction: Prediction

    @property
    def format(self) -> str:
        """Return the name of the artifact's format."""
        name: str = table.find(self.judged.candidate.trainer).format
        return name


def seal(judged: Sequence[Judged], *, at: datetime) -> list[Sealed]:
    """Refit what is accepted, pack every candidate, and read the bytes back."""
    refits = _refit([each for each in judged if _refits(each)])
    return [_seal(each, refits.get(id(each)), at) for each in judged]


def _refits(judged: Judged) -> bool:
    case = judged.field.case
    wanted = case.policy.refit if case.policy.refit is not None else case.grid.kind == Fleet.Kind.FORECAST
    return wanted and judged.report.verdict is not Verdict.FAILED


def _refit(accepted: Sequence[Judged]) -> dict[int, Fitted]:
    """Fit each accepted recipe again on all rows; one that cannot be fitted then serves as it was scored."""
    orders = [
        (
            each.candidate.trainer,
            each.field.case.series,
            each.candidate.fitted.params,
            each.field.case.seed,
            each.field.case.grid,
        )
        for each in accepted
    ]
    done = zip(accepted, candidates.fit_all(orders), strict=True)
    return {id(each): fit for each, fit in done if isinstance(fit, Fitted)}


def _seal(judged: Judged, refit: Fitted | None, at: datetime) -> Sealed:
    case, candidate = judged.field.case, judged.candidate
    fitted = refit or candidate.fitted
    scorecard = evaluation.scorecard(
        candidate.test,
        naive=judged.field.naive.test,
        train=case.split.train,
        grid=case.grid,
        zero_below=case.run.registered_model.fleet.metric_settings.zero_below,
    )
    content = bundle.pack(_bundle(judged, fitted, scorecard, refitted=refit is not None, at=at))
    where = _serving_points(case.series, case)
    prediction = fitted.forecaster.predict(case.series, where)
    again = _read_back(content, candidate.trainer, case.series, where)
    check = gate.check_artifact(predicted=again, again=[float(value) for value in prediction.yhat], expected=len(where))
    return Sealed(
        judged=judged,
        fitted=fitted,
        refitted=refit is not None,
        scorecard=scorecard,
        content=content,
        check=check,
        at=where,
        prediction=prediction,
    )


def _serving_points(series: Series, case: Case) -> Points:
    """Return where the forecaster will be asked: the next horizon, or for a regression the rows of the last window."""
    if case.grid.kind == Fleet.Kind.FORECAST:
        return dataset.future(series, case.grid)
    return case.split.windows[-1].at


def _read_back(content: bytes, trainer: str, series: Series, at: Points) -> list[float]:
    forecaster: Forecaster = forecasting.parse(content, trainer=trainer)
    return [float(value) for value in forecaster.predict(series, at).yhat]


def _bundle(judged: Judged, fitted: Fitted, scorecard: Scorecard, *, refitted: bool, at: datetime) -> bundle.Bundle:
    candidate, case = judged.candidate, judged.field.case
    trainer = table.find(candidate.trainer)
    return bundle.Bundle(
        format=trainer.format,
        forecaster=fitted.forecaster.dump(),
        metadata=_metadata(judged, fitted, scorecard, refitted=refitted, at=at),
        feature_importance=dict(fitted.feature_importance),
        validation=_predictions(candidate.validation, case.grid),
        test=_predictions(candidate.test, case.grid),
        context=_context(case.series, case.grid, fit_end=_fit_end(judged, refitted=refitted)),
    )


def _predictions(scored: evaluation.Scored | None, grid: Grid) -> Table:
    return Table() if scored is None else Table(*evaluation.table(scored, grid=grid))


def _context(series: Series, grid: Grid, *, fit_end: np.datetime64) -> Table:
    """Return the last two seasons before the fit ended, which a forecaster may need to be told."""
    last = series.until(fit_end)
    last = last.slice(max(0, len(last) - 2 * grid.season_length), None)
    rows = zip(evaluation.iso(last.instants, grid), last.target, last.features, strict=True)
    return Table(
        columns=("time", "y", *last.feature_names),
        rows=tuple((time, float(y), *(float(value) for value in features)) for time, y, features in rows),
    )


def _fit_end(judged: Judged, *, refitted: bool) -> np.datetime64:
    case = judged.field.case
    fitted_on = case.series if refitted else case.split.train
    last: np.datetime64 = fitted_on.instants[-1]
    return last


def _metadata(
    judged: Judged, fitted: Fitted, scorecard: Scorecard, *, refitted: bool, at: datetime
) -> dict[str, object]:
    case, run = judged.field.case, judged.field.case.run
    return {
        "version_id": str(run.pk),
        "fleet": run.registered_model.fleet.name,
        "entity": run.registered_model.entity_key,
        "trainer": judged.candidate.trainer,
        "trained_at": at.isoformat(),
        "data_start": str(case.series.instants[0]),
        "data_end": str(case.series.instants[-1]),
        "train_end": str(case.split.train.instants[-1]),
        "fit_end": str(_fit_end(judged, refitted=refitted)),
        "refitted": refitted,
        "metrics": dict(scorecard.metrics),
        "features": list(case.series.feature_names),
        "params": dict(fitted.params),
        "seed": case.seed,
        "snapshot": case.snapshot.digest,
        "library_versions": libraries(),
    }


def libraries() -> dict[str, str]:
    """Return the versions of what a fit depends on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in LIBRARIES}}


def registration(sealed: Sealed, stored: Stored) -> Registration:
    """Return what the registry is told of a sealed case; the version's id is the run's."""
    judged, case = sealed.judged, sealed.judged.field.case
    instants = forecasting.instants(
        np.array([case.series.instants[0], case.split.train.instants[-1], _fit_end(judged, refitted=sealed.refitted)])
    )
    return Registration(
        version_id=case.run.pk,
        registered_model_id=case.run.registered_model_id,
        stored=stored,
        trainer=judged.candidate.trainer,
        params=dict(sealed.fitted.params),
        scorecard=sealed.scorecard,
        data_start=instants[0],
        train_end=instants[1],
        fit_end=instants[2],
        rows=len(case.series),
        features=list(case.series.feature_names),
        snapshot_digest=case.snapshot.digest,
        seed=case.seed,
        library_versions=libraries(),
        refitted=sealed.refitted,
    )


def forecast(sealed: Sealed, *, at: datetime) -> Publication | None:
    """Return the forecast that the version publishes; None for a regression, which needs features to answer."""
    case = sealed.judged.field.case
    if case.grid.kind != Fleet.Kind.FORECAST:
        return None
    cutoff = forecasting.instants(case.series.instants[-1:])[0]
    return forecasting.publication(
        case.run.pk,
        cutoff=cutoff,
        time=forecasting.instants(sealed.at.instants),
        prediction=sealed.prediction,
        published_at=at,
    )


def refreshed(judged: Judged, *, at: datetime) -> Publication | None:
    """Return the champion's forecast from the newest observations, for a champion that stays."""
    case = judged.field.case
    if judged.stored is None or judged.champion is None or case.grid.kind != Fleet.Kind.FORECAST:
        return None
    where = dataset.future(case.series, case.grid)
    cutoff = forecasting.instants(case.series.instants[-1:])[0]
    return forecasting.publication(
        judged.champion.pk,
        cutoff=cutoff,
        time=forecasting.instants(where.instants),
        prediction=judged.stored.predict(case.series, where),
        published_at=at,
    )


def refusal_of(sealed: Sealed) -> Refused | None:
    """Return why the bytes cannot serve, or None."""
    if sealed.check.outcome == "passed":
        return None
    return Refused(
        code="artifact_unusable",
        sentence=sealed.check.sentence,
        next_step="Report this with the run's id: what was stored does not predict what was scored.",
    )
