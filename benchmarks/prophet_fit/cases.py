"""Owns what one measured fit is: rows, Prophet's settings, and the problem that Prophet makes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

# By way of this module, which quiets the library and CmdStan's wrapper before it imports them.
from training.trainers.prophet_cmdstan import Prophet
from training.trainers.prophet_map import backend
from training.trainers.prophet_map.problem import Problem

CMDSTAN, EXACT = "CMDSTANPY", backend.NAME


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One series with the settings it is fitted with."""

    name: str
    rows: pd.DataFrame
    """Columns ds and y; cap (and floor) for logistic growth; regressors."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    regressors: tuple[str, ...] = ()
    country: str | None = None
    horizon: int = 28
    """Rows held out where forecasts are compared."""

    def model(self, name: str, kind: type[Prophet] = Prophet) -> Prophet:
        """Return an unfitted Prophet with this backend."""
        made = kind(stan_backend=name, **self.settings)
        if self.country:
            made.add_country_holidays(self.country)
        for regressor in self.regressors:
            made.add_regressor(regressor)
        return made


@dataclass(frozen=True, kw_only=True, eq=False)
class Posed:
    """What Prophet hands to a backend."""

    data: dict[str, Any]
    init: dict[str, Any]
    problem: Problem


def pose(case: Case) -> Posed:
    """Return the problem of a case, as Prophet poses it."""
    made = case.model(EXACT)
    inputs = made.preprocess(case.rows)
    init = dataclasses.asdict(made.calculate_initial_params(inputs.K))
    data = dataclasses.asdict(inputs)
    return Posed(data=data, init=init, problem=backend.problem_of(data))
