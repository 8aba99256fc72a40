"""Prophet takes the exact optimiser by its name, everywhere it makes models, and CmdStan stands in where it must."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet
from prophet.diagnostics import cross_validation
from prophet.models import CmdStanPyBackend, StanBackendEnum
from prophet.serialize import model_from_json, model_to_json

from tests.training.trainers.prophet_map import problems
from training.trainers import prophet_map
from training.trainers.prophet_map import additive, backend, gauss_newton, optimiser
from training.trainers.prophet_map.problem import Optimum, Problem


def fitted(rows: pd.DataFrame, **settings: Any) -> Any:
    return Prophet(stan_backend=backend.NAME, **settings).fit(rows)


def test_prophet_fits_with_it_and_tells_how() -> None:
    made = fitted(problems.real())
    assert made.stan_backend.get_type() == "PERENNIAL"
    report = made.stan_backend.report
    assert (report.optimizer, report.fallback_reason) == ("exact", "")
    assert report.iterations > 0
    assert {name: value.shape for name, value in made.params.items()} == {
        "k": (1, 1),
        "m": (1, 1),
        "delta": (1, 25),
        "sigma_obs": (1, 1),
        "beta": (1, 6),
    }


def test_parameters_have_as_many_digits_as_are_asked_for() -> None:
    made: Any = Prophet(stan_backend=backend.NAME).fit(problems.real(), sig_figs=4)
    whole = fitted(problems.real())
    for name in ("k", "m", "beta", "delta", "sigma_obs"):
        expected = [float(f"{each:.3e}") for each in whole.params[name].ravel()]
        assert made.params[name].ravel().tolist() == expected


def test_other_backends_are_still_known_and_unknown_ones_are_not() -> None:
    assert StanBackendEnum.get_backend_class("CMDSTANPY") is CmdStanPyBackend
    with pytest.raises(ValueError, match="Unknown stan backend: NONE"):
        StanBackendEnum.get_backend_class("NONE")


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_cmdstan_takes_over_where_the_rounds_run_out(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = problems.real()
    monkeypatch.setattr(additive, "COMPILED", False)
    monkeypatch.setattr(additive, "MOST_ROUNDS", 1)
    monkeypatch.setattr(gauss_newton, "MOST_STEPS", 1)
    made, library = fitted(rows, seasonality_mode=mode), Prophet(seasonality_mode=mode).fit(rows)
    report = made.stan_backend.report
    assert (report.optimizer, report.objective) == ("cmdstan", None)
    assert "no finite optimum after" in report.fallback_reason
    for name in ("k", "m", "delta", "beta", "sigma_obs"):
        assert np.array_equal(made.params[name], library.params[name])
    made.stan_backend.cleanup()


def test_cmdstan_is_asked_where_data_are_not_finite() -> None:
    posed = problems.posed("real")
    broken = {**posed.data, "X": posed.data["X"].assign(weekly_delim_1=np.inf)}
    one = backend.ExactBackend()
    with pytest.raises((RuntimeError, ValueError)):  # which has no answer either
        one.fit(posed.init, broken)
    assert one.report.optimizer == "cmdstan"
    assert one.report.fallback_reason


def test_matrices_that_cannot_be_factored_are_the_reason_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Optimum:
        raise np.linalg.LinAlgError("no convergence")

    monkeypatch.setattr(backend, "optimise", fails)
    report = fitted(problems.real()).stan_backend.report
    assert (report.optimizer, report.iterations) == ("cmdstan", 0)
    assert report.fallback_reason == "its matrices cannot be factored (no convergence)"


def test_samples_are_those_of_cmdstan() -> None:
    made: Any = Prophet(stan_backend=backend.NAME, mcmc_samples=20, n_changepoints=3)
    made.fit(problems.days(problems.walk(40)), chains=1, seed=3, show_progress=False)
    assert made.params["k"].shape == (10,)
    assert made.stan_backend.report.optimizer == "cmdstan"
    made.stan_backend.cleanup()


@pytest.mark.parametrize("word", ["init", "inits"])
def test_a_search_starts_where_it_is_told_to(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = problems.real()
    first = fitted(rows, seasonality_mode="multiplicative")
    starts = []
    original = optimiser.optimise

    def spied(posed: Problem, **start: Any) -> Optimum:
        starts.append(start)
        return original(posed, **start)

    monkeypatch.setattr(backend, "optimise", spied)
    given = {
        "k": float(first.params["k"][0, 0]),
        "m": float(first.params["m"][0, 0]),
        "sigma_obs": float(first.params["sigma_obs"][0, 0]),
        "delta": first.params["delta"][0],
        "beta": first.params["beta"][0],
    }
    again: Any = Prophet(stan_backend=backend.NAME, seasonality_mode="multiplicative").fit(rows, **{word: given})
    assert np.array_equal(starts[0]["delta"], given["delta"])
    assert starts[0]["k"] == given["k"]
    assert again.stan_backend.report.iterations < first.stan_backend.report.iterations
    assert again.params["k"] == pytest.approx(first.params["k"], rel=1e-6)


def test_a_start_of_another_shape_is_left_aside() -> None:
    given = {"k": 1.0, "m": 0.0, "sigma_obs": 1.0, "delta": np.ones(3), "beta": np.ones(2)}
    made: Any = Prophet(stan_backend=backend.NAME, seasonality_mode="multiplicative").fit(problems.real(), init=given)
    assert made.stan_backend.report.optimizer == "exact"


@pytest.mark.parametrize("parallel", [None, "threads", "processes"])
def test_cross_validation_fits_with_it(parallel: Any) -> None:
    made = fitted(problems.real(), uncertainty_samples=0)
    found = cross_validation(
        made, initial="300 days", period="60 days", horizon="30 days", parallel=parallel, disable_tqdm=True
    )
    expected = cross_validation(made, initial="300 days", period="60 days", horizon="30 days", disable_tqdm=True)
    pd.testing.assert_frame_equal(found, expected)


def test_models_of_regressors_are_fitted_with_it() -> None:
    rows = problems.real().assign(x=lambda each: np.sin(np.arange(len(each)) / 9.0))
    made = Prophet(stan_backend=backend.NAME, uncertainty_samples=0)
    made.add_regressor("x", regressor_predictor={"weekly_seasonality": False})
    made.fit(rows)
    inner = made.extra_regressors["x"]["predictor"]
    assert inner.stan_backend.report.optimizer == "exact"
    assert np.isfinite(made.predict(made.make_future_dataframe(5))["yhat"]).all()


def test_a_stored_model_needs_nothing_of_it() -> None:
    made = fitted(problems.real(), uncertainty_samples=0)
    again = model_from_json(model_to_json(made))
    future = made.make_future_dataframe(9)
    assert again.predict(future)["yhat"].to_numpy() == pytest.approx(made.predict(future)["yhat"].to_numpy(), rel=1e-12)


ALONE = """
import logging, sys
logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
if "{absent}":
    sys.modules["numba"] = None
