"""Owns how a command registers many versions: in slices, each of them told as soon as it is stored and registered.

What is refused leaves the others be. Whatever ends the command half-way, what was told is registered.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from registry import errors, terminal, timestamps
from registry.exchange import intake
from registry.exchange.deliveries import Delivery
from registry.management.sending import Origin, Sent
from registry.models import Fleet, ModelVersion

# Registered in one transaction; their bytes are not kept, what is said of them is.
SLICE = 500
Result = ModelVersion | errors.PerennialError


def register(fleet: Fleet, sent: Iterator[Sent], *, create: bool, told: Told) -> None:
    """Register all that is sent, and tell each. Raises StoreUnavailable; what was told before stays registered."""
    is_whole = False
    try:
        while told.tell_all(*_slice(fleet, sent, create=create)):
            pass
        is_whole = True
    finally:
        if told.count or is_whole:
            told.end()


def _slice(fleet: Fleet, sent: Iterator[Sent], *, create: bool) -> tuple[list[Origin], list[Result]]:
    origins: list[Origin] = []
    parcels = intake.store(fleet, _deliveries(islice(sent, SLICE), origins))
    if not origins:
        return [], []
    return origins, intake.register(fleet, parcels, actor=terminal.actor(), at=timestamps.utc_now(), create=create)


def _deliveries(sent: Iterable[Sent], origins: list[Origin]) -> Iterator[Delivery | errors.PerennialError]:
    """Yield what is delivered, and put down of each where it came from."""
    for each in sent:
        origins.append(each.origin)
        yield each.delivery


class Told(ABC):
    """Tells what became of each, some at a time, and keeps only how many there were."""

    def __init__(self, command: terminal.Command) -> None:
        self._command = command
        self.registered = self.refused = 0

    @property
    def count(self) -> int:
        """How many have been told."""
        return self.registered + self.refused

    def tell_all(self, origins: Sequence[Origin], results: Sequence[Result]) -> bool:
        """Tell some more; return whether there were any."""
        self._tell(list(zip(origins, results, strict=True)))
        self._command.stdout.flush()
        registered = sum(isinstance(each, ModelVersion) for each in results)
        self.registered, self.refused = self.registered + registered, self.refused + len(results) - registered
        return bool(origins)

    @abstractmethod
    def _tell(self, told: Sequence[tuple[Origin, Result]]) -> None: ...

    @abstractmethod
    def end(self) -> None:
        """Say how many there were."""


class Tables(Told):
    """For people: a table for each slice, and a sentence."""

    def __init__(self, command: terminal.Command, *, after: str) -> None:
        super().__init__(command)
        self._after = after

    def _tell(self, told: Sequence[tuple[Origin, Result]]) -> None:
        if told:
            rows = [(*each.place.values(), each.entity, *_row(result)) for each, result in told]
            place = next(iter(told[0][0].place))
            self._command.console.print(terminal.table("", [place, "entity", "version>", "state", "why not~"], rows))

    def end(self) -> None:
        after = f" {self._after}" if self.registered else ""
        self._command.say(f"{self.registered} registered, {self.refused} refused.{after}")


class Json(Told):
    """For programs: one object, whose results are written as they come and whose counts stand at its end."""

    _before = '{"results": ['

    def _tell(self, told: Sequence[tuple[Origin, Result]]) -> None:
        for each, result in told:
            entity = {"entity": each.entity} if each.entity else {}
            self._write(f"{self._before}\n  {json.dumps({**each.place, **entity, **_plain(result)})}")
            self._before = ","

    def end(self) -> None:
        head = "" if self.count else self._before
        counts = json.dumps({"registered": self.registered, "refused": self.refused})
        self._write(f"{head}\n ],\n {counts.removeprefix('{')}\n")

    def _write(self, text: str) -> None:
        self._command.stdout.write(text, ending="")


def _row(result: Result) -> tuple[str, str, str]:
    if isinstance(result, ModelVersion):
        return f"v{result.number}", result.state, ""
    return "", "refused", str(result)


def _plain(result: Result) -> dict[str, Any]:
    if isinstance(result, ModelVersion):
        return {"id": str(result.pk), "number": result.number, "state": result.state}
    return dict(result.plain())
