"""Owns what is looked at in a forecaster's bytes: form and size, before anything parses them. Pure.

Refuses bombs by what their headers say and whatever does not begin as its format does. Executes and unpacks nothing;
whether a trainer can read the bytes is found out by a worker. Who takes a forecaster in and who parses one look with
the same eyes, so that nothing is taken in that is too large to be read later.
"""

from __future__ import annotations

import io
import zipfile

from registry import bundle, errors
from registry.bundle import Limits, archives
from registry.bundle.formats import Format

# Of a forecaster stored as JSON; parsed it takes up to twenty times as much. Those of this product have some ten kB.
JSON_BYTES = 8 * 1024**2
# Of the list of members that a zip ends with; a forest of thousands of trees has a tenth of it.
DIRECTORY_BYTES = 4 * 1024**2
# Of one JSON member inside a zip, such as the schema of a skops file.
SCHEMA_BYTES = 32 * 1024**2


class ForecasterRefused(errors.Invalid):
    """The bytes do not have the form of their format, or would take more memory than a forecaster needs."""

    code = "forecaster_refused"
    status = 422
    next_step = "Export the forecaster again as docs/registering.md shows, and register that."


def examined_forecaster(content: bytes, *, format: Format, limits: Limits) -> bytes:
    """Return the forecaster of an artifact, ready to be parsed. Raises BundleInvalid, ForecasterRefused."""
    data = bundle.forecaster_of(content, limits=limits)
    examine(data, format=format, limits=limits)
    return data


def examine(data: bytes, *, format: Format, limits: Limits) -> None:
    """Look at the outside of a forecaster's bytes. Raises ForecasterRefused."""
    if format.zipped:
        _examine_zip(data, format.name, limits.unpacked(len(data)))
    elif len(data) > JSON_BYTES:
        raise ForecasterRefused(f"{len(data)} bytes of {format.name} are more than {JSON_BYTES} allowed.")
    elif data.lstrip(b" \t\r\n")[:1] != b"{":
        raise ForecasterRefused(f"These {len(data)} bytes are no JSON object, as {format.name} is.")


def _examine_zip(data: bytes, name: str, most: int) -> None:
    try:
        archives.check(data, most=DIRECTORY_BYTES)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except archives.ArchiveRefused as error:
        raise ForecasterRefused(f"As {name} refused: {error.sentence}") from error
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise ForecasterRefused(f"The zip of this {name} is broken: {error}.") from error
    total = sum(member.file_size for member in members)
    if total > most:
        raise ForecasterRefused(f"{len(data)} bytes would unpack to {total}, more than {most}: refused as a bomb.")
    for member in members:
        _examine_member(member, name)


def _examine_member(member: zipfile.ZipInfo, name: str) -> None:
    parts = member.filename.replace("\\", "/").split("/")
    if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in parts[0]:
        raise ForecasterRefused(f"A member of this {name} is called {member.filename[:80]!r}.")
    if member.flag_bits & 0x1:
        raise ForecasterRefused(f"The member {member.filename[:80]!r} of this {name} is encrypted.")
    if member.filename.endswith(".json") and member.file_size > SCHEMA_BYTES:
        raise ForecasterRefused(f"The member {member.filename[:80]!r} has {member.file_size} bytes of JSON.")
