"""The exact optimiser reaches the maximum of the posterior: by its conditions, by another way, and beside CmdStan."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophet.models import CmdStanPyBackend

from benchmarks.prophet_fit import optimality
from benchmarks.prophet_fit.cases import Case, Posed, pose
from benchmarks.prophet_fit.real import series
from tests.training.trainers.prophet_map import problems
from training.trainers.prophet_map import additive, face, gauss_newton, lasso, optimiser, surface
from training.trainers.prophet_map.problem import Growth, Mask, Optimum, Problem, hinges, objective

NAMES = list(problems.cases())
EASY = [name for name in NAMES if name not in ("many changepoints", "large numbers", "loose")]
BOTH_PATHS = pytest.mark.parametrize("compiled", [True, False], ids=["numba", "numpy"])


def optimum(posed: Posed) -> Optimum:
    """The optimum from Prophet's start."""
    return optimiser.optimise(posed.problem, k=float(posed.init["k"]), m=float(posed.init["m"]))


@BOTH_PATHS
@pytest.mark.parametrize("name", NAMES)
def test_the_conditions_of_the_optimum_are_met(name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "COMPILED", compiled)
    posed = problems.posed(name)
    found = optimum(posed)
    assert found.converged
    seen = optimality.conditions(posed.problem, found)
    # What is a sum of others stays out; of those that differ by less than a rounding either may stand for both.
    most = 1e-8 if posed.problem.is_linear else 1e-4
    assert seen.delta <= most + seen.rounding
    assert seen.ridge <= 1e2 * most + seen.rounding


@pytest.mark.parametrize("name", EASY)
def test_another_way_leads_to_the_same_value(name: str) -> None:
    posed = problems.posed(name)
    other = optimality.by_bounds(posed.problem, k=float(posed.init["k"]), m=float(posed.init["m"]))
    assert other == pytest.approx(objective(posed.problem, optimum(posed)), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_cmdstan_finds_nothing_better(name: str) -> None:
    posed = problems.posed(name)
    ours = objective(posed.problem, optimum(posed))
    stan = CmdStanPyBackend()
    params = stan.fit(posed.init, posed.data, sig_figs=17)
    stan.cleanup()
    theirs = Optimum(
        k=float(params["k"][0, 0]),
        m=float(params["m"][0, 0]),
        delta=params["delta"][0],
        beta=params["beta"][0],
        sigma=float(params["sigma_obs"][0, 0]),
        rounds=0,
        converged=True,
    )
    assert objective(posed.problem, theirs) == pytest.approx(-float(params["lp__"][0, 0]), rel=1e-9, abs=1e-6)
    assert objective(posed.problem, theirs) - ours >= -1e-3


@pytest.mark.parametrize("name", [name for name in NAMES if problems.posed(name).problem.is_linear])
def test_the_compiled_loops_find_what_numpy_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    posed = problems.posed(name)
    monkeypatch.setattr(additive, "COMPILED", True)
    one = optimum(posed)
    monkeypatch.setattr(additive, "COMPILED", False)
    other = optimum(posed)
    assert objective(posed.problem, one) == pytest.approx(objective(posed.problem, other), rel=1e-10)
    if name not in ("large numbers", "changepoints on one day"):  # several changes of slope are equally good there
        assert one.delta == pytest.approx(other.delta, rel=1e-6, abs=1e-8)


def test_the_compiled_lasso_is_that_of_numpy() -> None:
    from training.trainers.prophet_map.lasso_loops import lasso as compiled

    for seed in range(40):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(1, 12))
        columns = rng.normal(size=(30, size))
        gram, pull, weight = columns.T @ columns, rng.normal(size=size) * 20, float(rng.uniform(1, 20))
        expected = lasso.minimise(gram, pull, weight, np.zeros(size))
        found, sign, factor, z = np.zeros(size), np.empty(size), np.empty((size, size)), np.empty(size)
        compiled(gram, pull, weight, found, sign, np.empty(size, np.int64), factor, z)
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


@BOTH_PATHS
def test_a_series_is_fitted_the_same_whatever_stands_beside_it(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "COMPILED", compiled)
    posed = problems.posed("real").problem
    columns, scales = optimiser.ridge_columns(posed.t, posed.features, posed.scales, posed.growth)
    shared = additive.basis(columns, scales, hinges(posed.t, posed.changepoints))
    y = np.stack([posed.y, posed.y[::-1], np.roll(posed.y, 30)])
    together = additive.fit(shared, y, tau=posed.tau)
    for number in range(3):
        alone = additive.fit(shared, y[number : number + 1], tau=posed.tau)
        assert together.converged[number]
        assert together.parameters[number] == pytest.approx(alone.parameters[0], rel=1e-9, abs=1e-11)
        assert together.delta[number] == pytest.approx(alone.delta[0], rel=1e-9, abs=1e-11)


def test_a_search_that_starts_far_off_arrives() -> None:
    # From here steps of Gauss-Newton lead over a saddle and have to be cut to a hundredth.
    rows = series()["prophet_daily"].head(255).assign(floor=10.0, cap=80.0)
    posed = pose(Case(name="floor", rows=rows, settings={"growth": "logistic"}))
    found = optimum(posed)
    assert found.converged
    assert found.rounds < 30
    assert optimality.conditions(posed.problem, found).delta < 1e-4


def test_threads_do_not_disturb_one_another() -> None:
    wanted = [problems.posed(name) for name in ("real", "real, multiplicative", "logistic", "gaps")] * 4
    alone = [optimum(posed) for posed in wanted]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(optimum, wanted))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.delta, other.delta)
        assert (one.k, one.m, one.sigma) == (other.k, other.m, other.sigma)


