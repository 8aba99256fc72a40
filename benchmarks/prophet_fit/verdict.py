"""Owns what is asked of the figures, and whether they meet it, and how the cases are summed up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import geometric_mean, median
from typing import Any

BACKEND = {200: 12.0, 730: 30.0, 2000: 80.0}
FIT = {200: 2.0, 730: 5.0, 2000: 12.0}
CACHED = {200: 5.0, 730: 11.0, 2000: 30.0}
BATCH = {200: 15_000.0, 730: 10_000.0, 2000: 5_000.0}
LP_GAIN = -1e-3
KKT_ADDITIVE, KKT_OTHER = 1e-8, 1e-4
SPLIT = 1e-6
LEAST_MAE, MOST_MAE = 0.98, 1.02
MOST_APART = 1e-2
Case = Mapping[str, Any]


def accept(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each condition that was measured, with its value, its bound and whether it holds."""
    return [*_speed(figures["timings"]), *_optimum(figures["cases"]), *_accuracy(figures["parity"])]


def _at_least(what: str, value: float, bound: float) -> dict[str, Any]:
    return {"what": what, "value": value, "bound": f">= {bound:g}", "ok": bool(value >= bound)}


def _at_most(what: str, value: float, bound: float) -> dict[str, Any]:
    return {"what": what, "value": value, "bound": f"<= {bound:g}", "ok": bool(value <= bound)}


def _speed(timings: Mapping[int, Any]) -> Iterator[dict[str, Any]]:
    for rows, found in timings.items():
        yield _at_least(f"backend, {rows} rows: times CmdStan", found["backend"]["exact_times_faster"], BACKEND[rows])
        yield _at_least(f"fit, {rows} rows: times Prophet's", found["fit"]["exact_times_faster"], FIT[rows])
        cached = found["fit"]["cached_times_faster"]
        yield _at_least(f"fit with cache, {rows} rows: times Prophet's", cached, CACHED[rows])
        rate = found["batch"]["fits_per_second"]
        yield _at_least(f"batch on one grid, {rows} rows: fits per second and core", rate, BATCH[rows])


def _optimum(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    sound = [case for case in cases if not case["perfect"]]
    yield _at_least("optimum: least gain of log posterior over CmdStan", min(_of(sound, "lp_gain")), LP_GAIN)
    linear = [case for case in sound if case["linear"]]
    if linear:
        yield _at_most("optimum, additive: conditions of delta, times 1/tau", max(_of(linear, "kkt")), KKT_ADDITIVE)
        apart = max(abs(gap) for gap in _of(linear, "split_gap"))
        yield _at_most("optimum, additive: difference to split L-BFGS-B", apart, SPLIT)
    other = [case for case in sound if not case["linear"]]
    if other:
        yield _at_most("optimum, others: conditions of delta, times 1/tau", max(_of(other, "kkt")), KKT_OTHER)
        below = max(-gap for gap in _of(other, "split_gap"))
        yield _at_most("optimum, others: how far split L-BFGS-B ends below", below, SPLIT)
    yield _at_most(
        "optimum: fits that CmdStan had to take over", sum(case["optimizer"] != "exact" for case in cases), 0
    )


def _accuracy(parity: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, found in parity.items():
        if found["cutoffs"]:
            mean = found["mae_ratio_geometric_mean"]
            yield _at_least(f"accuracy, {name}: MAE over CmdStan's, geometric mean", mean, LEAST_MAE)
            yield _at_most(f"accuracy, {name}: MAE over CmdStan's, geometric mean", mean, MOST_MAE)
            yield _at_most(f"accuracy, {name}: median difference of yhat", found["horizon"][0], MOST_APART)


def _of(cases: Sequence[Case], name: str) -> list[float]:
    return [float(case[name]) for case in cases]


def parity(cases: Sequence[Case]) -> dict[str, Any]:
    """Return the table of each set: gains, differences (median, 90th percentile, largest), errors."""
    return {name: _summed([case for case in cases if case["set"] == name]) for name in ("real", "simulated")}


def _summed(cases: Sequence[Case]) -> dict[str, Any]:
    sound = [case for case in cases if not case["perfect"]]
    cutoffs = [each for case in sound for each in case["cutoffs"]]
    ratios = [each["mae"] / each["mae_cmdstan"] for each in cutoffs if each["mae"] > 0 and each["mae_cmdstan"] > 0]
    searched = [case for case in sound if not case["linear"]]
    return {
        "cases": len(cases),
        "perfect_fits": [case["name"] for case in cases if case["perfect"]],
        "lp_gain": {"least": min(_of(sound, "lp_gain")), "median": median(_of(sound, "lp_gain"))},
        "split_agrees": f"{sum(abs(case['split_gap']) <= SPLIT for case in sound)} of {len(sound)}",
        "searched": len(searched),
        "cutoffs": len(cutoffs),
        "in_sample": _spread([each["in_sample"] for each in cutoffs]),
        "horizon": _spread([each["horizon"] for each in cutoffs]),
        "mae_ratio_geometric_mean": round(geometric_mean(ratios), 4) if ratios else None,
        "mae_ratio_median": round(median(ratios), 4) if ratios else None,
        "exact_is_better": f"{sum(ratio < 1 for ratio in ratios)} of {len(ratios)}",
    }


def _spread(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return (
        [float(f"{each:.2g}") for each in (median(ordered), ordered[int(0.9 * (len(ordered) - 1))], ordered[-1])]
        if (ordered)
        else []
    )
