"""Fleet files for a running installation, on CSV files beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.installation import Installation
from tests.training.daily import write as write

TEXT = """
[fleet]
name = "{name}"
kind = "forecast"
frequency = "D"
horizon = 7
season_length = 7

[source]
path = "series.csv"

[source.columns]
time = "day"
target = "sold"
entity = "product"

[policy.nightly]
trainers = ["{trainer}"]
cron = "{cron}"
"""


def apply(
    site: Installation,
    folder: Path,
    *,
    name: str,
    entities: Sequence[str],
    days: int = 120,
    trainer: str = "seasonal_naive",
    cron: str = "30 18 1 1 *",
) -> Path:
    """Write a fleet file with its data, apply it, and return the path of the data."""
    data = folder / "series.csv"
    write(data, entities=entities, days=days)
    file = folder / "fleet.toml"
    file.write_text(TEXT.format(name=name, trainer=trainer, cron=cron), encoding="utf-8")
    site.manage("apply", str(file))
    return data


def trigger(site: Installation, **body: object) -> str:
    """Ask for runs over HTTP and return the id of the batch."""
    answer = site.http("POST", "/api/v1/runs", body)
    assert answer.status == 202, answer
    return str(answer.body["batch"]["id"])
