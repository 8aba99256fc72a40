"""The benchmark of fleets runs from end to end, small, and judges its figures; its times prove nothing here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from benchmarks.fleet import __main__ as fleet
from benchmarks.fleet import processes, shapes, verdict
from benchmarks.fleet.case import Case
from benchmarks.fleet.clock import Clock
from benchmarks.fleet.processes import Seen

PROJECT = Path(__file__).resolve().parents[2]


def case(**values: Any) -> dict[str, Any]:
    """Figures of one case that meet every bound exactly."""
    models = values.get("models", 10_000)
    found = {
        "models_with_one_new_version": models,
        "models_without_champion": 0,
        "open_runs": 0,
        "open_chunks": 0,
        "ledgers_broken": 0,
    }
    return {
        **{"models": models, "nodes": 1, "slots": 2, "kill_every": 0.0, "killed": 0, "models_of_nodes": [models]},
        **{"seconds": models / 200, "models_per_second": 200.0, "peak_mib": {"training": 1536.0}, "found": found},
        **values,
    }


def figures(*cases: dict[str, Any]) -> dict[str, Any]:
    return {"baseline": {"models_per_second": 10.0}, "cases": cases or [case()]}


def missed(found: dict[str, Any]) -> list[str]:
    return [each["what"] for each in verdict.accept(found) if not each["ok"]]


def run(*argv: str) -> dict[str, Any]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PERENNIAL_", "DATABASE_", "REDIS_"))
    }
    command = [sys.executable, "-m", "benchmarks.fleet", "--quick", "--json", *argv]
    done = subprocess.run(command, cwd=PROJECT, env=clean, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(600)
def test_the_benchmark_runs_from_end_to_end() -> None:
    found = run()
    [only] = found["cases"]
    assert only["found"]["models_with_one_new_version"] == only["models"] == 60
    assert only["found"]["incumbents"]["twin"] >= 30 and only["found"]["incumbents"]["same_recipe"]
    assert only["found"]["states"] == {"succeeded": 60}
    assert {"control", "training"} <= set(only["peak_mib"]) <= set(only["cpu_seconds"])
    assert all(only["cpu_seconds"][name] > 0 for name in ("training", "postgresql"))
    assert only["wal_bytes"] > 0 and only["stored"]["artifacts"]["bytes"] > 0
    assert only["models_of_nodes"] == [60]
    assert found["baseline"]["models"] > 0
    assert all(each[name] > 0 for each in found["times_the_baseline"] for name in each if name != "case")
    assert [each["what"] for each in found["accept"] if not each["ok"]] == []


@pytest.mark.timeout(600)
def test_a_profile_finds_every_step_of_the_page() -> None:
    found = run("--profile")["profile"]
    assert found["preparing"]["models"] == 60 and found["page"]["models"] == 45
    for part in ("preparing", "page"):
        steps = {each["step"]: each for each in found[part]["milliseconds"]}
        whole = steps.pop("all")
        assert whole["wall"] == pytest.approx(sum(each.get("wall", 0.0) for each in steps.values()), abs=0.02)
    names = {each["step"] for each in found["page"]["milliseconds"]}
    assert {
        "read series",
        "candidates / fit / prophet",
        "judge / fit",
        "pack / write bundle",
        "store",
        "register",
    } <= names


def test_series_come_out_the_same_and_in_order_of_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "sold.parquet"
    blocks = list(shapes.write(path, models=1000))
    table = pyarrow.parquet.read_table(path)
    keys = [key for block in blocks for key in block.keys]
    assert table["product"].to_pylist()[:: shapes.POINTS] == keys == sorted(set(keys)) and len(keys) == 1000
    values = table["sold"].to_numpy().reshape(1000, shapes.POINTS)
    assert np.array_equal(values[500:], shapes.made(500, number=500).values)
    assert len(np.unique(values, axis=0)) == 1000 and (values >= 0).all() and values.any(axis=1).all()


def test_figures_at_their_bounds_are_accepted() -> None:
    assert missed(figures(case(models_per_second=200.0), case(models=100_000, seconds=600.0))) == []


@pytest.mark.parametrize(
    "worse",
    [
        {"models_per_second": 199.9},
        {"models": 100_000, "seconds": 600.1},
        {"peak_mib": {"training": 1536.1}},
        {"peak_mib": {}},
        {"nodes": 2, "slots": 1, "models_of_nodes": [10_000, 0]},
        {"kill_every": 10.0, "killed": 0},
        *({"found": {**case()["found"], name: 1}} for name in case()["found"]),
    ],
)
def test_any_figure_beyond_its_bound_is_not_accepted(worse: dict[str, Any]) -> None:
    assert len(missed(figures(case(**worse)))) == 1


@pytest.mark.parametrize(("largest", "said"), [(508.9, 0), (509.1, 1)])
def test_the_slope_is_that_of_one_more_model(largest: float, said: int) -> None:
    some = [case(models=1000, seconds=10.0), case(seconds=52.0), case(models=100_000, seconds=largest + 47.0)]
    found = missed(figures(*some))
    assert [each.startswith("slope") for each in found] == [True] * said


def test_two_nodes_are_measured_beside_one() -> None:
    found = fleet.cases([500], nodes=2, kill_every=0.0)
    assert [each.nodes for each in found] == [1, 2, 2, 1]
    assert {(each.slots, each.store) for each in found} == {(1, "s3")}
    seconds = [(1, 20.0), (2, 25.0), (2, 15.0), (1, 40.0)]
    assert verdict.speed_up([case(slots=1, nodes=nodes, seconds=each) for nodes, each in seconds]) == 1.5
    assert verdict.speed_up([case()]) is None


def test_the_processor_time_of_a_tree_is_told_by_role() -> None:
    seen = [
        Seen(pid=1, parent=0, seconds=0.5, role=""),
        Seen(pid=2, parent=1, seconds=1.0, role="training"),
        Seen(pid=3, parent=2, seconds=2.0, role="training"),
        Seen(pid=4, parent=3, seconds=4.0, role=""),
        Seen(pid=5, parent=1, seconds=8.0, role="control"),
    ]
    assert processes.seconds(seen) == {"other": 0.5, "training": 7.0, "control": 8.0}
    assert processes.children(seen, "training") == [3], "the one that forks it is never killed"


def test_processes_are_found_below_their_root_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "training@node"], stdin=subprocess.PIPE) as child:
        try:
            found = {each.pid: each for each in processes.below([os.getpid()])}
            assert found[child.pid].role == "training" and found[child.pid].parent == os.getpid()
            assert os.getppid() not in found
            assert processes.peaks([found[child.pid]])["training"] > 0
        finally:
            child.kill()


def test_time_in_a_step_is_not_counted_in_the_one_around_it() -> None:
    began = time.perf_counter()
    clock = Clock([])
    inner = clock._timed(time.sleep, "inner")
    outer = clock._timed(lambda: [each(0.02) for each in (time.sleep, inner)], "outer")
    clock._last = clock._now()
    outer()
    took = {step: spent.wall for step, spent in clock.spent.items()}
    assert took["outer / inner"] >= 0.02 and took["outer"] >= 0.02
    assert clock.sum.wall == pytest.approx(sum(took.values()))
    assert clock.sum.wall <= time.perf_counter() - began


def test_a_case_reads_as_it_is_written() -> None:
    assert Case(models=5, kill_every=10.0).argv() == [
        "--models=5", "--nodes=1", "--slots=2", "--store=disk", "--kill-every=10.0"
    ]  # fmt: skip