import pandas as pd
from prophet import Prophet
from training.trainers.prophet_map import backend
rows = pd.DataFrame({{"ds": pd.date_range("2024-01-01", periods=60), "y": [float(n % 7 + n / 9) for n in range(60)]}})
print(Prophet(stan_backend="PERENNIAL").fit(rows).stan_backend.report.optimizer)
"""


def alone(*, absent: str) -> str:
    """What a process of its own prints last, where a library cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(absent=absent)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.split()[-1]


def test_it_fits_where_numba_is_not_installed() -> None:
    assert alone(absent="numba") == "exact"


def test_it_fits_where_numba_refuses_to_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(additive, "COMPILED", True)
    monkeypatch.delattr(prophet_map, "loops", raising=False)
    monkeypatch.setitem(sys.modules, "training.trainers.prophet_map.loops", None)
    additive._loops.cache_clear()
    try:
        assert fitted(problems.real()).stan_backend.report.optimizer == "exact"
    finally:
        additive._loops.cache_clear()


def test_loops_are_compiled_also_where_nothing_compiled_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    from training.trainers.prophet_map import compiling

    original = numba.njit

    def without_places(**options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available for file")
        return original(**options)

    monkeypatch.setattr(numba, "njit", without_places)

    def double(number: int) -> int:
        return 2 * number

    assert compiling.compiled(double)(4) == 8
