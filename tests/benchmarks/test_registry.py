"""The benchmark of the registry runs from end to end, small, and judges its figures; its times prove nothing here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.registry import pairs, verdict

PROJECT = Path(__file__).resolve().parents[2]
TIMES = {"median": 10.0, "p95": 20.0, "calls": 3}


def slower(factor: float) -> Mapping[str, Any]:
    return {**TIMES, "median": TIMES["median"] * factor}


def figures(**values: Any) -> dict[str, Any]:
    """Figures that meet every bound exactly."""
    writes = {kind: {"perennial": TIMES, "mlflow": slower(5), "bare": TIMES} for kind in verdict.WRITES}
    reads = {kind: {"perennial": slower(1.5), "mlflow": slower(4.5), "bare": TIMES} for kind in verdict.READS}
    return {
        "calls": {**writes, **reads},
        "bulk": {"versions_per_second": 1000},
        "growth": {kind: {"small": TIMES, "large": slower(1.5)} for kind in verdict.READS},
        "preview": {"peak_mib": 512.0},
        "sweep": {"quarters_per_second": [100.0, 1.0, 1.0, 80.0]},
        **values,
    }


def missed(found: Mapping[str, Any]) -> list[str]:
    return [each["what"] for each in verdict.accept(found) if not each["ok"]]


@pytest.mark.timeout(600)
def test_the_benchmark_runs_from_end_to_end() -> None:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PERENNIAL_", "DATABASE_", "REDIS_"))
    }
    command = [sys.executable, "-m", "benchmarks.registry", "--quick", "--alone", "--json"]
    done = subprocess.run(command, cwd=PROJECT, env=clean, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert set(found["calls"]) == {*verdict.WRITES, *verdict.READS}
    assert found["growth"]["sizes"] == {"small": 100, "large": 2000}
    assert (found["preview"]["versions"], found["preview"]["would_mark"]) == (2000, 1000)
    assert found["sweep"]["versions"] == found["sweep"]["asked"] == 500
    assert found["dropped_calls"] == {"perennial": 0, "mlflow": 0}
    assert len(found["accept"]) == 6
    assert all(set(each) == {"what", "value", "bound", "ok"} for each in found["accept"])


def test_figures_at_their_bounds_are_accepted() -> None:
    assert len(verdict.accept(figures())) == 11
    assert missed(figures()) == []


@pytest.mark.parametrize(
    ("kind", "side", "factor"),
    [
        ("register", "mlflow", 4.9),
        ("promote", "perennial", 1.1),
        ("champion", "mlflow", 4.4),
        ("versions", "bare", 0.9),
    ],
)
def test_a_call_that_is_too_slow_beside_another_is_not_accepted(kind: str, side: str, factor: float) -> None:
    # MLflow's single call is what the bulk one is held against, too.
    found = figures(bulk={"versions_per_second": 10_000})
    found["calls"][kind] = {**found["calls"][kind], side: slower(factor)}
    assert len(missed(found)) == 1
    assert missed(found)[0].startswith(kind)


@pytest.mark.parametrize(
    "worse",
    [
        {"bulk": {"versions_per_second": 999}},
        {"preview": {"peak_mib": 512.1}},
        {"sweep": {"quarters_per_second": [100.0, 100.0, 100.0, 79.0]}},
        {"sweep": {"quarters_per_second": [0.0, 0.0, 0.0, 0.0]}},
        {"growth": {"champion": {"small": TIMES, "large": slower(1.6)}, "versions": {"small": TIMES, "large": TIMES}}},
    ],
)
def test_any_other_figure_beyond_its_bound_is_not_accepted(worse: dict[str, Any]) -> None:
    assert len(missed(figures(**worse))) == 1


def test_times_are_median_and_95th_percentile_in_milliseconds() -> None:
    found = pairs.summary([number / 1000 for number in range(1, 101)])
    assert (found.median, found.p95, found.calls) == (50.5, 96.0, 100)


def test_sides_are_called_in_turn_and_the_first_rounds_are_not_counted() -> None:
    called: list[tuple[str, int]] = []

    def side(name: str) -> pairs.Timed:
        def call(number: int) -> float:
            called.append((name, number))
            return float(number)

        return call

    found = pairs.measure({"a": side("a"), "b": side("b")}, rounds=2, warm_up=1)
    assert called == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert (found["a"].calls, found["a"].median) == (2, 1500.0)
