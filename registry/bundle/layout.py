"""Owns how the members of a bundle are laid into a zip: in their order, stored as they are, all dated the same. Pure.

Written directly, because the layout is fixed: `registry.bundle.members` reads no other.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from registry.bundle.members import MEMBERS, BundleInvalid

# A zip of this kind counts in 32 bits.
LARGEST_BYTES = 2**32 - 1
# Version to read it, flags, method, time, and 1 January 1980: that of no day, the first that a zip can say.
_HOW = (20, 0, 0, 0, 0x21)
# Made on Unix, readable by all.
_CREATOR, _MODE = (20, 3), 0o644 << 16
# Signature, how, checksum, packed and unpacked bytes, lengths of name and extra field.
_HEADER = struct.Struct("<4s5H3I2H")
# The same in the list at the end; then comment, disk, attributes, mode, and where the header of the member is.
_ENTRY = struct.Struct("<4s2B5H3I5H2I")
_END = struct.Struct("<4s4H2IH")


def write(contents: Mapping[str, bytes]) -> bytes:
    """Return the zip of all members. Raises BundleInvalid where they are too large for one."""
    if sum(map(len, contents.values())) > LARGEST_BYTES - 2**16:
        raise BundleInvalid(f"The members have more than {LARGEST_BYTES} bytes together.")
    pieces: list[bytes] = []
    entries: list[bytes] = []
    start = 0
    for name in MEMBERS:
        data, label = contents[name], name.encode()
        size = len(data)
        what = (*_HOW, zlib.crc32(data), size, size, len(label), 0)
        pieces += (_HEADER.pack(b"PK\x03\x04", *what), label, data)
        entries += (_ENTRY.pack(b"PK\x01\x02", *_CREATOR, *what, 0, 0, 0, _MODE, start), label)
        start += _HEADER.size + len(label) + size
    listed = b"".join(entries)
    count = len(MEMBERS)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(listed), start, 0)
    return b"".join((*pieces, listed, end))
