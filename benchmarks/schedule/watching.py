"""Owns what is seen of one firing: how far it is, each look a few rows by their keys, while people ask by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from benchmarks.fleet import processes
from benchmarks.schedule import stock
from benchmarks.schedule.stock import Stock
from registry import rows, timestamps
from registry.models import RegisteredModel, Tick
from training import runs
from training.models import Batch, Chunk, TrainingRun
from training.policy_terms import Reason

LOOK_SECONDS = 0.1
ASK_SECONDS = 2.0
PEAKS_SECONDS = 2.0
FIRE_SECONDS, DONE_SECONDS = 60.0, 1800.0
_DISPATCHED = """
SELECT count(*), coalesce(sum(size), 0), count(*) FILTER (WHERE dispatched_at IS NULL), max(dispatched_at)
FROM training_chunk WHERE batch_id = %s::uuid AND kind = 'work'
"""
_BEGAN = """
SELECT extract(epoch FROM started_at - requested_at)::float8 FROM training_trainingrun
WHERE batch_id = ANY(%s::uuid[]) AND state <> 'skipped'
"""


class Stuck(Exception):
    """What was waited for did not come."""


@dataclass(kw_only=True)
class Watch:
    """What is seen while one slot is carried out."""

    stock: Stock
    roots: list[int]
    asked: list[Batch] = field(default_factory=list)
    ticks: list[datetime] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)
    next_ask: float = 0.0
    next_peaks: float = 0.0

    def fire(self, *, minutes_ago: int) -> dict[str, Any]:
        """Let the policy have been due at that minute, and follow its batch to the end."""
        self.ticks = []
        slot = stock.make_due(self.stock.policy, minutes_ago=minutes_ago)
        self._until(lambda: Batch.objects.filter(slot=slot).exists(), seconds=FIRE_SECONDS)
        batch = Batch.objects.get(slot=slot)
        prepare = Chunk.objects.filter(batch=batch, kind=Chunk.Kind.PREPARE)
        seen = {"batch": _since(batch)}
        self._until(lambda: Batch.objects.filter(pk=batch.pk, listed=True).exists(), seconds=DONE_SECONDS)
        seen["all runs written"] = _since(batch)
        self._until(lambda: not prepare.exclude(state=Chunk.State.DONE).exists(), seconds=DONE_SECONDS)
        seen["all chunks formed"] = _since(batch)
        self._until(lambda: rows.found(_DISPATCHED, [batch.pk])[0][2] == 0, seconds=DONE_SECONDS)
        self._until(lambda: Batch.objects.filter(pk=batch.pk, state="done").exists(), seconds=DONE_SECONDS)
        return {**self._figures(batch, seen), "manual_seconds": self._manual(), "longest_gap": self._longest_gap()}

    def _figures(self, batch: Batch, seen: Mapping[str, float]) -> dict[str, Any]:
        [(chunks, runs_in_chunks, _, last)] = rows.found(_DISPATCHED, [batch.pk])
        batch.refresh_from_db()
        found = dict(seen)
        if first := Chunk.objects.filter(batch=batch, kind=Chunk.Kind.PREPARE).first():
            found["first message"] = _seconds(batch, first.dispatched_at)
        found["all chunks dispatched"] = _seconds(batch, last)
        found["batch done"] = _seconds(batch, batch.finished_at)
        return {
            "seconds": found,
            "chunks": chunks,
            "runs_in_chunks": int(runs_in_chunks),
            "succeeded": TrainingRun.objects.filter(batch=batch, state="succeeded").count(),
        }

    def _manual(self) -> list[float]:
        """Return how long each run that was asked for by hand waited to begin; looks at them once more."""
        self._until(lambda: not Batch.objects.filter(pk__in=self._asked(), state="open").exists(), seconds=60)
        found = [seconds for (seconds,) in rows.found(_BEGAN, [self._asked()])]
        self.asked = []
        return [round(each, 2) for each in found]

    def _asked(self) -> list[Any]:
        return [batch.pk for batch in self.asked]

    def warm_up(self) -> None:
        """Let one run by hand be carried out, so that no later one waits for a worker's first task."""
        self.ask()
        self._manual()

    def ask(self) -> None:
        """Ask for a run of one model, as a person does."""
        place = int(time.monotonic() * 10) % stock.BY_HAND_MODELS
        model = RegisteredModel.objects.filter(fleet=self.stock.by_hand).order_by("entity_key")[place]
        reason = Reason(trigger="manual", sentence="By hand.", actor="bench")
        self.asked.append(
            runs.request(fleet=self.stock.by_hand, entities=[model.entity_key], reason=reason, at=timestamps.utc_now())
        )
        self.next_ask = time.monotonic() + ASK_SECONDS

    def _until(self, seen: Any, *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not seen():
            if time.monotonic() > deadline:
                raise Stuck("The slot did not come to its end in time.")
            self._look()
            time.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        at = Tick.objects.filter(name="dispatch").values_list("at", flat=True).first()
        if at is not None and (not self.ticks or self.ticks[-1] != at):
            self.ticks.append(at)
        if time.monotonic() > self.next_peaks:
            self.next_peaks = time.monotonic() + PEAKS_SECONDS
            for role, peak in processes.peaks(processes.below(self.roots)).items():
                self.peaks[role] = max(self.peaks.get(role, 0.0), peak)
        if self.asked and time.monotonic() > self.next_ask and Batch.objects.filter(state="open").exists():
            self.ask()

    def _longest_gap(self) -> float:
        """Return the longest time between two ticks of the dispatcher, in seconds."""
        gaps = [(later - earlier).total_seconds() for earlier, later in zip(self.ticks, self.ticks[1:], strict=False)]
        return round(max(gaps, default=0.0), 2)


def _since(batch: Batch) -> float:
    return _seconds(batch, timestamps.utc_now())


def _seconds(batch: Batch, at: datetime | None) -> float:
    """Return the seconds from the tick that fired to an instant."""
    return round((at - batch.requested_at).total_seconds(), 2) if at else -1.0
