"""Small daily fleets on a CSV file of the test's own: a weekly pattern with seeded noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from registry.models import Fleet
from tests import factories
from training import carrying, clock, runs
from training.models import Batch, FileOptions, RetrainingPolicy
from training.policy_terms import Reason

FIRST = date(2025, 1, 1)
REASON = Reason(trigger="manual", sentence="A test.", actor="test")


def write(path: Path, *, entities: Sequence[str], days: int, noise: float = 1.0, level: float = 20.0) -> None:
    """Write rows day,sold,product for each entity: level, a weekly pattern, and noise seeded by the entity's name."""
    lines = ["day,sold,product"]
    for entity in entities:
        random = np.random.default_rng(sum(entity.encode()))
        week = random.uniform(0, 10, 7)
        for day in range(days):
            sold = level + week[day % 7] + noise * random.normal()
            lines.append(f"{FIRST + timedelta(days=day)},{sold:.3f},{entity}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Daily:
    """A fleet, its policy and the file behind it."""

    fleet: Fleet
    policy: RetrainingPolicy
    path: Path

    def request(self, *entities: str, queue: str = "inline", **values: Any) -> Batch:
        """Ask for runs: of these entities, or of the whole fleet."""
        return runs.request(
            fleet=self.fleet, entities=list(entities) or None, reason=REASON, at=clock.now(), queue=queue, **values
        )

    def retrain(self, *entities: str, **values: Any) -> Batch:
        """Carry a request out in this process and return the ended batch."""
        batch = self.request(*entities, **values)
        carrying.inline(batch, worker="test")
        batch.refresh_from_db()
        return batch


def daily(folder: Path, *, entities: Sequence[str] = ("a", "b", "c"), days: int = 120, **policy: Any) -> Daily:
    """Return a fleet of daily series with horizon 7, without any run yet."""
    path = folder / "series.csv"
    write(path, entities=entities, days=days)
    fleet = factories.fleet()
    source = factories.source(tenant=fleet.tenant, options=FileOptions(path=str(path)))
    return Daily(fleet=fleet, policy=factories.policy(fleet=fleet, source=source, **policy), path=path)
