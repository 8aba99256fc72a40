"""Fits what a policy wants tried, seasonal naive always among it, and picks one candidate for each case.

The choice sees windows inside the train part only; the test windows are forecast once, by what was picked and by naive.
Whatever is fitted or asked goes to its trainer in one call for all cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from registry.errors import PerennialError
from registry.models import Fleet
from training import evaluation
from training.cases import Case
from training.evaluation import Scored
from training.policy_terms import TrainerChoice
from training.trainers import table
from training.trainers.base import Fitted, Forecaster, Grid, Params, Refused, Series
from training.windows import Split, Window

DEFAULT_TRAINERS = {Fleet.Kind.FORECAST: "prophet", Fleet.Kind.REGRESSION: "random_forest"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One fitted recipe of a case, with its forecasts of validation and test windows."""

    case: Case
    trainer: str
    fitted: Fitted
    validation: Scored | None
    test: Scored


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """All that stands for one case: the picked candidate, and seasonal naive, which may be the same."""

    case: Case
    picked: Candidate
    naive: Candidate
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tried:
    """One recipe of one case, fitted, and its forecasts of the validation windows."""

    trainer: str
    fit: Fitted | Refused
    validation: Scored | None
    error: float | None
    """MAE on the validation windows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pick:
    """What was chosen for one case among what was tried."""

    case: Case
    chosen: _Tried
    naive: _Tried
    warnings: tuple[str, ...]


def line_up(cases: Sequence[Case]) -> tuple[list[Field], list[tuple[Case, Refused]]]:
    """Fit every recipe of every case, trainer by trainer over all cases at once, and pick one for each."""
    picks = [_pick(case, tried) for case, tried in zip(cases, _tried(cases), strict=True)]
    refused = [(case, each) for case, each in zip(cases, picks, strict=True) if isinstance(each, Refused)]
    return _fields([each for each in picks if isinstance(each, _Pick)]), refused


def recipes(case: Case) -> list[TrainerChoice]:
    """Return the recipes of a case's policy in their order, seasonal naive last."""
    wanted = list(case.policy.trainers) or [TrainerChoice(name=DEFAULT_TRAINERS[Fleet.Kind(case.grid.kind)])]
    return [choice for choice in wanted if choice.name != table.SEASONAL_NAIVE] + [
        TrainerChoice(name=table.SEASONAL_NAIVE)
    ]


Recipe = tuple[str, Params]
Order = tuple[str, Series, Params, int, Grid]


def fit_all(orders: Sequence[Order]) -> list[Fitted | Refused]:
    """Fit (trainer, train part, parameters, seed, grid) each, one call for each trainer and grid; outcomes in order."""
    return evaluation.in_groups(orders, key=lambda order: (order[0], order[4]), make=_fit)


def _fit(orders: Sequence[Order]) -> list[Fitted | Refused]:
    done: list[Fitted | Refused] = table.find(orders[0][0]).fit_many(
        [train for _, train, _, _, _ in orders],
        params=[params for _, _, params, _, _ in orders],
        seeds=[seed for _, _, _, seed, _ in orders],
        grid=orders[0][4],
    )
    return done


ToForecast = tuple[str, Forecaster, Sequence[Window]]


def forecast_all(wanted: Sequence[ToForecast]) -> list[Scored | PerennialError]:
    """Forecast windows by (trainer, forecaster, windows) each, one call for each trainer; answers in order."""
    return evaluation.in_groups(wanted, key=lambda each: each[0], make=_forecast)


def _forecast(wanted: Sequence[ToForecast]) -> list[Scored | PerennialError]:
    ask = table.find(wanted[0][0]).predict_many
    return evaluation.predict_all([(forecaster, on) for _, forecaster, on in wanted], ask)


