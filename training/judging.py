"""Holds each candidate against its incumbent and seasonal naive, on the same windows, and lets the gate decide.

The incumbent never saw the windows: its stored forecaster where it was fitted before them, else a twin of its recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from registry.errors import PerennialError
from registry.models import ModelVersion
from registry.reports import Check, GateReport, Verdict
from training import candidates, clock, comparing, forecasting, gate, windows
from training.candidates import Candidate, Field
from training.comparing import Beside
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
    realised: Scored | None = None
    """What it said of what came after it was fitted, where its recipe and data are those of the candidate."""
    warnings: tuple[str, ...] = ()


def judge(fields: Sequence[Field]) -> list[Judged]:
    """Decide every case."""
    incumbents = _realised(fields, _twins(fields, _stored(fields)))
    reports = _reports([(field, field.picked) for field in fields], incumbents)
    floors = _floors(fields, incumbents, reports)
    return [
        floors.get(place) or _judged(field, incumbent, report)
        for place, (field, incumbent, report) in enumerate(zip(fields, incumbents, reports, strict=True))
    ]


def _stored(fields: Sequence[Field]) -> list[_Incumbent]:
    """Load the champions, all at once, and score the stored forecasters where they have not seen the windows."""
    known = [(place, champion) for place, field in enumerate(fields) if (champion := _champion(field)) is not None]
    loaded = list(zip(known, forecasting.load_many([champion for _, champion in known]), strict=True))
    sound = [(place, champion, each) for (place, champion), each in loaded if not isinstance(each, PerennialError)]
    said = candidates.forecast_all(
        [(champion.trainer, forecaster, fields[place].case.split.windows) for place, champion, forecaster in sound]
    )
    found = [_Incumbent() for _ in fields]
    for (place, champion), error in loaded:
        if isinstance(error, PerennialError):
            found[place] = _mute(champion, fields[place], error)
    for (place, champion, forecaster), scored in zip(sound, said, strict=True):
        if isinstance(scored, PerennialError):
            found[place] = _mute(champion, fields[place], scored)
        else:
            found[place] = _heard(champion, fields[place], forecaster, scored)
    return found


def _champion(field: Field) -> ModelVersion | None:
    champion: ModelVersion | None = field.case.run.registered_model.champion
    return champion


def _mute(champion: ModelVersion, field: Field, error: PerennialError) -> _Incumbent:
    """Return an incumbent that is damaged, or of other columns: it must not block the retraining that replaces it."""
    forecasting.note_failure(champion, error, at=clock.now())
    told = f"The champion cannot answer, its recipe is scored instead: {error.sentence}"
    return _Incumbent(champion=champion, how=_again(champion, field), warnings=(told,))


def _heard(champion: ModelVersion, field: Field, stored: Forecaster, said: Scored) -> _Incumbent:
    if _unseen(champion, field):
        return _Incumbent(champion=champion, stored=stored, said=said, how=STORED, scored=said)
    return _Incumbent(champion=champion, stored=stored, said=said, how=_again(champion, field))


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
    twins = [
        (place, champion.trainer, fit)
        for place, fit in zip(wanted, fits, strict=True)
        if isinstance(fit, Fitted) and (champion := done[place].champion)
    ]
    said = candidates.forecast_all(
        [(trainer, fit.forecaster, fields[place].case.split.windows) for place, trainer, fit in twins]
    )
    for place, fit in zip(wanted, fits, strict=True):
        if isinstance(fit, Refused):
            done[place] = _no_twin(done[place], fit.sentence)
    for (place, _, _), scored in zip(twins, said, strict=True):
        if isinstance(scored, PerennialError):
            done[place] = _no_twin(done[place], scored.sentence)
        else:
            done[place] = replace(done[place], scored=scored)
    return done


def _known_recipe(incumbent: _Incumbent) -> _Incumbent:
    """Return the incumbent, unscored where no twin can be made: its trainer fits nothing, or is not here any more."""
    champion = incumbent.champion
    if incumbent.how != TWIN or champion is None or champion.trainer in table.names():
        return incumbent
    told = f"The champion's trainer {champion.trainer} fits nothing here, so its recipe cannot be scored."
    return replace(incumbent, how=UNSCORED, warnings=(*incumbent.warnings, told))


def _no_twin(incumbent: _Incumbent, why: str) -> _Incumbent:
    # Without a twin there is nothing fair to compare with: the gate holds it for a person.
    told = f"The champion's recipe could not be fitted again: {why}"
    return replace(incumbent, how=UNSCORED, warnings=(*incumbent.warnings, told))


def _order(field: Field, incumbent: _Incumbent) -> candidates.Order:
    champion, case = incumbent.champion, field.case
    assert champion is not None  # A twin is of a champion.
    return champion.trainer, case.split.train, champion.params, champion.seed, case.grid


def _realised(fields: Sequence[Field], incumbents: Sequence[_Incumbent]) -> list[_Incumbent]:
    """Ask the stored champions of candidates' own recipes about what came after they were fitted."""
    done, wanted = list(incumbents), []
    for place, (field, each) in enumerate(zip(fields, incumbents, strict=True)):
        if each.how != SAME_RECIPE or each.stored is None or each.champion is None or each.champion.fit_end is None:
            continue
        since = windows.since(field.case.series, field.case.grid, forecasting.stamp(each.champion.fit_end))
        if since is not None:
            wanted.append((place, each.champion.trainer, each.stored, since))
    said = candidates.forecast_all([(trainer, stored, (since,)) for _, trainer, stored, since in wanted])
    for (place, _, _, _), scored in zip(wanted, said, strict=True):
        if isinstance(scored, Scored):
            done[place] = replace(done[place], realised=scored)
    return done


