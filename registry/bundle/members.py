"""Owns how the members of a bundle are read: forwards, one after the other, out of a stream never unpacked whole. Pure.

Refuses bombs by what their headers say before anything is unpacked, and a zip that is not laid out as this product does
it. What nobody asks for is passed over in pieces, so reading one member takes its own size of memory and little more.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import zstandard

from registry import errors
from registry.bundle import archives

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TABLES = ("validation", "test", "context")
MANIFEST, FORECASTER, METADATA, IMPORTANCE = "manifest.json", "forecaster", "metadata.json", "feature_importance.json"
MEMBERS = (MANIFEST, FORECASTER, METADATA, IMPORTANCE, *(f"{name}.csv" for name in TABLES))
# Of what a frame needs at hand while it is read: those of this product two MiB; every reader of zstd has to give eight.
WINDOW_BYTES = 8 * 1024**2
# Up to here a high ratio is a flat series, not a bomb.
HARMLESS_BYTES = 16 * 1024**2
# Of one JSON member, such as the metadata; parsed it takes up to twenty times its bytes.
JSON_BYTES = 1024**2
PIECE_BYTES = 64 * 1024
# A frame that is unpacked in one piece; a small bundle has a tenth of it.
SHORT_BYTES = 128 * 1024
# Of the list of members at the end of the zip: seven entries with names of at most 23 letters.
LIST_BYTES = 1024
END_BYTES = 22
# The kind of a block of zstd that is one byte, so many times.
_REPEATED = 1
_PLAIN = (0, 0)
"""Flags and method of a member that is stored as it is."""
# Signature, flags, method, checksum, packed and unpacked bytes, lengths of name and extra field.
_HEADER = struct.Struct("<4s2xHH4xIIIHH")
# The same in the list at the end; then the length of a comment, and where the header of the member is.
_ENTRY = struct.Struct("<4s4xHH4xIIIHHH8xI")
_local = threading.local()


class BundleInvalid(errors.Invalid):
    """The bytes are no bundle of this product, or the values cannot be stored exactly."""

    code = "bundle_invalid"
    status = 422
    next_step = "Register the version again from a forecaster that this release wrote."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is read of a bundle: bytes before and after unpacking, and their ratio."""

    max_bytes: int
    max_unpacked_bytes: int
    max_ratio: int

    def unpacked(self, packed: int) -> int:
        """Return how many bytes so many packed ones may become."""
        return min(self.max_unpacked_bytes, max(HARMLESS_BYTES, packed * self.max_ratio))


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a member lies in the zip, by its own header."""

    name: str
    offset: int
    size: int
    checksum: int


def announced(data: bytes, *, limits: Limits) -> int:
    """Return how many bytes an artifact says that it unpacks to. Raises BundleInvalid where that is refused."""
    if len(data) > limits.max_bytes:
        raise BundleInvalid(f"{len(data)} bytes are more than {limits.max_bytes} allowed.")
    try:
        found = zstandard.get_frame_parameters(data)
        is_alone = data[:4] == zstandard.FRAME_HEADER and _frame_bytes(data, found.has_checksum) == len(data)
    except zstandard.ZstdError as error:
        raise BundleInvalid(
            "These bytes are no zstd frame.",
            next_step="A bundle is what a download gives; what a library has written is sent as forecaster.",
        ) from error
    if not is_alone:
        # Readers differ in what they make of several frames; sealed bytes have to say the same to each.
        raise BundleInvalid("These bytes are not one zstd frame, and nothing but it.")
    size = int(found.content_size)
    if size in {0, zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR}:
        raise BundleInvalid("The zstd frame does not say how large its content is.")
    if size > limits.unpacked(len(data)):
        raise BundleInvalid(f"{len(data)} bytes would unpack to {size}: refused as a bomb.")
    if found.window_size > WINDOW_BYTES:
        raise BundleInvalid(f"The zstd frame needs {found.window_size} bytes at hand; {WINDOW_BYTES} are given.")
    return size


def read(data: bytes, *, limits: Limits) -> Iterator[Member]:
    """Yield the members in their order, each to be read before the next; at the end everything was checked.

    Raises BundleInvalid.
    """
    stream = _Stream(data, announced(data, limits=limits))
    places: list[_Place] = []
    for name in MEMBERS:
        place = _header(stream, name)
        places.append(place)
        member = Member(stream, place)
        yield member
        member.pass_over()
    _check_end(stream, places)


class Member(io.RawIOBase):
    """One member: read once, forwards, and compared with its checksum where it ends. Raises BundleInvalid."""

    def __init__(self, stream: _Stream, place: _Place) -> None:
        super().__init__()
        self.name, self.size = place.name, place.size
        self._stream, self._left, self._checksum, self._expected = stream, place.size, 0, place.checksum

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read what is next into the buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        piece = self._piece(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def whole(self, *, most: int | None = None) -> bytes:
        """Return all of it."""
        if most is not None and self.size > most:
            raise BundleInvalid(f"{self.name} has {self.size} bytes; at most {most} are read.")
        return b"".join(iter(lambda: self._piece(PIECE_BYTES), b""))

    def pass_over(self) -> None:
        """Read what is left of it and keep nothing."""
        while self._piece(PIECE_BYTES):
            pass
        self._verify()

    def _piece(self, most: int) -> bytes:
        if not self._left:
            return b""
        piece = self._stream.exactly(min(most, self._left))
        self._left -= len(piece)
        self._checksum = zlib.crc32(piece, self._checksum)
        if not self._left:
            self._verify()
        return piece

    def _verify(self) -> None:
        if self._checksum != self._expected:
            raise BundleInvalid(f"The zip is broken: {self.name} is not what was stored.")


class _Stream:
    """What a frame unpacks to, forwards, never more of it than was announced."""

    def __init__(self, data: bytes, size: int) -> None:
        self.size, self.offset = size, 0
        self._frame = io.BytesIO(_unpacked(data, size)) if size <= SHORT_BYTES else _unpacking(data)

    @property
    def left(self) -> int:
        return self.size - self.offset

    def exactly(self, count: int) -> bytes:
        """Return so many bytes, which are in memory then."""
        found = self._read(count) if count <= self.left else b""
        if len(found) < count:
            raise BundleInvalid("The zip is broken: it ends within a member.")
        self.offset += count
        return found

    def end(self) -> None:
        """Refuse what goes on beyond the announced size."""
        if self._read(1):
            raise BundleInvalid(f"The zstd frame is broken: it unpacks to more than the {self.size} bytes it says.")

    def _read(self, most: int) -> bytes:
        try:
            return self._frame.read(most)
        except zstandard.ZstdError as error:
            raise BundleInvalid(f"The zstd frame is broken: {error}.") from error


def _unpacked(data: bytes, size: int) -> bytes:
    """Return what a small frame unpacks to, at once: a stream takes longer to set up than to read then."""
    try:
        unpacked = _decompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise BundleInvalid(f"The zstd frame is broken: {error}.") from error
    return unpacked


def _unpacking(data: bytes) -> io.BufferedReader:
    frame = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(data)
    # Most of what is read are headers of a few bytes.
    return io.BufferedReader(cast(io.RawIOBase, frame), PIECE_BYTES)


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    found: zstandard.ZstdDecompressor = _local.decompressor
    return found


def _frame_bytes(data: bytes, has_checksum: bool) -> int:
    """Return where the first frame ends, by the headers of its blocks (RFC 8878, 3.1.1)."""
    place, is_last = zstandard.frame_header_size(data), False
    while not is_last and place < len(data):
        header = int.from_bytes(data[place : place + 3], "little")
        is_last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        place += 3 + (1 if kind == _REPEATED else size)
    return place + (4 if has_checksum else 0)


def _header(stream: _Stream, name: str) -> _Place:
    offset = stream.offset
    signature, *how, checksum, packed, size, name_size, extra = _HEADER.unpack(stream.exactly(_HEADER.size))
    if signature != b"PK\x03\x04":
        raise BundleInvalid(f"The zip is broken: {name} does not begin where the member before it ends.")
    found = stream.exactly(min(name_size, LIST_BYTES))
    if found != name.encode():
        raise BundleInvalid(f"The bundle has the member {found[:80]!r} in the place of {name!r}.")
    if tuple(how) != _PLAIN or extra or packed != size:
        raise BundleInvalid(f"The member {name} is compressed or encrypted, or has more to say than its name.")
    if size > stream.left:
        raise BundleInvalid(f"The member {name} has {size} bytes, which does not fit the {stream.size} of the zip.")
    return _Place(name=name, offset=offset, size=size, checksum=checksum)


def _check_end(stream: _Stream, places: Sequence[_Place]) -> None:
    """Hold the list at the end against the headers: other tools read that, and must find what is read here."""
    start = stream.offset
    if stream.left > LIST_BYTES + END_BYTES:
        raise BundleInvalid(f"The zip is broken: {stream.left} bytes follow its last member.")
    tail = stream.exactly(stream.left)
    stream.end()
    try:
        archives.check(tail, most=LIST_BYTES)
    except archives.ArchiveRefused as error:
        raise BundleInvalid(f"The zip is broken: {error.sentence}") from error
    listed, end = tail[:-END_BYTES], tail[-END_BYTES:]
    told = struct.unpack("<HHHHII", end[4:20])
    if told != (0, 0, len(places), len(places), len(listed), start) or not _lists(listed, places):
        raise BundleInvalid("The zip is broken: its list of members does not say what it holds.")


def _lists(listed: bytes, places: Sequence[_Place]) -> bool:
    offset = 0
    for place in places:
        name = place.name.encode()
        end = offset + _ENTRY.size + len(name)
        if len(listed) < end or listed[end - len(name) : end] != name:
            return False
        said = (b"PK\x01\x02", *_PLAIN, place.checksum, place.size, place.size, len(name), 0, 0, place.offset)
        if _ENTRY.unpack_from(listed, offset) != said:
            return False
        offset = end
    return offset == len(listed)
