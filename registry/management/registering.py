"""Owns how a command registers many versions: in slices, each of them told as soon as it is stored and registered.

What is refused leaves the others be. Whatever ends the command half-way, what was told is registered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rich.table import Table

from registry import deadlines, errors, terminal, timestamps
from registry.exchange import intake
from registry.exchange.deliveries import Delivery
from registry.management.sending import Origin, Sent
from registry.management.telling import Told, Words
from registry.models import Fleet, ModelVersion

# Registered in one transaction; their bytes are not kept, what is said of them is.
SLICE = 500
# What comes slowly is registered, and told, before the slice is full.
SLICE_SECONDS = 10.0
Result = ModelVersion | errors.PerennialError
Became = tuple[Origin, Result]


def register(fleet: Fleet, sent: Iterator[Sent], *, create: bool, told: Told[Became]) -> None:
    """Register all that is sent, and tell each. Raises StoreUnavailable; what was told before stays registered."""
    while some := _slice(fleet, sent, create=create):
        told.tell(some)


def _slice(fleet: Fleet, sent: Iterator[Sent], *, create: bool) -> list[Became]:
    origins: list[Origin] = []
    parcels = intake.store(fleet, _deliveries(_in_time(sent), origins))
    if not origins:
        return []
    results = intake.register(fleet, parcels, actor=terminal.actor(), at=timestamps.utc_now(), create=create)
    return list(zip(origins, results, strict=True))


def _in_time(sent: Iterator[Sent]) -> Iterator[Sent]:
    until = deadlines.after(SLICE_SECONDS)
    for each in islice(sent, SLICE):
        yield each
        if until.is_over:
            return


def _deliveries(sent: Iterable[Sent], origins: list[Origin]) -> Iterator[Delivery | errors.PerennialError]:
    """Yield what is delivered, and put down of each where it came from."""
    for each in sent:
        origins.append(each.origin)
        yield each.delivery


class Registered(Words[Became]):
    """What is said of versions that were to be registered."""

    done = "registered"

    def __init__(self, *, after: str) -> None:
        self._after = after

    def is_done(self, each: Became) -> bool:
        """Whether it is a version now."""
        return isinstance(each[1], ModelVersion)

    def table(self, some: Sequence[Became], *, is_first: bool) -> Table:
        """Return a row for each, with the place that it came from."""
        rows = [(*origin.place.values(), origin.entity, *_row(result)) for origin, result in some]
        place = next(iter(some[0][0].place))
        return terminal.table("", [place, "entity", "version>", "state", "why not~"], rows)

    def sentence(self, *, done: int, refused: int) -> str:
        """Return how many, and what comes next."""
        return f"{done} registered, {refused} refused." + (f" {self._after}" if done else "")

    def plain(self, each: Became) -> Mapping[str, Any]:
        """Return the place, the entity where it is known, and the version or why there is none."""
        origin, result = each
        return {**origin.place, **({"entity": origin.entity} if origin.entity else {}), **_plain(result)}


def _row(result: Result) -> tuple[str, str, str]:
    if isinstance(result, ModelVersion):
        return f"v{result.number}", result.state, ""
    return "", "refused", str(result)


def _plain(result: Result) -> dict[str, Any]:
    if isinstance(result, ModelVersion):
        return {"id": str(result.pk), "number": result.number, "state": result.state}
    return dict(result.plain())
