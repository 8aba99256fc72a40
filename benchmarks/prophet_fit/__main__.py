"""`python -m benchmarks.prophet_fit [--quick] [--simulated N] --json`: measures all and prints one JSON object."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from benchmarks.prophet_fit import parity, plan, timings, verdict
from benchmarks.prophet_fit.plan import Plan
from benchmarks.registry import machine

PROCESSES = 2


def main(argv: Sequence[str]) -> int:
    """Measure; 1 where a figure misses its bound, but for --quick: so few series prove nothing of any."""
    wanted = plan.read(argv)
    figures: dict[str, Any] = {"machine": machine.facts()}
    figures["timings"] = {rows: _timed(rows, wanted) for rows in wanted.sizes}
    cases = _compared(wanted)
    figures["parity"] = verdict.parity(cases)
    figures["accept"] = verdict.accept({**figures, "cases": cases})
    figures["cases"] = [{name: value for name, value in case.items() if name != "cutoffs"} for case in cases]
    print(json.dumps(figures, indent=1, default=str))
    return 0 if "--quick" in argv or all(each["ok"] for each in figures["accept"]) else 1


def _timed(rows: int, wanted: Plan) -> dict[str, Any]:
    found = {
        "backend": timings.backends(rows, wanted.rounds),
        "fit": timings.fits(rows, wanted.rounds),
        "fit_and_forecast": timings.forecasts(rows, max(wanted.rounds // 3, 1)),
        "batch": timings.batch(rows, wanted.batch, rounds=5),
    }
    print(f"{rows} rows: {json.dumps(found)}", file=sys.stderr, flush=True)
    return found


def _compared(wanted: Plan) -> list[dict[str, Any]]:
    """Return each case compared, by processes: nothing is timed here."""
    keys = parity.listed(real_cases=wanted.real, simulated_cases=wanted.simulated)
    found: dict[tuple[str, int], dict[str, Any]] = {}
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(parity.measured, key, wanted.cutoffs): key for key in keys}
        for done in as_completed(waiting):
            case = found[waiting[done]] = done.result()
            told = f"{case['name']:36} n={case['rows']:<5} gain {case['lp_gain']:+.2e} kkt {case['kkt']:.0e}"
            print(f"{len(found):3}/{len(keys)} {told} split {case['split_gap']:+.0e}", file=sys.stderr, flush=True)
    return [found[key] for key in keys]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
