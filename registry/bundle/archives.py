"""Owns the first look at a zip: whether opening it stays small. Reads its end record alone, opens nothing. Pure."""

from __future__ import annotations

from registry import errors

_END, _ZIP64 = b"PK\x05\x06", b"PK\x06\x07"
_END_BYTES, _ZIP64_BYTES = 22, 20


class ArchiveRefused(errors.Invalid):
    """The bytes are no plain zip, or opening it would take more memory than its content needs."""

    code = "archive_refused"
    status = 422
    next_step = "Write it again with a tool of this product, or as docs/registering.md shows."


def check(data: bytes, *, most: int) -> None:
    """Refuse what does not end as a plain zip whose list of members has at most `most` bytes. Raises ArchiveRefused.

    Opening makes an object for each member listed, so this comes first. A second end record of the larger kind would
    be believed instead of this one; nothing here is large enough to need it, and none is read after a comment.
    """
    end = data[-_END_BYTES:]
    if end[:4] != _END or end[20:22] != b"\0\0":
        raise ArchiveRefused(f"These {len(data)} bytes do not end as a zip does.")
    if data[-_END_BYTES - _ZIP64_BYTES :][:4] == _ZIP64:
        raise ArchiveRefused("The zip has an end record of the 64 bit kind, which nothing of this size needs.")
    if (size := int.from_bytes(end[12:16], "little")) > most:
        raise ArchiveRefused(f"The zip lists its members in {size} bytes; at most {most} are read.")
