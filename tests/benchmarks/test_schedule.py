"""The benchmark of schedules runs from end to end, small, and judges its figures; its times prove nothing here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.schedule import verdict

PROJECT = Path(__file__).resolve().parents[2]


def figures(**values: Any) -> dict[str, Any]:
    """Figures that meet every bound exactly."""
    firing = {
        "seconds": {"all chunks dispatched": 120.0},
        "succeeded": 1000,
        "manual_seconds": [0.5, 2.0],
        "longest_gap": 5.0,
        **values,
    }
    return {"models": 1000, "firings": {"unknown": firing}, "peak_mib": {"control": 256.0, "looking": 1536.0}}


def missed(found: dict[str, Any]) -> list[str]:
    return [each["what"] for each in verdict.accept(found) if not each["ok"]]


@pytest.mark.timeout(600)
def test_the_benchmark_runs_from_end_to_end() -> None:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PERENNIAL_", "DATABASE_", "REDIS_"))
    }
    command = [sys.executable, "-m", "benchmarks.schedule", "--quick", "--json"]
    done = subprocess.run(command, cwd=PROJECT, env=clean, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert set(found["firings"]) == {"unknown", "known"}
    for firing in found["firings"].values():
        assert firing["succeeded"] == firing["runs_in_chunks"] == found["models"] == 300
        assert firing["manual_seconds"]
        assert all(seconds >= 0 for seconds in firing["seconds"].values())
    assert {"control", "looking"} <= set(found["peak_mib"])
    assert all(set(each) == {"what", "value", "bound", "ok"} for each in found["accept"])


def test_figures_at_their_bounds_are_accepted() -> None:
    assert missed(figures()) == []


@pytest.mark.parametrize(
    "worse",
    [
        {"seconds": {"all chunks dispatched": 120.1}},
        {"succeeded": 999},
        {"succeeded": 1001},
        {"manual_seconds": [0.5, 2.1]},
        {"manual_seconds": []},
        {"longest_gap": 5.1},
    ],
)
def test_any_figure_beyond_its_bound_is_not_accepted(worse: dict[str, Any]) -> None:
    assert len(missed(figures(**worse))) == 1


@pytest.mark.parametrize("role", ["control", "looking"])
def test_a_process_that_grows_is_not_accepted(role: str) -> None:
    found = figures()
    found["peak_mib"][role] += 0.1
    assert len(missed(found)) == 1
