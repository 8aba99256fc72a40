"""Owns how long work in steps may go on: it asks between its steps. Interrupts none, so the first is always done."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import monotonic


@dataclass(frozen=True)
class Deadline:
    """An end of work, by a clock that nobody sets."""

    ends: float = inf

    @property
    def is_over(self) -> bool:
        """Whether no further step is to begin."""
        return monotonic() > self.ends


NEVER = Deadline()
"""For a person who waits."""


def after(seconds: float) -> Deadline:
    """Return the end of work that begins now."""
    return Deadline(monotonic() + seconds)
