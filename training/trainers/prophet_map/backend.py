"""The exact optimiser behind Prophet's own backend interface: `Prophet(stan_backend="PERENNIAL")` uses it.

CmdStan takes over where the exact optimiser gives no answer, and for sampling. Which one it was, the rounds and why are
kept in `report`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from prophet import models

from training.trainers.prophet_map.optimiser import optimise
from training.trainers.prophet_map.problem import Floats, Growth, Optimum, Problem, objective

logger = logging.getLogger(__name__)
NAME = "PERENNIAL"
EXACT, CMDSTAN = "exact", "cmdstan"
_GROWTH = {0: Growth.LINEAR, 1: Growth.LOGISTIC, 2: Growth.FLAT}


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a fit came about."""

    optimizer: str
    """`exact` or `cmdstan`."""
    iterations: int = 0
    """Rounds of the exact optimiser, also where it gave up."""
    fallback_reason: str = ""
    """Why CmdStan had to take over; empty where it had not."""
    objective: float | None = None
    """Minus the log posterior without its constants, of the exact optimum."""


class ExactBackend(models.IStanBackend):
    """Fits by the exact optimiser; rounds as `sig_figs` says, ignores what only Stan has (seed, tolerances)."""

    def __init__(self) -> None:
        super().__init__()
        self.report = Report(optimizer=EXACT)
        self._cmdstan: Any = None

    @staticmethod
    def get_type() -> str:
        """Return the name under which Prophet knows it."""
        return NAME

    def load_model(self) -> None:
        """Return None: there is nothing to load before CmdStan is needed."""

    def fit(self, stan_init: Mapping[str, Any], stan_data: Mapping[str, Any], **kwargs: Any) -> dict[str, Floats]:
        """Return k, m, delta, sigma_obs and beta, each (1, -1)."""
        start = stan_init
        given = kwargs.get("inits") or kwargs.get("init")
        if isinstance(given, Mapping):
            start = models.CmdStanPyBackend.sanitize_custom_inits(dict(stan_init), dict(given))
        posed = problem_of(stan_data)
        found, reason = _tried(posed, start)
        if found is None or not found.converged:
            rounds = 0 if found is None else found.rounds
            self.report = Report(optimizer=CMDSTAN, iterations=rounds, fallback_reason=reason)
            logger.info("CmdStan takes over: %s", reason)
            return dict(self._by_cmdstan("fit", stan_init, stan_data, **kwargs))
        self.report = Report(optimizer=EXACT, iterations=found.rounds, objective=objective(posed, found))
        self.stan_fit = found
        return {name: _rounded(each, kwargs.get("sig_figs")) for name, each in _parameters(found).items()}

    def sampling(
        self, stan_init: Mapping[str, Any], stan_data: Mapping[str, Any], samples: int, **kwargs: Any
    ) -> dict[str, Floats]:
        """Return CmdStan's samples."""
        self.report = Report(optimizer=CMDSTAN, fallback_reason="samples were asked for")
        return dict(self._by_cmdstan("sampling", stan_init, stan_data, samples, **kwargs))

    def cleanup(self) -> None:
        """Remove what CmdStan left, if it was needed."""
        if self._cmdstan is not None:
            self._cmdstan.cleanup()

    def _by_cmdstan(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._cmdstan is None:
            self._cmdstan = models.CmdStanPyBackend()
        self._cmdstan.newton_fallback = self.newton_fallback
        done = getattr(self._cmdstan, method)(*args, **kwargs)
        self.stan_fit = self._cmdstan.stan_fit
        return done


def _tried(posed: Problem, start: Mapping[str, Any]) -> tuple[Optimum | None, str]:
    """Return what the exact optimiser found, and why it is no answer where it is none."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = optimise(
                posed,
                k=float(start["k"]),
                m=float(start["m"]),
                delta=_floats(start["delta"]),
                beta=_floats(start["beta"]),
            )
    except np.linalg.LinAlgError as error:
        return None, f"its matrices cannot be factored ({error})"
    return found, "" if found.converged else f"no finite optimum after {found.rounds} rounds"


def problem_of(stan_data: Mapping[str, Any]) -> Problem:
    """Return the problem that Prophet hands to a backend."""
    return Problem(
        y=_floats(stan_data["y"]),
        t=_floats(stan_data["t"]),
        cap=_floats(stan_data["cap"]),
        changepoints=_floats(stan_data["t_change"]),
        features=_floats(stan_data["X"]),
        additive=np.asarray(stan_data["s_a"]) > 0,
        multiplicative=np.asarray(stan_data["s_m"]) > 0,
        scales=_floats(stan_data["sigmas"]),
        tau=float(stan_data["tau"]),
        growth=_GROWTH[int(stan_data["trend_indicator"])],
    )


def _floats(values: Any) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


def _parameters(found: Optimum) -> dict[str, Floats]:
    values = {"k": found.k, "m": found.m, "delta": found.delta, "sigma_obs": found.sigma, "beta": found.beta}
    return {name: np.asarray(value, dtype=np.float64).reshape((1, -1)) for name, value in values.items()}


def _rounded(values: Floats, digits: int | None) -> Floats:
    """Return the values with as many significant digits as were asked for, as CmdStan writes them; all by default."""
    return (
        values if digits is None else np.vectorize(lambda each: float(f"{each:.{digits - 1}e}"), otypes=[float])(values)
    )


def register() -> None:
    """Make Prophet know the backend by its name, in this process and wherever this module is imported.

    Prophet keeps its backends in an enumeration, which cannot grow, so its look-up is asked second.
    """
    known: Callable[[str], Any] = models.StanBackendEnum.get_backend_class
    if getattr(known, "knows_exact", False):
        return

    def get_backend_class(name: str) -> Any:
        return ExactBackend if name == NAME else known(name)

    get_backend_class.knows_exact = True  # type: ignore[attr-defined]
    setattr(models.StanBackendEnum, "get_backend_class", staticmethod(get_backend_class))  # noqa: B010


register()
