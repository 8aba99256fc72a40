"""Owns where a command takes many versions from: lines of JSON, or a folder of bundles; one in memory at a time.

What cannot be read is refused by itself, in its place. A file's name is an entity and nothing else. A file that a
person names may be a link; in a folder links are refused: who fills it may read less than who runs the command.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from registry import conf, errors, terminal
from registry.exchange import reading
from registry.exchange.deliveries import Delivery

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
            found = reading.delivery(line)
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
        yield Sent(origin=Origin(place={"file": str(name)}, entity=entity), delivery=_bundle(path, folder, entity))


def opened(path: Path) -> IO[bytes]:
    """Return a file of lines, open. Raises Refused for one that cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise terminal.Refused(f"{path} cannot be read: {error.strerror}.") from error


def read(path: Path) -> bytes:
    """Return the bytes of a file, or of the one that a link leads to.

    Raises Refused for what is no file, cannot be read or is larger than an artifact may be.
    """
    return _read(path, 0)


def _bundle(path: Path, folder: Path, entity: str) -> Delivery | errors.PerennialError:
    try:
        if path.parent != folder and path.parent.is_symlink():
            raise _link(path.parent)
        return Delivery(entity=entity, bundle=_read(path, os.O_NOFOLLOW))
    except terminal.Refused as error:
        return errors.Invalid(str(error), next_step="Put the bundle itself there.", field="bundle")


def _read(path: Path, flags: int) -> bytes:
    most = conf.current().max_artifact_bytes
    try:
        with _file(path, flags) as stream:
            content = stream.read(most + 1)
    except OSError as error:
        if flags and error.errno == errno.ELOOP:
            raise _link(path) from error
        raise terminal.Refused(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > most:
        raise terminal.Refused(f"{path} has more than {most} bytes, the most that is registered.")
    return content


def _file(path: Path, flags: int) -> IO[bytes]:
    # Without O_NONBLOCK a pipe would be waited for; it is refused like a device, which may have no end.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise terminal.Refused(f"{path} is no file.")


def _link(path: Path) -> terminal.Refused:
    return terminal.Refused(f"{path} is a link; in a folder none is followed.")


def _pass_over(stream: IO[bytes], line: bytes, most: int) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(most)
