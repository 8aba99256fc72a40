"""Which trainers exist: names, kinds and dotted paths. Imports no trainer until one is asked for.

One that fits nothing reads what was fitted elsewhere; no policy can name it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any

from registry.bundle.formats import Format
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
    format: str
    """Name of the trainer's artifact format, which a contract test compares."""
    also_reads: tuple[str, ...] = ()
    """Further formats: what earlier releases wrote, or the library itself writes."""
    zipped: bool = False
    """Whether its formats are zips."""
    fits: bool = True
    """Whether it fits series; else it only reads what was fitted elsewhere."""


TRAINERS: dict[str, Entry] = {
    "prophet": Entry(
        path="training.trainers.prophet:TRAINER",
        kinds=frozenset({"forecast"}),
        format="prophet-2",
        also_reads=("prophet-json-1",),
    ),
    "random_forest": Entry(
        path="training.trainers.sklearn:RANDOM_FOREST",
        kinds=frozenset({"regression"}),
        format="random-forest-skops-1",
        zipped=True,
    ),
    "ridge": Entry(
        path="training.trainers.sklearn:RIDGE", kinds=frozenset({"regression"}), format="ridge-skops-1", zipped=True
    ),
    SEASONAL_NAIVE: Entry(
        path="training.trainers.seasonal_naive:TRAINER",
        kinds=frozenset({"forecast", "regression"}),
        format="seasonal-naive-json-1",
    ),
    "sklearn": Entry(
        path="training.trainers.pipelines:TRAINER",
        kinds=frozenset({"regression"}),
        format="sklearn-skops-1",
        zipped=True,
        fits=False,
    ),
}


def names(kind: str = "") -> tuple[str, ...]:
    """Return the names of all trainers that fit, or of those for one kind of fleet."""
    return tuple(name for name, entry in TRAINERS.items() if entry.fits and (not kind or kind in entry.kinds))


def formats() -> tuple[Format, ...]:
    """Return the formats that the trainers read, and in which a forecaster may therefore come from elsewhere."""
    return tuple(
        replace(format_of(name), name=format) for name, entry in TRAINERS.items() for format in _formats(entry)
    )


def format_of(name: str) -> Format:
    """Return the format that a trainer writes and reads. Raises TrainerUnknown."""
    entry = _entry(name)
    return Format(name=entry.format, trainer=name, kinds=entry.kinds, zipped=entry.zipped)


def _formats(entry: Entry) -> tuple[str, ...]:
    return (entry.format, *entry.also_reads)


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
