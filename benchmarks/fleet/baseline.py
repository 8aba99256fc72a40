"""The plain loop that people write: joblib with two processes, Prophet's defaults, a pickle for each model.

`python -m benchmarks.fleet.baseline FILE SECONDS FOLDER` prints its figures. A script by itself that knows nothing of
this product, so that nothing of it helps or hinders; pickle and joblib are what is measured here.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from prophet import Prophet

HELD_OUT_DAYS = 28
PROCESSES = 2
AT_ONCE = 24
SAID = (
    "joblib with 2 processes (loky), warmed up; for each series Prophet() with its defaults (CmdStan), fitted on all"
    f" but {HELD_OUT_DAYS} days, predict of {HELD_OUT_DAYS}, MAE, and a pickle to a file of its own; nothing is"
    " compared, refitted or registered"
)


def carry_out(entity: str, frame: pd.DataFrame, folder: str) -> tuple[float, float]:
    """Fit one series, score it on the days held out, and write it down; return the MAE, and the processor's seconds."""
    before = sum(os.times()[:4])
    logging.getLogger("cmdstanpy").disabled = True
    fitted = Prophet(stan_backend="CMDSTANPY").fit(frame[:-HELD_OUT_DAYS])
    said = fitted.predict(frame[["ds"]][-HELD_OUT_DAYS:])
    with (Path(folder) / f"{entity}.pickle").open("wb") as file:
        pickle.dump(fitted, file)
    error = float(np.abs(said["yhat"].to_numpy() - frame["y"].to_numpy()[-HELD_OUT_DAYS:]).mean())
    return error, sum(os.times()[:4]) - before


def measure(path: Path, *, seconds: float, folder: Path) -> dict[str, object]:
    """Carry out as many series as the seconds allow, and return how many there were a second."""
    table = pd.read_parquet(path).rename(columns={"day": "ds", "sold": "y"})
    table["ds"] = pd.to_datetime(table["ds"])
    series = [(str(key), part[["ds", "y"]].reset_index(drop=True)) for key, part in table.groupby("product")]
    with joblib.Parallel(n_jobs=PROCESSES) as pool:
        pool(joblib.delayed(carry_out)(*each, str(folder)) for each in series[:PROCESSES])
        began, done, processor = time.perf_counter(), 0, 0.0
        while done < len(series) and time.perf_counter() - began < seconds:
            some = series[done : done + AT_ONCE]
            ended = pool(joblib.delayed(carry_out)(*each, str(folder)) for each in some)
            done, processor = done + len(some), processor + sum(seconds for _, seconds in ended)
        took = time.perf_counter() - began
    return {
        "said": SAID,
        "models": done,
        "seconds": round(took, 2),
        "models_per_second": round(done / took, 3),
        "processor_milliseconds_per_model": round(1000 * processor / done, 1),
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), seconds=float(sys.argv[2]), folder=Path(sys.argv[3]))))
