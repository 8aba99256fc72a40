"""A plugin of pytest: every Prophet made in this process fits exactly, whatever backend it asks for."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prophet import Prophet, models

from training.trainers.prophet_map.backend import ExactBackend

COUNTS = "PROPHET_SUITE_COUNTS"
"""Names the file for how many fits were made by which optimiser."""
fits: Counter[str] = Counter()


class Counted(ExactBackend):
    """Counts what fitted."""

    def fit(self, stan_init: Mapping[str, Any], stan_data: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Fit, and count it."""
        found = super().fit(stan_init, stan_data, **kwargs)
        fits[self.report.fallback_reason or self.report.optimizer] += 1
        return found

    def sampling(
        self, stan_init: Mapping[str, Any], stan_data: Mapping[str, Any], samples: int, **kwargs: Any
    ) -> dict[str, Any]:
        """Sample, and count it."""
        fits["samples"] += 1
        return super().sampling(stan_init, stan_data, samples, **kwargs)


def pytest_configure(config: pytest.Config) -> None:
    """Take CmdStan's place under every name, and where none is asked for."""

    def load(model: Any, name: str | None) -> None:
        model.stan_backend = Counted()

    setattr(Prophet, "_load_stan_backend", load)  # noqa: B010
    setattr(models.StanBackendEnum, "get_backend_class", staticmethod(lambda name: Counted))  # noqa: B010


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write down who fitted."""
    Path(os.environ[COUNTS]).write_text(json.dumps(fits))
