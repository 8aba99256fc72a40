"""The open list of formats in which a forecaster may come from elsewhere; trainers declare theirs. Knows none of them.

A format stands here because a trainer of this installation reads it without executing anything. Pickle has no place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from registry import errors


class FormatNotTrusted(errors.Invalid):
    """No trainer of this installation reads the format, or reading it would execute what it holds."""

    code = "format_not_trusted"
    status = 422
    next_step = "Export the forecaster as Prophet JSON or by skops: docs/registering.md has the code to paste."


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way to write a forecaster."""

    name: str
    """Such as `prophet-json-1`."""
    trainer: str
    """The trainer that reads it."""
    kinds: frozenset[str]
    """Of fleets that the trainer serves."""
    zipped: bool = False
    """Whether the bytes are a zip (skops), else they are one JSON object."""


_trusted: dict[str, Format] = {}


def trust(formats: Iterable[Format]) -> None:
    """Declare formats that a trainer reads."""
    _trusted.update({each.name: each for each in formats})


def names() -> tuple[str, ...]:
    """Return the names of all trusted formats."""
    return tuple(sorted(_trusted))


def find(name: str) -> Format:
    """Return a trusted format. Raises FormatNotTrusted."""
    if name not in _trusted:
        raise FormatNotTrusted(
            f"The format {name[:64]!r} is not trusted here; {', '.join(names())} are.", field="format"
        )
    return _trusted[name]
