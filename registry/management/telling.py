"""Owns how a command tells what became of many: some at a time, as they are done, and at last how many there were.

Only counts are kept. For programs it is one JSON object, whole also where something ends the work half-way.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

from rich.table import Table

from registry import terminal

T = TypeVar("T")


class Words(ABC, Generic[T]):
    """What a command says of its work."""

    done: str
    """What the count of those that were not refused is called, for programs."""

    @property
    def head(self) -> Mapping[str, Any]:
        """What stands before the results, for programs."""
        return {}

    @abstractmethod
    def is_done(self, each: T) -> bool:
        """Whether it was not refused."""

    @abstractmethod
    def table(self, some: Sequence[T], *, is_first: bool) -> Table:
        """Return what people read of some."""

    @abstractmethod
    def sentence(self, *, done: int, refused: int) -> str:
        """Return what people read at the end."""

    @abstractmethod
    def plain(self, each: T) -> Mapping[str, Any]:
        """Return what programs read of one."""


class Told(ABC, Generic[T]):
    """Tells what became of each. What was told is ended by the counts, whatever ends the block that it is used in."""

    def __init__(self, command: terminal.Command, words: Words[T]) -> None:
        self._command = command
        self._words = words
        self.done = self.refused = 0

    @property
    def count(self) -> int:
        """How many have been told."""
        return self.done + self.refused

    def tell(self, some: Sequence[T]) -> None:
        """Tell some more, which is done: it counts also where what ends the work ends the telling of it."""
        is_first, done = not self.count, sum(map(self._words.is_done, some))
        self.done, self.refused = self.done + done, self.refused + len(some) - done
        self._tell(some, is_first=is_first)
        self._command.stdout.flush()

    def __enter__(self) -> Told[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        # What is done stays done, whatever ended the rest: nobody should have to guess which.
        if self.count or kind is None:
            self._end()

    @abstractmethod
    def _tell(self, some: Sequence[T], *, is_first: bool) -> None: ...

    @abstractmethod
    def _end(self) -> None:
        """Say how many there were."""


class Tables(Told[T]):
    """For people: a table for each so many, and a sentence."""

    def _tell(self, some: Sequence[T], *, is_first: bool) -> None:
        if some:
            self._command.console.print(self._words.table(some, is_first=is_first))

    def _end(self) -> None:
        self._command.say(self._words.sentence(done=self.done, refused=self.refused))


class Json(Told[T]):
    """For programs: one object, whose results are written as they come and whose counts stand at its end."""

    def __init__(self, command: terminal.Command, words: Words[T]) -> None:
        super().__init__(command, words)
        head = f"{_line(words.head).removesuffix('}')},\n " if words.head else "{"
        self._before = f'{head}"results": ['

    def _tell(self, some: Sequence[T], *, is_first: bool) -> None:
        for each in some:
            self._write(f"{self._before}\n  {_line(self._words.plain(each))}")
            self._before = ","

    def _end(self) -> None:
        head = "" if self._before == "," else self._before
        counts = _line({self._words.done: self.done, "refused": self.refused})
        self._write(f"{head}\n ],\n {counts.removeprefix('{')}\n")

    def _write(self, text: str) -> None:
        self._command.stdout.write(text, ending="")


def told(command: terminal.Command, words: Words[T], *, as_json: bool) -> Told[T]:
    """Return what tells, for programs or for people."""
    return Json(command, words) if as_json else Tables(command, words)


def _line(value: object) -> str:
    return json.dumps(value, allow_nan=False)
