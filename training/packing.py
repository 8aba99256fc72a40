"""Turns a decided case into what is stored: refitted where accepted, packed, and checked on its very bytes."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import numpy as np

from registry import bundle, errors
from registry.bundle import Columns
from registry.models import Fleet
from registry.reports import Check, Scorecard, Verdict
from training import candidates, evaluation, forecasting, gate, windows
from training.cases import Case
from training.evaluation import ToScore
from training.judging import Judged
from training.trainers import table
from training.trainers.base import Asked, Fitted, Forecaster, Grid, Points, Prediction, Refused, Series

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
    drafts = _drafts(judged, at)
    predictions = _predict([(draft, draft.fitted.forecaster) for draft in drafts])
    read = [forecasting.parse(draft.content, trainer=draft.judged.candidate.trainer) for draft in drafts]
    again = _predict(list(zip(drafts, read, strict=True)))
    return [_sealed(*each) for each in zip(drafts, predictions, again, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Draft:
    """A packed candidate before its bytes were tried."""

    judged: Judged
    fitted: Fitted
    refitted: bool
    scorecard: Scorecard
    content: bytes
    at: Points


def _drafts(judged: Sequence[Judged], at: datetime) -> list[_Draft]:
    refits = _refit([each for each in judged if _refits(each)])
    cards = _scorecards(judged)
    drafts = []
    for each, scorecard in zip(judged, cards, strict=True):
        refit = refits.get(id(each))
        fitted = refit or each.candidate.fitted
        drafts.append(
            _Draft(
                judged=each,
                fitted=fitted,
                refitted=refit is not None,
                scorecard=scorecard,
                content=_packed(each, fitted, scorecard, refitted=refit is not None, at=at),
                at=_serving_points(each.field.case),
            )
        )
    return drafts


def _scorecards(judged: Sequence[Judged]) -> list[Scorecard]:
    if not judged:
        return []
    case = judged[0].field.case
    settings = case.run.registered_model.fleet.metric_settings
    wanted = [
        ToScore(scored=each.candidate.test, naive=each.field.naive.test, train=each.field.case.split.train)
        for each in judged
    ]
    return evaluation.scorecards(wanted, grid=case.grid, zero_below=settings.zero_below)


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


def _serving_points(case: Case) -> Points:
    """Return where the forecaster will be asked: the next horizon, or for a regression the rows of the last window."""
    if case.grid.kind == Fleet.Kind.FORECAST:
        return windows.future(case.series, case.grid)
    return case.split.windows[-1].at


def _predict(drafts: Sequence[tuple[_Draft, Forecaster]]) -> list[Prediction]:
    """Return what each forecaster says where it will be asked, one call for each trainer."""

    def ask(some: Sequence[tuple[_Draft, Forecaster]]) -> list[Prediction]:
        asked = [Asked(forecaster=each, observed=draft.judged.field.case.series, at=draft.at) for draft, each in some]
        answers = table.find(some[0][0].judged.candidate.trainer).predict_many(asked)
        for answer in answers:
            if isinstance(answer, errors.PerennialError):
                raise answer
        return list(answers)

    return evaluation.in_groups(drafts, key=lambda each: each[0].judged.candidate.trainer, make=ask)


def _sealed(draft: _Draft, prediction: Prediction, again: Prediction) -> Sealed:
    check = gate.check_artifact(predicted=again.yhat.tolist(), again=prediction.yhat.tolist(), expected=len(draft.at))
    return Sealed(
        judged=draft.judged,
        fitted=draft.fitted,
        refitted=draft.refitted,
        scorecard=draft.scorecard,
        content=draft.content,
        check=check,
        at=draft.at,
        prediction=prediction,
    )


def _packed(judged: Judged, fitted: Fitted, scorecard: Scorecard, *, refitted: bool, at: datetime) -> bytes:
    candidate, case = judged.candidate, judged.field.case
    content = bundle.Bundle(
        format=table.find(candidate.trainer).format,
        forecaster=fitted.forecaster.dump(),
        metadata=_metadata(judged, fitted, scorecard, refitted=refitted, at=at),
        feature_importance=fitted.feature_importance,
    )
    tables = {
        "validation": _predictions(candidate.validation, case.grid),
        "test": _predictions(candidate.test, case.grid),
        "context": _context(case.series, case.grid, fit_end=fit_end(judged, refitted=refitted)),
    }
    return bundle.pack(content, by_columns=tables)


def _predictions(scored: evaluation.Scored | None, grid: Grid) -> Columns:
    return Columns() if scored is None else evaluation.columns(scored, grid=grid)


def _context(series: Series, grid: Grid, *, fit_end: np.datetime64) -> Columns:
    """Return the last two seasons before the fit ended, which a forecaster may need to be told."""
    known = series.until(fit_end)
    last = known.slice(max(0, len(known) - 2 * grid.season_length), None)
    cells = (windows.iso(last.instants, grid), last.target.tolist(), *last.features.T.tolist())
    return Columns(("time", "y", *last.feature_names), cells)


def fit_end(judged: Judged, *, refitted: bool) -> np.datetime64:
    """Return the last stamp that the forecaster was fitted on."""
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
        "fit_end": str(fit_end(judged, refitted=refitted)),
        "refitted": refitted,
        "metrics": dict(scorecard.metrics),
        "features": list(case.series.feature_names),
        "params": dict(fitted.params),
        "seed": case.seed,
        "snapshot": case.snapshot.digest,
        "library_versions": libraries(),
        "fit": dict(fitted.notes),
    }


@cache
def libraries() -> dict[str, str]:
    """Return the versions of what a fit depends on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in LIBRARIES}}


def refusal_of(sealed: Sealed) -> Refused | None:
    """Return why the bytes cannot serve, or None."""
    if sealed.check.outcome == "passed":
        return None
    return Refused(
        code="artifact_unusable",
        sentence=sealed.check.sentence,
        next_step="Report this with the run's id: what was stored does not predict what was scored.",
    )