def _tried(cases: Sequence[Case]) -> Iterator[list[_Tried]]:
    """Yield for each case what was tried, in the order of its recipes."""
    known: dict[int, list[Recipe]] = {}
    for case in cases:
        known.setdefault(id(case.policy), [])
        if not known[id(case.policy)]:
            known[id(case.policy)] = [(each.name, _params(each)) for each in recipes(case)]
    tries = [(case, recipe) for case in cases for recipe in known[id(case.policy)]]
    fits = fit_all([_order(case, recipe, case.split.train) for case, recipe in tries])
    validations = _validations(tries)
    errors = evaluation.mean_errors(validations)
    done = iter(
        _Tried(trainer=name, fit=fit, validation=validation, error=error)
        for (_, (name, _)), fit, validation, error in zip(tries, fits, validations, errors, strict=True)
    )
    for case in cases:
        yield [next(done) for _ in known[id(case.policy)]]


def _params(choice: TrainerChoice) -> Params:
    checked: Params = table.find(choice.name).check_params(choice.params)
    return checked


def _order(case: Case, recipe: Recipe, train: Series) -> Order:
    return recipe[0], train, recipe[1], case.seed, case.grid


def _validations(tries: Sequence[tuple[Case, Recipe]]) -> list[Scored | None]:
    """Fit each recipe on the front of its train part and forecast the windows behind it."""
    inner = {id(case): evaluation.validation_split(case.split.train, case.grid) for case, _ in tries}
    splits = [inner[id(case)] for case, _ in tries]
    usable = [(place, split) for place, split in enumerate(splits) if isinstance(split, Split)]
    fits = fit_all([_order(*tries[place], split.train) for place, split in usable])
    fitted = [(place, split, fit) for (place, split), fit in zip(usable, fits, strict=True) if isinstance(fit, Fitted)]
    said = forecast_all([(tries[place][1][0], fit.forecaster, split.windows) for place, split, fit in fitted])
    scored: list[Scored | None] = [None] * len(tries)
    for (place, _, _), each in zip(fitted, said, strict=True):
        scored[place] = each if isinstance(each, Scored) else None
    return scored


def _pick(case: Case, tried: Sequence[_Tried]) -> _Pick | Refused:
    """Pick by the validation windows; a recipe that could not be fitted is a warning as long as another was."""
    fitted = {each.trainer: each for each in tried if isinstance(each.fit, Fitted)}
    failed = [(each.trainer, each.fit) for each in tried if isinstance(each.fit, Refused)]
    if table.SEASONAL_NAIVE not in fitted or (len(fitted) == 1 and failed):
        return failed[0][1]
    chosen = evaluation.choose({name: each.error for name, each in fitted.items()})
    told = [f"{trainer} was left out: {refused.sentence}" for trainer, refused in failed]
    fits = [each.fit for each in fitted.values()]
    return _Pick(
        case=case,
        chosen=fitted[chosen],
        naive=fitted[table.SEASONAL_NAIVE],
        warnings=(*told, *(warning for fit in fits if isinstance(fit, Fitted) for warning in fit.warnings)),
    )


def _fields(picks: Sequence[_Pick]) -> list[Field]:
    """Forecast the test windows of every pick and of every naive, once where they are the same."""
    wanted = [(pick.case, each) for pick in picks for each in {id(t): t for t in (pick.chosen, pick.naive)}.values()]
    made = {id(tried): candidate for (_, tried), candidate in zip(wanted, _candidates(wanted), strict=True)}
    return [
        Field(case=pick.case, picked=made[id(pick.chosen)], naive=made[id(pick.naive)], warnings=pick.warnings)
        for pick in picks
    ]


def _candidates(wanted: Sequence[tuple[Case, _Tried]]) -> list[Candidate]:
    fitted = [(case, tried, tried.fit) for case, tried in wanted if isinstance(tried.fit, Fitted)]
    tests = forecast_all([(tried.trainer, fit.forecaster, case.split.windows) for case, tried, fit in fitted])
    made = []
    for (case, tried, fit), test in zip(fitted, tests, strict=True):
        if isinstance(test, PerennialError):
            raise test  # What was fitted on these very columns has to answer; the run says so where it does not.
        made.append(Candidate(case=case, trainer=tried.trainer, fitted=fit, validation=tried.validation, test=test))
    return made
