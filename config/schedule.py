"""SWEEPS: the one table of periodic jobs. Policies are rows; a sweep fires them."""

from __future__ import annotations

from dataclasses import dataclass

from training.conf import TrainingConf

HOUR, DAY = 3600, 86_400
"""What frees space is in no hurry: versions wait days to be swept, and nobody waits for them."""


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
        "inspect": Sweep(task="training.inspect", every=training.inspect_every_seconds, queue="interactive"),
        "due-slots": Sweep(task="training.fire_due_slots", every=training.sweep_every_seconds),
        "stalled-runs": Sweep(task="training.requeue_stalled", every=training.sweep_every_seconds),
        # Files follow within 10 s: two of these, and the work of one. A store or a network folder that hangs holds up
        # its queue for minutes, so nothing else waits there.
        "export": Sweep(task="registry.export", every=5, queue="export"),
        # Each is a look at one store, in turn. Where a sweep works for its minute, or a store hangs, this is late.
        "stores": Sweep(task="registry.look_at_stores", every=15, queue="maintenance"),
        # These work for a minute at a time, on a queue where nothing else waits for them.
        "retention": Sweep(task="registry.mark", every=HOUR, queue="maintenance"),
        # A round every hour; the ticks between go on with one that a minute did not suffice for.
        "retention-sweep": Sweep(task="registry.sweep", every=300, queue="maintenance"),
        "orphans": Sweep(task="registry.sweep_orphans", every=DAY, queue="maintenance"),
        "temporary": Sweep(task="registry.sweep_temporary", every=DAY, queue="maintenance"),
        "snapshots": Sweep(task="training.sweep_snapshots", every=DAY, queue="maintenance"),
    }
