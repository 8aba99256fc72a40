"""Owns where a command takes many versions from: lines of JSON, or a folder of bundles; one in memory at a time.

What cannot be read is refused by itself, in its place. A file's name is an entity and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from registry import conf, errors, terminal
from registry.exchange.deliveries import Delivery
from registry.rest_base import uploads

SUFFIX = ".bundle"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Which line or file a version comes from, and its entity where that can be told."""

    place: Mapping[str, int | str]
    """The number of the line, or the name of the file."""
    entity: str = ""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What one line or file holds, or why it is not taken."""

    origin: Origin
    delivery: Delivery | errors.PerennialError


def lines(stream: IO[bytes]) -> Iterator[Sent]:
    """Yield the versions of JSON lines, as `POST fleets/{fleet}/versions` takes them; blank lines are passed over."""
    most = conf.current().bulk_body_bytes
    number = 0
    while line := stream.readline(most + 1):
        number += 1
        if len(line) > most:
            _pass_over(stream, line, most)
            refused = errors.Invalid(f"The line is longer than {most} bytes.", next_step="Send it as a bundle.")
            yield Sent(origin=Origin(place={"line": number}), delivery=refused)
        elif line.strip():
            found = uploads.delivery(line)
            entity = found.entity[:128] if isinstance(found, Delivery) else ""
            yield Sent(origin=Origin(place={"line": number}, entity=entity), delivery=found)


def bundles(folder: Path) -> Iterator[Sent]:
    """Yield the bundles of a folder: `ENTITY.bundle`, or several of an entity as `ENTITY/NAME.bundle`, by name.

    Raises Refused for a folder that cannot be read.
    """
    try:
        paths = sorted([*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*/*{SUFFIX}")])
        if not folder.is_dir():
            raise terminal.Refused(f"{folder} is no folder.")
    except OSError as error:
        raise terminal.Refused(f"{folder} cannot be read: {error.strerror}.") from error
    for path in paths:
        name = path.relative_to(folder)
        entity = name.parts[0] if len(name.parts) > 1 else name.name.removesuffix(SUFFIX)
        yield Sent(origin=Origin(place={"file": str(name)}, entity=entity), delivery=_bundle(path, entity))


def opened(path: Path) -> IO[bytes]:
    """Return a file of lines, open. Raises Refused for one that cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise terminal.Refused(f"{path} cannot be read: {error.strerror}.") from error


def read(path: Path) -> bytes:
    """Return the bytes of a file. Raises Refused for one that cannot be read or is larger than an artifact may be."""
    try:
        size, most = path.stat().st_size, conf.current().max_artifact_bytes
        if size > most:
            raise terminal.Refused(f"{path} has {size} bytes; at most {most} are registered.")
        return path.read_bytes()
    except OSError as error:
        raise terminal.Refused(f"{path} cannot be read: {error.strerror}.") from error


def _bundle(path: Path, entity: str) -> Delivery | errors.PerennialError:
    try:
        return Delivery(entity=entity, bundle=read(path))
    except terminal.Refused as error:
        return errors.Invalid(str(error), field="bundle")


def _pass_over(stream: IO[bytes], line: bytes, most: int) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(most)
