"""Owns one case fitted by both: which objective is lower, whether ours is the optimum, and what they forecast."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from prophet.models import CmdStanPyBackend

from benchmarks.prophet_fit import optimality, real, simulated
from benchmarks.prophet_fit.cases import CMDSTAN, EXACT, Case, Posed, pose
from training.trainers.prophet_map.backend import ExactBackend
from training.trainers.prophet_map.problem import Optimum, objective

LEAST_TRAIN = 100
PERFECT = 1e-6
"""Fitted standard deviation, over the largest target, below which the posterior has no finite optimum to speak of."""
DIGITS = 17


def listed(*, real_cases: int | None, simulated_cases: int) -> list[tuple[str, int]]:
    """Return the keys of all cases, those of real series first."""
    count = len(real.cases()) if real_cases is None else real_cases
    return [*(("real", number) for number in range(count)), *(("simulated", each) for each in range(simulated_cases))]


def measured(key: tuple[str, int], cutoffs: int) -> dict[str, Any]:
    """Return all that is compared of one case; simulated ones have one cutoff."""
    kind, number = key
    warnings.simplefilter("ignore")
    case = real.cases()[number] if kind == "real" else simulated.case(number)
    found = _optimum(case)
    wanted = cutoffs if kind == "real" else 1
    return {"set": kind, "name": case.name, **found, "cutoffs": _rolling(case, wanted)}


def _optimum(case: Case) -> dict[str, Any]:
    posed = pose(case)
    exact = ExactBackend()
    ours = _parameters(exact.fit(posed.init, posed.data))
    seen = optimality.conditions(posed.problem, ours)
    value = objective(posed.problem, ours)
    other = optimality.by_bounds(posed.problem, k=float(posed.init["k"]), m=float(posed.init["m"]))
    return {
        "rows": len(posed.problem.y),
        "linear": posed.problem.is_linear,
        "growth": str(posed.problem.growth),
        "optimizer": exact.report.optimizer,
        "iterations": exact.report.iterations,
        "perfect": ours.sigma < PERFECT,
        "lp_gain": _cmdstans(posed) - value,
        "kkt": seen.delta,
        "split_gap": other - value,
    }


def _cmdstans(posed: Posed) -> float:
    """Return the objective at CmdStan's end, with all digits."""
    stan = CmdStanPyBackend()
    try:
        return objective(posed.problem, _parameters(stan.fit(posed.init, posed.data, sig_figs=DIGITS)))
    finally:
        stan.cleanup()


def _parameters(params: Any) -> Optimum:
    k, m, sigma = (float(params[name][0, 0]) for name in ("k", "m", "sigma_obs"))
    return Optimum(k=k, m=m, delta=params["delta"][0], beta=params["beta"][0], sigma=sigma, rounds=0, converged=True)


def _rolling(case: Case, cutoffs: int) -> list[dict[str, float]]:
    """Return errors and differences over rolling origins, each with at least 100 rows to learn from."""
    ends = [len(case.rows) - case.horizon * (number + 1) for number in range(cutoffs)]
    return [_cutoff(case, end) for end in ends if end >= LEAST_TRAIN]


def _cutoff(case: Case, end: int) -> dict[str, float]:
    train, test = case.rows.head(end), case.rows.iloc[end : end + case.horizon]
    answers = {name: _forecasts(case, name, train, test) for name in (EXACT, CMDSTAN)}
    scale, truth = float(train["y"].abs().max()) or 1.0, test["y"].to_numpy(dtype=np.float64)
    errors = {name: float(np.abs(each[end:] - truth).mean()) for name, each in answers.items()}
    apart = np.abs(answers[EXACT] - answers[CMDSTAN]) / scale
    return {
        "mae": errors[EXACT],
        "mae_cmdstan": errors[CMDSTAN],
        "in_sample": float(apart[:end].max()),
        "horizon": float(apart[end:].max()),
    }


def _forecasts(case: Case, name: str, train: pd.DataFrame, test: pd.DataFrame) -> Any:
    model = case.model(name)
    model.uncertainty_samples = 0
    model.fit(train)
    found = model.predict(pd.concat([train, test]).drop(columns="y"))["yhat"].to_numpy()
    if model.stan_backend is not None:
        model.stan_backend.cleanup()
    return found
