"""Which trainers exist: names, kinds and dotted paths. Imports no trainer until one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from registry.errors import Invalid

SEASONAL_NAIVE = "seasonal_naive"


class TrainerUnknown(Invalid):
    """No trainer has this name."""

    code = "trainer_unknown"
    next_step = "Write one of the names in the sentence."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a trainer lives, and which kinds of fleets it serves; the kinds stand here so that asking loads nothing."""

    path: str
    kinds: frozenset[str]


TRAINERS: dict[str, Entry] = {
    "prophet": Entry(path="training.trainers.prophet:TRAINER", kinds=frozenset({"forecast"})),
    "random_forest": Entry(path="training.trainers.sklearn:RANDOM_FOREST", kinds=frozenset({"regression"})),
    "ridge": Entry(path="training.trainers.sklearn:RIDGE", kinds=frozenset({"regression"})),
    SEASONAL_NAIVE: Entry(path="training.trainers.seasonal_naive:TRAINER", kinds=frozenset({"forecast", "regression"})),
}


def names(kind: str = "") -> tuple[str, ...]:
    """Return the names of all trainers, or of those for one kind of fleet."""
    return tuple(name for name, entry in TRAINERS.items() if not kind or kind in entry.kinds)


def supports(name: str, kind: str) -> bool:
    """Return whether the trainer serves fleets of this kind. Raises TrainerUnknown."""
    return kind in _entry(name).kinds


@cache
def find(name: str) -> Any:
    """Return the `base.Trainer`, importing its libraries on first use. Raises TrainerUnknown.

    Declared as Any because naming the type here would load numpy into the web process.
    """
    module, attribute = _entry(name).path.split(":")
    return getattr(import_module(module), attribute)


def _entry(name: str) -> Entry:
    if name not in TRAINERS:
        raise TrainerUnknown(f"Trainer {name!r} is unknown; there are {', '.join(TRAINERS)}.", field="trainers")
    return TRAINERS[name]
