"""How tests run commands: in this process, as a caller would, and what they said."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command

FLEET = """
[fleet]
name = "shop"
kind = "forecast"
frequency = "D"
horizon = 7
season_length = 7

[source]
path = "sold.csv"

[source.columns]
time = "day"
target = "sold"
entity = "product"

[policy.nightly]
trainers = ["seasonal_naive"]
"""


@dataclass(frozen=True)
class Said:
    """Exit status and output of one command."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def run(name: str, *args: object) -> Said:
    """Run a command; an error is the last of its words."""
    out = io.StringIO()
    try:
        call_command(name, *map(str, args), stdout=out)
    except CommandError as error:
        return Said(error.returncode, out.getvalue() + str(error))
    except SystemExit as end:
        return Said(int(end.code or 0), out.getvalue())
    return Said(0, out.getvalue())


def shop(folder: Path, *, days: dict[str, int] | None = None, text: str = FLEET) -> Path:
    """Write a fleet file and its data: a weekly pattern for so many days of each product, and apply it."""
    lines = ["product,day,sold"]
    for product, count in (days or {"bread": 70, "cake": 70}).items():
        first = date(2026, 1, 1)
        lines += [f"{product},{first + timedelta(days=n)},{10 + n % 7 + (n % 3) / 10}" for n in range(count)]
    (folder / "sold.csv").write_text("\n".join(lines) + "\n")
    file = folder / "fleet.toml"
    file.write_text(text)
    assert run("apply", file).status == 0
    return file
