"""Owns the real series, with the settings that people fit such series with."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.prophet_fit.cases import Case

DATA = Path(__file__).resolve().parents[1] / "data"
PROPHETS_OWN = {"data": "prophet_daily", "data2": "prophet_5_minutes", "data3": "prophet_large_numbers"}
MULTIPLICATIVE = {"seasonality_mode": "multiplicative"}


def series() -> dict[str, pd.DataFrame]:
    """Return all series by name, columns ds and y."""
    rows = pd.read_csv(DATA / "series.csv.gz", parse_dates=["ds"])
    found = {str(name): each[["ds", "y"]].reset_index(drop=True) for name, each in rows.groupby("series")}
    folder = importlib.resources.files("prophet") / "tests"
    for file, name in PROPHETS_OWN.items():
        with importlib.resources.as_file(folder / f"{file}.csv") as path:
            found[name] = pd.read_csv(path, parse_dates=["ds"])
    return found


def cases() -> list[Case]:
    """Return every series with Prophet's defaults, then variants of settings, then those with regressors."""
    found = series()
    plain = [Case(name=name, rows=rows) for name, rows in found.items()]
    return [*plain, *_variants(found), *_logistic(found), *_regressed()]


def _variants(found: dict[str, pd.DataFrame]) -> list[Case]:
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        ("peyton_manning", "multiplicative", MULTIPLICATIVE),
        ("peyton_manning", "stiff", {"changepoint_prior_scale": 0.001}),
        ("peyton_manning", "loose", {"changepoint_prior_scale": 0.5}),
        ("peyton_manning", "flat", {"growth": "flat"}),
        ("peyton_manning", "without changepoints", {"n_changepoints": 0}),
        ("uk_flights", "multiplicative", MULTIPLICATIVE),
        ("uk_flights", "loose", {"changepoint_prior_scale": 0.5, "n_changepoints": 100}),
        ("bakery_store00_roll", "multiplicative", MULTIPLICATIVE),
        ("bakery_store12_roll", "flat multiplicative", {"growth": "flat", **MULTIPLICATIVE}),
        ("retail_22273", "multiplicative", MULTIPLICATIVE),
        ("traffic", "multiplicative", MULTIPLICATIVE),
        ("prophet_daily", "min-max", {"scaling": "minmax"}),
        ("prophet_large_numbers", "min-max", {"scaling": "minmax"}),
    ]
    made = [Case(name=f"{name}, {word}", rows=found[name], settings=settings) for name, word, settings in wanted]
    holidays = Case(name="peyton_manning, holidays", rows=found["peyton_manning"], country="US")
    short = Case(name="uk_flights, 80 rows", rows=found["uk_flights"].head(80))
    return [*made, holidays, short]


def _logistic(found: dict[str, pd.DataFrame]) -> list[Case]:
    wanted: list[tuple[str, float, dict[str, Any]]] = [
        ("peyton_manning", 1.05, {}),
        ("bakery_store00_roll", 1.5, MULTIPLICATIVE),
        ("uk_flights", 1.2, {}),
    ]
    return [
        Case(
            name=f"{name}, logistic",
            rows=found[name].assign(cap=found[name]["y"].max() * room),
            settings={"growth": "logistic", **settings},
        )
        for name, room, settings in wanted
    ]


def _regressed() -> list[Case]:
    rows = pd.read_csv(DATA / "bakery_regressors.csv.gz", parse_dates=["ds"]).rename(columns={"y_roll": "y"})
    names = tuple(name for name in rows.columns if name not in ("ds", "y"))
    return [
        Case(name="bakery, regressors", rows=rows, regressors=names),
        Case(name="bakery, regressors, multiplicative", rows=rows, regressors=names, settings=MULTIPLICATIVE),
    ]
