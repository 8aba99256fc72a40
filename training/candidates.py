"""Fits what a policy wants tried, seasonal naive always among it, and picks one candidate for each case.

The choice sees windows inside the train part only; the test windows are forecast once, by what was picked and by naive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.models import Fleet
from training import evaluation
from training.cases import Case
from training.dataset import Split
from training.evaluation import Scored
from training.policy_terms import TrainerChoice
from training.trainers import table
from training.trainers.base import Fitted, Grid, Params, Refused, Series

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


@dataclass(frozen=True, kw_only=True)
class _Try:
    """One recipe to be fitted for one case."""

    case: Case
    trainer: str
    params: Params


def line_up(cases: Sequence[Case]) -> tuple[list[Field], list[tuple[Case, Refused]]]:
    """Fit every recipe of every case, trainer by trainer over all cases at once, and pick one for each."""
    tries = [_Try(case=case, trainer=choice.name, params=_params(choice)) for case in cases for choice in recipes(case)]
    fits = dict(
        zip(
            map(id, tries),
            fit_all([(t.trainer, t.case.split.train, t.params, t.case.seed, t.case.grid) for t in tries]),
            strict=True,
        )
    )
    checks = _validations(tries)
    made = [_field(case, [(t, fits[id(t)], checks[id(t)]) for t in tries if t.case is case]) for case in cases]
    fields = [each for each in made if isinstance(each, Field)]
    refused = [(case, each) for case, each in zip(cases, made, strict=True) if isinstance(each, Refused)]
    return fields, refused


def recipes(case: Case) -> list[TrainerChoice]:
    """Return the recipes of a case's policy in their order, seasonal naive last."""
    wanted = list(case.policy.trainers) or [TrainerChoice(name=DEFAULT_TRAINERS[Fleet.Kind(case.grid.kind)])]
    return [choice for choice in wanted if choice.name != table.SEASONAL_NAIVE] + [
        TrainerChoice(name=table.SEASONAL_NAIVE)
    ]


def _params(choice: TrainerChoice) -> Params:
    checked: Params = table.find(choice.name).check_params(choice.params)
    return checked


Order = tuple[str, Series, Params, int, Grid]


def fit_all(orders: Sequence[Order]) -> list[Fitted | Refused]:
    """Fit (trainer, train part, parameters, seed, grid) each, one call for each trainer and grid; outcomes in order."""
    outcomes: dict[int, Fitted | Refused] = {}
    for trainer, grid in dict.fromkeys((order[0], order[4]) for order in orders):
        mine = [place for place, order in enumerate(orders) if (order[0], order[4]) == (trainer, grid)]
        done = table.find(trainer).fit_many(
            [orders[place][1] for place in mine],
            params=[orders[place][2] for place in mine],
            seeds=[orders[place][3] for place in mine],
            grid=grid,
        )
        outcomes.update(zip(mine, done, strict=True))
    return [outcomes[place] for place in range(len(orders))]


def _validations(tries: Sequence[_Try]) -> dict[int, Scored | None]:
    """Fit each recipe on the front of its train part and forecast the windows behind it."""
    inner = {id(t): evaluation.validation_split(t.case.split.train, t.case.grid) for t in tries}
    usable = [(t, split) for t in tries if isinstance(split := inner[id(t)], Split)]
    fits = fit_all([(t.trainer, split.train, t.params, t.case.seed, t.case.grid) for t, split in usable])
    scored: dict[int, Scored | None] = {id(t): None for t in tries}
    for (t, split), fit in zip(usable, fits, strict=True):
        if isinstance(fit, Fitted):
            scored[id(t)] = evaluation.predict_windows(fit.forecaster, split.windows)
    return scored


def _field(case: Case, tried: Sequence[tuple[_Try, Fitted | Refused, Scored | None]]) -> Field | Refused:
    """Pick by the validation windows; a recipe that could not be fitted is a warning as long as another was."""
    fitted = {t.trainer: (fit, validation) for t, fit, validation in tried if isinstance(fit, Fitted)}
    failed = [(t.trainer, fit) for t, fit, _ in tried if isinstance(fit, Refused)]
    if table.SEASONAL_NAIVE not in fitted or (len(fitted) == 1 and failed):
        return failed[0][1]
    chosen = evaluation.choose({name: validation for name, (_, validation) in fitted.items()})
    naive = _candidate(case, table.SEASONAL_NAIVE, *fitted[table.SEASONAL_NAIVE])
    picked = naive if chosen == table.SEASONAL_NAIVE else _candidate(case, chosen, *fitted[chosen])
    return Field(case=case, picked=picked, naive=naive, warnings=_warnings(failed, fitted))


def _warnings(
    failed: Sequence[tuple[str, Refused]], fitted: Mapping[str, tuple[Fitted, Scored | None]]
) -> tuple[str, ...]:
    told = [f"{trainer} was left out: {refused.sentence}" for trainer, refused in failed]
    return (*told, *(warning for fit, _ in fitted.values() for warning in fit.warnings))


def _candidate(case: Case, trainer: str, fitted: Fitted, validation: Scored | None) -> Candidate:
    test = evaluation.predict_windows(fitted.forecaster, case.split.windows)
    return Candidate(case=case, trainer=trainer, fitted=fitted, validation=validation, test=test)
