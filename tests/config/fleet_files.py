"""Fleet files and small data for tests."""

from __future__ import annotations

from pathlib import Path

FLEET = """
[fleet]
name = "bakery"
kind = "forecast"
frequency = "D"
horizon = 7
season_length = 7
time_zone = "Europe/Berlin"
unit = "pieces"

[source]
path = "data.csv"
time_zone = "Europe/Berlin"

[source.columns]
time = "ds"
target = "y"
entity = "series_id"

[policy.nightly]
trainers = ["prophet"]
cron = "30 18 * * *"
time_zone = "Europe/Berlin"
"""


def write(folder: Path, *, text: str = FLEET, name: str = "fleet.toml") -> Path:
    """Write a fleet file and the data that it names."""
    (folder / "data.csv").write_text("series_id,ds,y\na,2024-01-01,1\n")
    file = folder / name
    file.write_text(text)
    return file


def changed(old: str, new: str, *, text: str = FLEET) -> str:
    """Return the text with one part replaced, which must be there."""
    assert old in text
    return text.replace(old, new)