def _reports(wanted: Sequence[tuple[Field, Candidate]], incumbents: Sequence[_Incumbent]) -> list[GateReport]:
    beside = [_beside(*each, incumbent) for each, incumbent in zip(wanted, incumbents, strict=True)]
    compared = zip(wanted, incumbents, comparing.compare_all(beside), strict=True)
    return [
        gate.decide(
            comparison,
            field.case.policy.gate_limits,
            incumbent_version=str(incumbent.champion.pk) if incumbent.champion else "",
            snapshot=field.case.snapshot.digest,
        )
        for (field, _), incumbent, comparison in compared
    ]


def _beside(field: Field, candidate: Candidate, incumbent: _Incumbent) -> Beside:
    return Beside(
        candidate=candidate.test,
        naive=field.naive.test,
        naive_candidate=candidate is field.naive,
        incumbent=incumbent.scored,
        how=incumbent.how,
        champion=incumbent.said,
        realised=incumbent.realised,
    )


def _judged(field: Field, incumbent: _Incumbent, report: GateReport) -> Judged:
    first_naive = incumbent.champion is None and field.picked is field.naive
    return Judged(
        field=field,
        candidate=field.picked,
        report=report,
        champion=incumbent.champion,
        stored=incumbent.stored,
        cause="floor" if first_naive and report.verdict is Verdict.PASSED else "gate",
        warnings=_warnings(field, incumbent),
    )


def _warnings(field: Field, incumbent: _Incumbent) -> tuple[str, ...]:
    return (*field.case.warnings, *field.warnings, *incumbent.warnings)


def _floors(
    fields: Sequence[Field], incumbents: Sequence[_Incumbent], reports: Sequence[GateReport]
) -> dict[int, Judged]:
    """Let seasonal naive serve where the picked recipe failed and nothing serves yet; both stand in the report."""
    places = [
        place
        for place, (field, incumbent, report) in enumerate(zip(fields, incumbents, reports, strict=True))
        if report.verdict is Verdict.FAILED and incumbent.champion is None and field.picked is not field.naive
    ]
    naive = _reports([(fields[place], fields[place].naive) for place in places], [incumbents[p] for p in places])
    return {
        place: _floor(fields[place], reports[place], report, incumbents[place])
        for place, report in zip(places, naive, strict=True)
    }


def _floor(field: Field, refused: GateReport, report: GateReport, incumbent: _Incumbent) -> Judged:
    told = Check(rule="picked", outcome="warned", sentence=f"{field.picked.trainer} was refused: {refused.reason}")
    reason = f"{told.sentence} {report.reason}" if report.verdict is Verdict.PASSED else report.reason
    return Judged(
        field=field,
        candidate=field.naive,
        report=replace(report, reason=reason, checks=(told, *report.checks)),
        champion=None,
        stored=None,
        cause="floor",
        warnings=_warnings(field, incumbent),
    )
