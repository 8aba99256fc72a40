"""Owns timers around functions of the product, put in from outside: each step without the steps inside it."""

from __future__ import annotations

import contextlib
import functools
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fleet import processes

REST = "the rest"


@dataclass(kw_only=True)
class Spent:
    """Seconds: by the clock on the wall, of this process's processor time, of its database process's."""

    wall: float = 0.0
    processor: float = 0.0
    database: float = 0.0

    def add(self, other: tuple[float, float, float]) -> None:
        """Add seconds of the three."""
        self.wall, self.processor, self.database = (
            self.wall + other[0],
            self.processor + other[1],
            self.database + other[2],
        )


@dataclass
class Clock:
    """Which functions are steps, by module, name and label, and what each took; steps by the path to them."""

    steps: Sequence[tuple[str, str, str]]
    spent: dict[str, Spent] = field(default_factory=dict)
    sum: Spent = field(default_factory=Spent)
    _path: list[str] = field(default_factory=list)
    _last: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _server: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Time the steps for the length of a block. Raises AttributeError for a function that is not there."""
        self._server, before = _server(), []
        try:
            for module, name, label in self.steps:
                *within, last = name.split(".")
                at: Any = functools.reduce(getattr, within, importlib.import_module(module))
                before.append((at, last, getattr(at, last)))
                setattr(at, last, self._timed(getattr(at, last), label))
            self._last = self._now()
            yield
            self._charge()
        finally:
            for at, name, function in before:
                setattr(at, name, function)

    def _timed(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*given: Any, **named: Any) -> Any:
            self._charge()
            self._path.append(label)
            try:
                return function(*given, **named)
            finally:
                self._charge()
                self._path.pop()

        return timed

    def _charge(self) -> None:
        now = self._now()
        took = (now[0] - self._last[0], now[1] - self._last[1], now[2] - self._last[2])
        self.spent.setdefault(" / ".join(self._path) or REST, Spent()).add(took)
        self.sum.add(took)
        self._last = now

    def _now(self) -> tuple[float, float, float]:
        # Inside a step that is inside another none talks to the database, and thousands of them are timed.
        database = processes.own_seconds(self._server) if len(self._path) < 2 else self._last[2]
        return time.perf_counter(), time.process_time(), database


def _server() -> int:
    """Return the process that serves this connection."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
