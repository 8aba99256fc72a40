"""The benchmark of Prophet's fits runs from end to end, small, and judges its figures; its times prove nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.prophet_fit import optimality, real, simulated, verdict
from benchmarks.prophet_fit.cases import pose
from training.trainers.prophet_map import optimiser
from training.trainers.prophet_map.problem import Optimum

PROJECT = Path(__file__).resolve().parents[2]
CUTOFF = {"mae": 1.02, "mae_cmdstan": 1.0, "in_sample": 0.5, "horizon": 0.01}
CASE = {"set": "real", "name": "a", "linear": True, "perfect": False, "optimizer": "exact", "cutoffs": [CUTOFF]}
AT_BOUNDS = [
    {**CASE, "lp_gain": -1e-3, "kkt": 1e-8, "split_gap": -1e-6},
    {**CASE, "lp_gain": 5.0, "kkt": 1e-4, "split_gap": -1e-6, "linear": False, "set": "simulated"},
]
TIMES: dict[str, dict[str, float]] = {
    "backend": {"exact_times_faster": 12.0},
    "fit": {"exact_times_faster": 2.0, "cached_times_faster": 5.0},
    "batch": {"fits_per_second": 15_000},
}


def missed(cases: list[dict[str, Any]], times: dict[str, Any] = TIMES) -> list[str]:
    figures = {"timings": {200: times}, "cases": cases, "parity": verdict.parity(cases)}
    return [each["what"] for each in verdict.accept(figures) if not each["ok"]]


@pytest.mark.timeout(300)
def test_the_benchmark_runs_from_end_to_end() -> None:
    command = [sys.executable, "-m", "benchmarks.prophet_fit", "--quick", "--json"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert len(found["cases"]) == 7
    assert found["timings"]["200"]["batch"]["converged"] == 20
    assert all(set(each) == {"what", "value", "bound", "ok"} for each in found["accept"])
    assert [each["what"] for each in found["accept"] if each["what"].startswith("optimum") and not each["ok"]] == []


def test_figures_at_their_bounds_are_accepted() -> None:
    assert missed(AT_BOUNDS) == []


@pytest.mark.parametrize(
    ("place", "worse", "what"),
    [
        (0, {"lp_gain": -2e-3}, "least gain"),
        (0, {"kkt": 2e-8}, "additive: conditions"),
        (0, {"split_gap": 2e-6}, "difference to split"),
        (1, {"kkt": 2e-4}, "others: conditions"),
        (1, {"split_gap": -2e-6}, "ends below"),
        (1, {"optimizer": "cmdstan"}, "take over"),
        (0, {"cutoffs": [{**CUTOFF, "mae": 1.03}]}, "geometric mean"),
        (0, {"cutoffs": [{**CUTOFF, "mae": 0.97}]}, "geometric mean"),
        (0, {"cutoffs": [{**CUTOFF, "horizon": 0.011}]}, "median difference"),
    ],
)
def test_a_case_beyond_a_bound_is_not_accepted(place: int, worse: dict[str, Any], what: str) -> None:
    cases = list(AT_BOUNDS)
    cases[place] = {**cases[place], **worse}
    found = missed(cases)
    assert len(found) == 1
    assert what in found[0]


def test_a_perfect_fit_is_told_and_not_judged() -> None:
    perfect = {**CASE, "name": "line", "perfect": True, "lp_gain": -9.0, "kkt": 1.0, "split_gap": 9.0}
    assert missed([*AT_BOUNDS, perfect]) == []
    assert verdict.parity([*AT_BOUNDS, perfect])["real"]["perfect_fits"] == ["line"]


@pytest.mark.parametrize("slower", ["backend", "fit", "batch"])
def test_a_ratio_below_its_bound_is_not_accepted(slower: str) -> None:
    times = {**TIMES, slower: {name: 0.9 * value for name, value in TIMES[slower].items()}}
    assert len(missed(AT_BOUNDS, times)) == len(TIMES[slower])


def test_the_check_of_conditions_sees_what_is_no_optimum() -> None:
    posed = pose(simulated.case(0))
    found = optimiser.optimise(posed.problem, k=0.0, m=0.0)
    beside = Optimum(
        k=found.k, m=found.m + 1e-4, delta=found.delta, beta=found.beta, sigma=found.sigma, rounds=0, converged=True
    )
    assert optimality.conditions(posed.problem, found).ridge < 1e-8
    assert optimality.conditions(posed.problem, beside).ridge > 1e-4


def test_simulated_series_are_the_same_for_the_same_number_and_of_every_kind() -> None:
    one, again = simulated.case(3), simulated.case(3)
    assert one.rows.equals(again.rows)
    cases = [simulated.case(number) for number in range(220)]
    growths = [case.settings["growth"] for case in cases]
    assert {growths.count(kind) > 10 for kind in ("linear", "logistic", "flat")} == {True}
    assert sum(case.settings["seasonality_mode"] == "multiplicative" for case in cases) > 50
    assert sum(len(case.rows) < 100 for case in cases) > 10
    assert all(np.isfinite(case.rows["y"]).all() for case in cases)


def test_every_real_series_has_rows() -> None:
    assert len(real.cases()) > 35
    assert all(len(case.rows) > 50 for case in real.cases())
