"""Scores a stored version on the newest data: the run kind `evaluate`. Moves no pointer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from registry.errors import PerennialError
from registry.models import ModelVersion
from registry.reports import Scorecard
from training import candidates, cases, clock, evaluation, forecasting, outcomes, windows
from training.cases import Case
from training.evaluation import Scored, ToScore
from training.models import TrainingRun
from training.outcomes import Outcome
from training.policy_terms import RunDetails
from training.retraining import Work
from training.trainers.base import Forecaster, Refused
from training.windows import Window


def evaluate(work: Work) -> list[Outcome]:
    """Score the version of each run on windows that it has not seen, and commit. Raises LeaseLost."""
    work.step("reading", 5)
    ready, refused = cases.load(work.runs, work.snapshot, now=clock.now())
    work.step("scoring", 40)
    ended = [*_scored(ready), *(_failed(each.run, each.refused) for each in refused)]
    work.step("committing", 95)
    at = clock.now()
    with transaction.atomic():
        ours = outcomes.held(work.claim, [run.pk for run in work.runs])
        kept = [outcome for outcome in ended if outcome.run_id in ours]
        outcomes.close(kept, at=at)
    return kept


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trial:
    """A version that can be asked, and the windows that it has not seen."""

    case: Case
    version: ModelVersion
    forecaster: Forecaster
    unseen: Sequence[Window]


def _scored(ready: Sequence[Case]) -> list[Outcome]:
    """Score the versions of all cases: their bytes are read together, and each trainer is asked once."""
    begun = _begun(ready)
    trials = [each for each in begun if isinstance(each, _Trial)]
    said = candidates.forecast_all([(each.version.trainer, each.forecaster, each.unseen) for each in trials])
    pairs = list(zip(trials, said, strict=True))
    mute = [_failed(trial.case.run, _told(answer)) for trial, answer in pairs if isinstance(answer, PerennialError)]
    heard = [(trial, answer) for trial, answer in pairs if not isinstance(answer, PerennialError)]
    return [*(each for each in begun if isinstance(each, Outcome)), *mute, *_measured(heard)]


def _begun(ready: Sequence[Case]) -> list[_Trial | Outcome]:
    versions = [case.run.version for case in ready if case.run.version is not None]
    loaded = zip((version.pk for version in versions), forecasting.load_many(versions), strict=True)
    known = dict(loaded)
    return [_trial(case, known) for case in ready]


def _trial(case: Case, known: Mapping[UUID, Forecaster | PerennialError]) -> _Trial | Outcome:
    version = case.run.version
    if version is None:
        return _failed(case.run, Refused(code="no_champion", sentence="It has no version.", next_step="Retrain it."))
    forecaster = known[version.pk]
    if isinstance(forecaster, PerennialError):
        forecasting.note_failure(version, forecaster, at=clock.now())
        return _failed(case.run, _told(forecaster))
    unseen = _unseen(case, version.fit_end)
    if not unseen:
        return _failed(case.run, _nothing_new(case))
    return _Trial(case=case, version=version, forecaster=forecaster, unseen=unseen)


def _told(error: PerennialError) -> Refused:
    return Refused(code=error.code, sentence=error.sentence, next_step=error.next_step)


def _measured(heard: Sequence[tuple[_Trial, Scored]]) -> list[Outcome]:
    if not heard:
        return []
    wanted = [ToScore(scored=scored, naive=None, train=trial.case.split.train) for trial, scored in heard]
    cards = evaluation.scorecards(wanted, grid=heard[0][0].case.grid)
    return [_succeeded(trial, scored, card) for (trial, scored), card in zip(heard, cards, strict=True)]


def _succeeded(trial: _Trial, scored: Scored, card: Scorecard) -> Outcome:
    case, version, mae = trial.case, trial.version, card.metrics.get("mae")
    sentence = "No score."
    if mae is not None:
        sentence = f"MAE {mae:.4g} on {card.points} points that version {version.number} has not seen."
    return Outcome(
        run_id=case.run.pk,
        state=TrainingRun.State.SUCCEEDED,
        sentence=sentence,
        version_id=version.pk,
        details=RunDetails(
            days=case.days,
            rows=len(case.series),
            test_rows=len(scored.actual),
            trainer=version.trainer,
            metrics=dict(card.metrics),
        ),
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
