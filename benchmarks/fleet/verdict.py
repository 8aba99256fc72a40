"""Owns what is asked of the figures, and whether they meet it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

TIMES_BASELINE, TIMES_AIM = 20.0, 40.0
PAIRED_AT = 10_000
LARGEST, LARGEST_SECONDS = 100_000, 600.0
WORKER_MIB = 1536.0
SLOPE = 1.2
SIZES = (1_000, 10_000, 100_000)


def accept(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each condition, with its value, its bound and whether it holds."""
    cases: Sequence[Mapping[str, Any]] = figures["cases"]
    found = [condition for case in cases for condition in _complete(case)]
    for case in cases:
        found.append(_at_most(f"{_name(case)}: peak MiB of a worker", _peak(case), WORKER_MIB))
    plain = {case["models"]: case for case in cases if _is_plain(case)}
    if figures["baseline"] and PAIRED_AT in plain:
        times = plain[PAIRED_AT]["models_per_second"] / figures["baseline"]["models_per_second"]
        what = f"{PAIRED_AT} models: times the rate of the baseline (aim: {TIMES_AIM:g})"
        found.append(_at_least(what, times, TIMES_BASELINE))
    if LARGEST in plain:
        found.append(_at_most(f"{LARGEST} models: seconds", plain[LARGEST]["seconds"], LARGEST_SECONDS))
    if plain.keys() >= set(SIZES):
        found.append(_at_most("slope of 10000 to 100000 over that of 1000 to 10000", slope(plain), SLOPE))
    return found


def slope(plain: Mapping[int, Mapping[str, Any]]) -> float:
    """Return the seconds for one more model between the larger two sizes, over those between the smaller two."""
    small, middle, large = SIZES
    later = (plain[large]["seconds"] - plain[middle]["seconds"]) / (large - middle)
    earlier = (plain[middle]["seconds"] - plain[small]["seconds"]) / (middle - small)
    return float(later / earlier)


def times(cases: Sequence[Mapping[str, Any]], baseline: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each case how many times the baseline's rate it had, and by processor time.

    Of a loaded machine each gets another part; what they use of the processor tells more.
    """
    cost = "processor_milliseconds_per_model"
    return [
        {
            "case": _name(case),
            "models_per_second": round(case["models_per_second"] / baseline["models_per_second"], 2),
            "models_per_processor_second": round(baseline[cost] / case[cost], 2),
        }
        for case in cases
    ]


def speed_up(cases: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how many times as fast two nodes were as one, of one slot each; None where not both were measured."""
    one, two = (
        [case["seconds"] for case in cases if case["slots"] == 1 and case["nodes"] == nodes] for nodes in (1, 2)
    )
    return round(statistics.mean(one) / statistics.mean(two), 2) if one and two else None


def _complete(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    name, found = _name(case), case["found"]
    told = [
        _exactly(f"{name}: models with exactly one new version", found["models_with_one_new_version"], case["models"]),
        _exactly(f"{name}: models without a champion", found["models_without_champion"], 0),
        _exactly(f"{name}: runs and chunks that are open", found["open_runs"] + found["open_chunks"], 0),
        _exactly(f"{name}: ledgers that do not hold, of a sample", found["ledgers_broken"], 0),
    ]
    if case["nodes"] > 1:
        told.append(_at_least(f"{name}: models of the node that did fewest", min(case["models_of_nodes"]), 1))
    if case["kill_every"]:
        told.append(_at_least(f"{name}: children killed", case["killed"], 1))
    return told


def _is_plain(case: Mapping[str, Any]) -> bool:
    return case["nodes"] == 1 and case["slots"] == 2 and not case["kill_every"]


def _peak(case: Mapping[str, Any]) -> float:
    return float(case["peak_mib"].get("training", float("inf")))


def _name(case: Mapping[str, Any]) -> str:
    more = [f"{case['nodes']} nodes"] if case["nodes"] > 1 else []
    more += ["1 slot"] if case["slots"] == 1 and case["nodes"] == 1 else []
    more += [f"a child killed every {case['kill_every']:g} s"] if case["kill_every"] else []
    return ", ".join([f"{case['models']} models", *more])


def _at_least(what: str, value: float, bound: float) -> dict[str, Any]:
    return {"what": what, "value": round(value, 2), "bound": f">= {bound:g}", "ok": value >= bound}


def _at_most(what: str, value: float, bound: float) -> dict[str, Any]:
    return {"what": what, "value": round(value, 2), "bound": f"<= {bound:g}", "ok": value <= bound}


def _exactly(what: str, value: int, bound: int) -> dict[str, Any]:
    return {"what": what, "value": value, "bound": f"= {bound}", "ok": value == bound}
