"""SWEEPS: the one table of periodic jobs. Policies are rows; a sweep fires them."""

from __future__ import annotations

from dataclasses import dataclass

from training.conf import TrainingConf


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A periodic job: the task, seconds between two ticks, and the queue it runs on."""

    task: str
    every: int
    queue: str = "control"


def sweeps(training: TrainingConf) -> dict[str, Sweep]:
    """Return every periodic job by name. A tick that finds the one before still running does nothing."""
    return {
        "dispatch": Sweep(task="training.dispatch", every=training.dispatch_every_seconds),
        "due-slots": Sweep(task="training.fire_due_slots", every=training.sweep_every_seconds),
        "stalled-runs": Sweep(task="training.requeue_stalled", every=training.sweep_every_seconds),
    }
