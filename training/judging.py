"""Holds each candidate against its incumbent and seasonal naive, on the same windows, and lets the gate decide.

The incumbent never saw the windows: its stored forecaster where it was fitted before them, else a twin of its recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from registry import errors
from registry.models import ModelVersion
from registry.reports import Check, GateReport, Verdict
from training import candidates, clock, dataset, evaluation, forecasting, gate
from training.candidates import Candidate, Field
from training.evaluation import Scored
from training.trainers import table
from training.trainers.base import Fitted, Forecaster, Refused

STORED, TWIN, SAME_RECIPE, UNSCORED, NONE = "stored", "twin", "same_recipe", "unscored", "none"


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A case that is decided: what is to be registered, and what the gate said of it."""

    field: Field
    candidate: Candidate
    report: GateReport
    champion: ModelVersion | None
    stored: Forecaster | None
    """The champion's stored forecaster, where its bytes are sound."""
    cause: str = "gate"
    """`floor` where seasonal naive became the first version because nothing beat it."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Incumbent:
    """How the champion of one case is scored."""

    champion: ModelVersion | None = None
    stored: Forecaster | None = None
    said: Scored | None = None
    """What the stored forecaster says of the windows, also where it has seen them."""
    how: str = NONE
    scored: Scored | None = None
    warnings: tuple[str, ...] = ()


def judge(fields: Sequence[Field]) -> list[Judged]:
    """Decide every case."""
    incumbents = _twins(fields, [_incumbent(field) for field in fields])
    return [_decide(field, incumbent) for field, incumbent in zip(fields, incumbents, strict=True)]


def _incumbent(field: Field) -> _Incumbent:
    """Load the champion, and score its stored forecaster where it has not seen the windows."""
    champion = field.case.run.registered_model.champion
    if champion is None:
        return _Incumbent()
    try:
        stored = forecasting.load(champion)
        scored = evaluation.predict_windows(stored, field.case.split.windows)
    except errors.PerennialError as error:
        # Damaged, or of other columns: it must not block the retraining that replaces it; its recipe is in the row.
        forecasting.note_failure(champion, error, at=clock.now())
        told = f"The champion cannot answer, its recipe is scored instead: {error.sentence}"
        return _Incumbent(champion=champion, how=_again(champion, field), warnings=(told,))
    if _unseen(champion, field):
        return _Incumbent(champion=champion, stored=stored, said=scored, how=STORED, scored=scored)
    return _Incumbent(champion=champion, stored=stored, said=scored, how=_again(champion, field))


def _again(champion: ModelVersion, field: Field) -> str:
    return SAME_RECIPE if _same_recipe(champion, field.picked) else TWIN


def _unseen(champion: ModelVersion, field: Field) -> bool:
    if champion.fit_end is None:
        return False
    return bool(forecasting.stamp(champion.fit_end) <= field.case.split.windows[0].cutoff)


def _same_recipe(champion: ModelVersion, picked: Candidate) -> bool:
    return champion.trainer == picked.trainer and _plain(champion.params) == _plain(picked.fitted.params)


def _plain(params: Any) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in dict(params).items()}


def _twins(fields: Sequence[Field], incumbents: Sequence[_Incumbent]) -> list[_Incumbent]:
    """Fit the recipes of the champions that have seen the windows, on the train part that the candidate had."""
    done = [_known_recipe(incumbent) for incumbent in incumbents]
    wanted = [place for place, incumbent in enumerate(done) if incumbent.how == TWIN]
    fits = candidates.fit_all([_order(fields[place], done[place]) for place in wanted])
    for place, fit in zip(wanted, fits, strict=True):
        done[place] = _with_twin(fields[place], incumbents[place], fit)
    return done


def _known_recipe(incumbent: _Incumbent) -> _Incumbent:
    """Return the incumbent, unscored where no twin can be made: its trainer fits nothing, or is not here any more."""
    champion = incumbent.champion
    if incumbent.how != TWIN or champion is None or champion.trainer in table.names():
        return incumbent
    told = f"The champion's trainer {champion.trainer} fits nothing here, so its recipe cannot be scored."
    return replace(incumbent, how=UNSCORED, warnings=(*incumbent.warnings, told))


def _order(field: Field, incumbent: _Incumbent) -> candidates.Order:
    champion, case = incumbent.champion, field.case
    assert champion is not None  # A twin is of a champion.
    return champion.trainer, case.split.train, champion.params, champion.seed, case.grid


def _with_twin(field: Field, incumbent: _Incumbent, fit: Fitted | Refused) -> _Incumbent:
    if isinstance(fit, Refused):
        # Without a twin there is nothing fair to compare with: the gate holds it for a person.
        told = f"The champion's recipe could not be fitted again: {fit.sentence}"
        return replace(incumbent, how=UNSCORED, warnings=(*incumbent.warnings, told))
    return replace(incumbent, scored=evaluation.predict_windows(fit.forecaster, field.case.split.windows))


def _decide(field: Field, incumbent: _Incumbent) -> Judged:
    report = _report(field, field.picked, incumbent)
    warnings = (*field.case.warnings, *field.warnings, *incumbent.warnings)
    if report.verdict is Verdict.FAILED and incumbent.champion is None and field.picked is not field.naive:
        return _floor(field, report, incumbent, warnings)
    return Judged(
        field=field,
        candidate=field.picked,
        report=report,
        champion=incumbent.champion,
        stored=incumbent.stored,
        cause=_cause(field, report, incumbent),
        warnings=warnings,
    )


def _cause(field: Field, report: GateReport, incumbent: _Incumbent) -> str:
    first_naive = incumbent.champion is None and field.picked is field.naive
    return "floor" if first_naive and report.verdict is Verdict.PASSED else "gate"


def _floor(field: Field, refused: GateReport, incumbent: _Incumbent, warnings: tuple[str, ...]) -> Judged:
    """Let seasonal naive serve where the picked recipe failed and nothing serves yet; both stand in the report."""
    report = _report(field, field.naive, incumbent)
    told = Check(rule="picked", outcome="warned", sentence=f"{field.picked.trainer} was refused: {refused.reason}")
    reason = f"{told.sentence} {report.reason}" if report.verdict is Verdict.PASSED else report.reason
    report = replace(report, reason=reason, checks=(told, *report.checks))
    return Judged(
        field=field, candidate=field.naive, report=report, champion=None, stored=None, cause="floor", warnings=warnings
    )


def _report(field: Field, candidate: Candidate, incumbent: _Incumbent) -> GateReport:
    case = field.case
    comparison = evaluation.compare(
        candidate=candidate.test,
        naive=field.naive.test,
        naive_candidate=candidate is field.naive,
        incumbent=incumbent.scored,
        how=incumbent.how,
        champion=incumbent.said,
        realised=_realised(field, incumbent),
    )
    version = incumbent.champion
    return gate.decide(
        comparison,
        case.policy.gate_limits,
        incumbent_version=str(version.pk) if version else "",
        snapshot=case.snapshot.digest,
    )


def _realised(field: Field, incumbent: _Incumbent) -> Scored | None:
    """Return the stored champion's forecasts of what came after it was fitted, against what came true."""
    champion = incumbent.champion
    if incumbent.stored is None or champion is None or champion.fit_end is None or incumbent.how != SAME_RECIPE:
        return None
    window = dataset.since(field.case.series, field.case.grid, forecasting.stamp(champion.fit_end))
    return None if window is None else evaluation.predict_windows(incumbent.stored, [window])
