"""`python -m benchmarks.fleet.profile MODELS`: where time goes for one model, by the steps of its batch.

All in this process, without Celery: a batch is prepared, its first chunk warms up, and the others are measured.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import scratch
from benchmarks.fleet import processes, site
from benchmarks.fleet.clock import Clock, Spent

MEASURED_CHUNKS = 3
PREPARING = (
    ("training.enlisting", "go_on", "list models"),
    ("training.snapshots", "ensure", "read the source into a snapshot"),
    ("training.preparing", "_discover", "look for new entities"),
    ("training.forming", "form", "form chunks"),
)
STEPS = (
    ("training.chunks", "claim", "claim"),
    ("training.claimed", "runs", "read runs"),
    ("training.cases", "load", "read series"),
    ("training.candidates", "line_up", "candidates"),
    ("training.candidates", "fit_all", "fit"),
    ("training.candidates", "forecast_all", "forecast"),
    ("training.trainers.prophet", "ProphetTrainer.fit_many", "prophet"),
    ("training.trainers.prophet", "ProphetTrainer.predict_many", "prophet"),
    ("training.trainers.seasonal_naive", "SeasonalNaiveTrainer.fit_many", "seasonal naive"),
    ("training.trainers.seasonal_naive", "SeasonalNaiveTrainer.predict_many", "seasonal naive"),
    ("training.judging", "judge", "judge"),
    ("training.forecasting", "load_many", "load champions"),
    ("training.comparing", "compare_all", "compare"),
    ("training.packing", "seal", "pack"),
    ("registry.bundle", "pack", "write bundle"),
    ("training.forecasting", "parse", "read bundle back"),
    ("training.evaluation", "scorecards", "scorecards"),
    ("registry.lifecycle", "store_artifacts", "store"),
    ("training.records", "refreshed", "forecast of champions that stay"),
    ("registry.lifecycle", "register", "register"),
    ("training.publishing", "publish", "publish"),
    ("registry.lifecycle", "promote", "promote"),
    ("registry.lifecycle", "nominate", "nominate"),
    ("registry.lifecycle", "reject", "reject"),
    ("training.outcomes", "close", "end runs"),
    ("training.chunks", "worked", "note progress"),
)
SAID = (
    "Milliseconds for one model, of one process. A step inside another is named behind it and is not counted in it;"
    " `postgresql` is the processor time of the process that serves this connection, `postgresql, others` that of the"
    " server's other processes (writing, vacuuming); a wall that is longer than both together waited."
)


def measure(folder: Path, *, models: int) -> dict[str, Any]:
    """Return the steps of preparing for all models, and of the page for those of three chunks."""
    # Of a policy that has shown nothing the chunks would be small.
    with site.prepared(folder, store="disk", more={"PERENNIAL_TRAINING_CHUNK_RUNS_UNKNOWN": "5000"}):
        from benchmarks.fleet import stock
        from registry import timestamps
        from training import carrying, chunks, runs
        from training.policy_terms import Reason

        made = stock.fill(folder, models=models)
        batch = runs.request(
            fleet=made.fleet,
            entities=None,
            reason=Reason(trigger="manual", sentence="Profile.", actor=stock.ACTOR),
            at=timestamps.utc_now(),
            queue=chunks.INLINE,
            policy=made.policy,
        )
        preparing = Clock(PREPARING)
        with preparing.running():
            [ticket] = chunks.take(limit=1, batch=batch)
            carrying.carry_out(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="profile:0")
        tickets = chunks.take(limit=1 + MEASURED_CHUNKS, batch=batch)
        _carry(tickets[0])
        # A worker leaves out what it loaded before it forked; here the stock and a first chunk are left out as well.
        gc.collect()
        gc.freeze()
        clock = Clock(STEPS)
        before = _database()
        with clock.running():
            done = sum(_carry(ticket) for ticket in tickets[1:])
        others = _database() - before - clock.sum.database
        return {
            "said": SAID,
            "preparing": {"models": models, "milliseconds": _table(preparing, models)},
            "page": {
                "models": done,
                "milliseconds": [
                    *_table(clock, done),
                    {"step": "postgresql, others", "postgresql": round(1000 * others / done, 3)},
                ],
            },
        }


def _carry(ticket: Any) -> int:
    """Carry one chunk out as one slice; return how many runs it had."""
    from training import carrying, chunks, claimed, heartbeat, retraining, snapshots
    from training.models import Chunk

    claim = chunks.claim(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="profile:0")
    assert claim is not None
    batch = Chunk.objects.select_related("batch").get(pk=claim.chunk_id).batch
    with carrying.collected_afterwards(), heartbeat.beating(claim) as pulse:
        mine = claimed.runs(claim)
        retraining.retrain(retraining.Work(claim=claim, pulse=pulse, snapshot=snapshots.ensure(batch), runs=mine))
        chunks.worked(claim, ended=len(mine), seconds=1.0)
    chunks.done(claim)
    return len(mine)


def _database() -> float:
    """Return the processor time of the whole server, in seconds."""
    return sum(processes.seconds(processes.below([site.database_process()])).values())


def _table(clock: Clock, models: int) -> list[dict[str, Any]]:
    rows: Iterable[tuple[str, Spent]] = [*clock.spent.items(), ("all", clock.sum)]
    return [
        {
            "step": step,
            "wall": round(1000 * spent.wall / models, 3),
            "processor": round(1000 * spent.processor / models, 3),
            "postgresql": round(1000 * spent.database / models, 3),
        }
        for step, spent in rows
    ]


def main(models: int) -> int:
    """Profile in a scratch folder that is removed at the end; tell how long all of it took."""
    began = time.monotonic()
    with scratch.folder() as folder:
        print(json.dumps(measure(folder, models=models)))
    print(f"profiled in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
