"""Owns one firing of the policy: followed to its end, with what it costs, while children may be killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from benchmarks.fleet import processes, site, stock
from benchmarks.fleet.processes import Seen
from benchmarks.fleet.stock import Stock
from registry import rows
from training.models import Batch

LOOK_SECONDS = 0.5
FIRE_SECONDS, DONE_SECONDS = 120.0, 3600.0


class Stuck(Exception):
    """The batch did not come to its end."""


@dataclass(kw_only=True)
class Watch:
    """What is seen while one slot is carried out."""

    stock: Stock
    nodes: list[int]
    """The process of each `manage.py up`."""
    servers: dict[str, int]
    """The process of each server that is no worker, by name."""
    kill_every: float = 0.0
    peaks: dict[str, float] = field(default_factory=dict)
    of_nodes: list[set[int]] = field(default_factory=list)
    """Every process that a node ever had."""
    killed: int = 0
    next_kill: float = 0.0

    def fire(self) -> dict[str, Any]:
        """Let the policy be due, and follow its batch until it is done. Raises Stuck."""
        self.of_nodes = [set() for _ in self.nodes]
        cpu, log, kept = self._cpu(), _log_position(), site.stored()
        batch = self._begun(stock.make_due(self.stock.policy))
        self.next_kill = time.monotonic() + self.kill_every
        self._until_done(batch)
        batch.refresh_from_db()
        after = self._cpu()
        assert batch.finished_at is not None
        took = (batch.finished_at - batch.requested_at).total_seconds()
        spent = {role: round(after[role] - cpu.get(role, 0.0), 2) for role in sorted(after)}
        return {
            "batch": str(batch.pk),
            "seconds": round(took, 2),
            "prepared_seconds": _prepared(batch),
            "cpu_seconds": spent,
            "peak_mib": dict(sorted(self.peaks.items())),
            "wal_bytes": int(_log_position() - log),
            "stored": {kind: _more(now, kept.get(kind)) for kind, now in site.stored().items()},
            "killed": self.killed,
        }

    def _begun(self, slot: datetime) -> Batch:
        deadline = time.monotonic() + FIRE_SECONDS
        while (batch := Batch.objects.filter(slot=slot, policy=self.stock.policy).first()) is None:
            if time.monotonic() > deadline:
                raise Stuck("The policy did not fire.")
            time.sleep(LOOK_SECONDS / 5)
        return batch

    def _until_done(self, batch: Batch) -> None:
        deadline = time.monotonic() + DONE_SECONDS
        while not Batch.objects.filter(pk=batch.pk, state=Batch.State.DONE).exists():
            if time.monotonic() > deadline:
                raise Stuck(f"Batch {batch.pk} is not done after {DONE_SECONDS:g} s.")
            self._look()
            time.sleep(LOOK_SECONDS)
        self._look()

    def _look(self) -> None:
        seen = [processes.below([root]) for root in self.nodes]
        for known, some in zip(self.of_nodes, seen, strict=True):
            known.update(each.pid for each in some)
        every = [each for some in seen for each in some]
        for role, peak in processes.peaks(every).items():
            self.peaks[role] = max(self.peaks.get(role, 0.0), peak)
        if self.kill_every and time.monotonic() > self.next_kill:
            self.next_kill = time.monotonic() + self.kill_every
            self._kill(every)

    def _kill(self, every: Iterable[Seen]) -> None:
        """Kill a child of a training worker, each slot in turn."""
        if children := processes.children(list(every), "training"):
            os.kill(children[self.killed % len(children)], signal.SIGKILL)
            self.killed += 1
            print(f"killed: {self.killed}", file=sys.stderr)

    def _cpu(self) -> dict[str, float]:
        found = processes.seconds(processes.below(self.nodes))
        for name, pid in self.servers.items():
            found[name] = sum(processes.seconds(processes.below([pid])).values())
        return found


def _more(now: dict[str, int], before: dict[str, int] | None) -> dict[str, int]:
    return {name: value - (before or {}).get(name, 0) for name, value in now.items()}


def _log_position() -> float:
    [(position,)] = rows.found("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn", [])
    return float(position)


def _prepared(batch: Batch) -> float | None:
    """Return the seconds until the first run began: models listed, source read, chunks formed."""
    [(seconds,)] = rows.found(
        "SELECT extract(epoch FROM min(r.started_at) - b.requested_at)::float8 FROM training_batch AS b"
        " JOIN training_trainingrun AS r ON r.batch_id = b.id WHERE b.id = %s::uuid GROUP BY b.requested_at",
        [batch.pk],
    )
    return None if seconds is None else round(seconds, 2)