def test_a_perfect_line_has_a_finite_answer_that_lies_on_it() -> None:
    posed = pose(Case(name="line", rows=problems.days(np.linspace(10.0, 50.0, 120))))
    found = optimum(posed)
    assert found.converged
    assert found.k == pytest.approx(0.8, abs=1e-6)
    assert 0 < found.sigma < 1e-6


def test_an_exact_fit_is_an_answer_also_where_rounding_keeps_the_rounds_from_ending() -> None:
    columns = np.stack([[0.0, 0.5, 1.0], np.ones(3)], axis=1)
    shared = additive.basis(columns, np.full(2, 5.0), hinges(columns[:, 0], np.array([0.3])))
    found = additive.fit(shared, np.array([[1.0, 0.11596667, -0.35211633]]), tau=0.5)
    assert found.converged.all()
    assert found.variance[0] == pytest.approx(1e-20)


def test_a_search_that_gets_nowhere_has_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauss_newton, "_step", lambda *_: (None, False))
    assert not optimum(problems.posed("real, multiplicative")).converged


@pytest.mark.parametrize("name", ["real, multiplicative", "flat, multiplicative", "logistic, multiplicative"])
def test_newtons_steps_have_the_derivatives_of_the_objective(name: str) -> None:
    posed = problems.posed(name).problem
    seen, rng = surface.of(posed), np.random.default_rng(1)
    delta = np.where(np.arange(seen.bends.shape[1]) % 5 == 2, 0.1, 0.0)
    used = np.flatnonzero(delta)
    w = np.concatenate([[0.3] * (seen.levels - 1), [0.6], 0.05 * rng.normal(size=len(seen.scales) - seen.levels)])
    here = surface.see(seen, surface.Point(w=w, delta=delta))
    slope, curvature = face._slope_and_curvature(seen, here, used)
    for place in range(len(slope)):
        step = np.zeros(len(slope))
        step[place] = 1e-5
        up, down = (surface.see(seen, face._moved(here.point, each, used)) for each in (step, -step))
        assert slope[place] == pytest.approx((up.value - down.value) / 2e-5, rel=1e-5, abs=1e-3)
        change = (face._slope_and_curvature(seen, up, used)[0] - face._slope_and_curvature(seen, down, used)[0]) / 2e-5
        assert curvature[place] == pytest.approx(change, rel=1e-4, abs=1e-5 * float(np.abs(curvature).max()))


def test_the_rounds_running_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "COMPILED", False)
    monkeypatch.setattr(additive, "MOST_ROUNDS", 1)
    assert not optimum(problems.posed("real")).converged


@pytest.mark.parametrize("name", ["real", "real, multiplicative", "logistic"])
@BOTH_PATHS
def test_what_is_not_finite_has_no_optimum(name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "COMPILED", compiled)
    posed = problems.posed(name)
    y = posed.problem.y.copy()
    y[7] = np.nan
    with np.errstate(all="ignore"):
        assert not optimum(replace(posed, problem=replace(posed.problem, y=y))).converged


@st.composite
def small_problems(draw: st.DrawFn) -> Problem:
    """Any problem of 8 to 40 rows; also nonsense, such as features that are all alike."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, width, size = draw(st.integers(8, 40)), draw(st.integers(0, 6)), draw(st.integers(1, 12))
    growth = draw(st.sampled_from(Growth))
    features = np.round(rng.normal(size=(count, width)), draw(st.integers(0, 3)))
    kinds = rng.integers(0, 3, width)
    y = rng.normal(size=count) + draw(st.sampled_from([0.0, 5.0])) * np.linspace(-1, 1, count) ** 2
    return Problem(
        y=y / max(float(np.abs(y).max()), 1e-3),
        t=np.linspace(0.0, 1.0, count),
        cap=np.full(count, 1.5),
        changepoints=np.sort(np.round(rng.random(size) * 0.8, draw(st.integers(1, 4)))),
        features=features,
        additive=kinds == 0,
        multiplicative=kinds == 1,
        scales=rng.uniform(0.1, 10.0, width),
        tau=draw(st.sampled_from([1e-3, 0.05, 0.5, 5.0])),
        growth=growth,
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(posed=small_problems(), seed=st.integers(0, 1000))
def test_no_step_away_from_the_optimum_of_any_small_problem_leads_lower(posed: Problem, seed: int) -> None:
    found = optimiser.optimise(posed, k=0.1, m=0.5)
    assert found.converged
    here, rng = objective(posed, found), np.random.default_rng(seed)
    used = posed.additive | posed.multiplicative
    for size in np.geomspace(1e-6, 1.0, 200):
        away = _moved(found, rng, float(size), used, is_flat=posed.growth is Growth.FLAT)
        assert objective(posed, away) >= here - 1e-9 * max(abs(here), 1.0)


def _moved(found: Optimum, rng: np.random.Generator, size: float, used: Mask, *, is_flat: bool) -> Optimum:
    delta = found.delta + size * rng.normal(size=len(found.delta)) * (rng.random(len(found.delta)) < 0.3)
    return replace(
        found,
        k=0.0 if is_flat else found.k + size * rng.normal(),
        m=found.m + size * rng.normal(),
        delta=found.delta if is_flat else delta,
        beta=found.beta + size * rng.normal(size=len(found.beta)) * used,
        sigma=found.sigma * float(np.exp(size * rng.normal())),
    )
