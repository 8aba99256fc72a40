"""Scores a stored version on the newest data: the run kind `evaluate`. Moves no pointer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from registry import errors
from training import cases, clock, evaluation, forecasting, outcomes, windows
from training.cases import Case
from training.evaluation import ToScore
from training.models import TrainingRun
from training.outcomes import Outcome
from training.policy_terms import RunDetails
from training.retraining import Work
from training.trainers.base import Refused
from training.windows import Window


def evaluate(work: Work) -> list[Outcome]:
    """Score the version of each run on windows that it has not seen, and commit. Raises LeaseLost."""
    work.step("reading", 5)
    ready, refused = cases.load(work.runs, work.snapshot, now=clock.now())
    work.step("scoring", 40)
    ended = [*map(_scored, ready), *(_failed(each.run, each.refused) for each in refused)]
    work.step("committing", 95)
    at = clock.now()
    with transaction.atomic():
        ours = outcomes.held(work.claim, [run.pk for run in work.runs])
        kept = [outcome for outcome in ended if outcome.run_id in ours]
        outcomes.close(kept, at=at)
    return kept


def _scored(case: Case) -> Outcome:
    version = case.run.version
    if version is None:
        return _failed(case.run, Refused(code="no_champion", sentence="It has no version.", next_step="Retrain it."))
    try:
        forecaster = forecasting.load(version)
    except errors.PerennialError as error:
        forecasting.note_failure(version, error, at=clock.now())
        return _failed(case.run, Refused(code=error.code, sentence=error.sentence, next_step=error.next_step))
    unseen = _unseen(case, version.fit_end)
    if not unseen:
        return _failed(case.run, _nothing_new(case))
    scored = evaluation.predict_windows(forecaster, unseen)
    [card] = evaluation.scorecards([ToScore(scored=scored, naive=None, train=case.split.train)], grid=case.grid)
    details = RunDetails(
        days=case.days,
        rows=len(case.series),
        test_rows=len(scored.actual),
        trainer=version.trainer,
        metrics=dict(card.metrics),
    )
    mae = card.metrics.get("mae")
    sentence = (
        f"MAE {mae:.4g} on {card.points} points that version {version.number} has not seen."
        if mae is not None
        else "No score."
    )
    return Outcome(
        run_id=case.run.pk,
        state=TrainingRun.State.SUCCEEDED,
        sentence=sentence,
        version_id=version.pk,
        details=details,
        log=(("info", sentence),),
    )


def _unseen(case: Case, fit_end: datetime | None) -> Sequence[Window]:
    """Return the test windows where the version was fitted before them, else what came after its fit."""
    if fit_end is None:
        return ()
    known = forecasting.stamp(fit_end)
    if known <= case.split.windows[0].cutoff:
        return case.split.windows
    window = windows.since(case.series, case.grid, known)
    return (window,) if window else ()


def _nothing_new(case: Case) -> Refused:
    return Refused(
        code="nothing_unseen",
        sentence=f"Fewer than {case.grid.horizon} rows came after the version was fitted: no score would be fair.",
        next_step="Wait for newer data; its scorecard from its own test windows stands on the version.",
    )


def _failed(run: TrainingRun, reason: Refused) -> Outcome:
    return Outcome(
        run_id=run.pk,
        state=TrainingRun.State.FAILED,
        code=reason.code,
        sentence=reason.sentence,
        next_step=reason.next_step,
        version_id=run.version_id,
        log=(("error", reason.sentence),),
    )
