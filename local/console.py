"""Owns what the supervisor writes: one line each, with the name of its process. Refuses to die with its reader."""

from __future__ import annotations

import os
import re
from typing import TextIO

# Cyan, yellow, green, magenta, blue, light red: readable on dark and on light ground.
COLOURS = (36, 33, 32, 35, 34, 91)

# Other programs' terminal codes would run into the prefix of the next line.
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Console:
    """Prefixed lines on one stream; `is_gone` once the stream's reader has left."""

    def __init__(self, stream: TextIO, names: list[str]) -> None:
        self.stream = stream
        self.width = max(map(len, names), default=0)
        self.colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
        self.coloured = stream.isatty() and not os.environ.get("NO_COLOR")
        self.is_gone = False

    def line(self, name: str, text: str) -> None:
        """Write one line of one process."""
        label = f"{name:<{self.width}} |"
        if self.coloured and name in self.colours:
            label = f"\x1b[{self.colours[name]}m{label}\x1b[0m"
        self.plain(f"{label} {TERMINAL_CODES.sub('', text)}")

    def plain(self, text: str) -> None:
        """Write one line of the supervisor's own that others may wait for, without a name."""
        if self.is_gone:
            return
        try:
            self.stream.write(f"{text}\n")
            self.stream.flush()
        except (BrokenPipeError, ValueError):
            self.is_gone = True


class LineBuffer:
    """Cuts what arrives from a pipe into whole lines."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, piece: bytes) -> list[str]:
        """Return the lines that this piece completes; an empty piece ends the last line."""
        lines = (self.rest + piece).split(b"\n")
        self.rest = lines.pop() if piece else b""
        return [line.decode(errors="replace").rstrip() for line in lines if line.strip()]
