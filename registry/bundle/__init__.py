"""Owns what is inside one artifact: fixed members, zipped, in one zstd frame; equal content gives equal bytes. Pure.

Refuses bombs by what their headers say before anything is unpacked, unknown members, and values that text cannot give
back exactly (NaN, infinities, objects). Never unpickles.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import zstandard

from registry import errors
from registry.bundle import archives, tables
from registry.bundle.tables import Table

BUNDLE_VERSION = 1
LEVEL = 3
# A frame of this product never needs a larger window; a larger one is there to take memory.
WINDOW_BYTES = 128 * 1024**2
# Up to here a high ratio is a flat series, not a bomb.
HARMLESS_BYTES = 16 * 1024**2
# Metadata and importance of one version; parsed JSON takes up to twenty times its bytes.
JSON_BYTES = 1024**2
# The zip's own bytes about each member: two headers with the name twice, and the end record.
ZIP_OVERHEAD_BYTES = 4096
# Of the list of its members: seven entries with names of at most 23 letters.
DIRECTORY_BYTES = 1024
# Of what a zip writes before each member: the signature, and at the end the lengths of name and extra field.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
EPOCH = (1980, 1, 1, 0, 0, 0)
TABLES = ("validation", "test", "context")
MEMBERS = (
    "manifest.json",
    "forecaster",
    "metadata.json",
    "feature_importance.json",
    *(f"{name}.csv" for name in TABLES),
)


class BundleInvalid(errors.Invalid):
    """The bytes are no bundle of this product, or the values cannot be stored exactly."""

    code = "bundle_invalid"
    status = 422
    next_step = "Register the version again from a forecaster that this release wrote."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What `unpack` takes: bytes before and after unpacking, and their ratio."""

    max_bytes: int
    max_unpacked_bytes: int
    max_ratio: int


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The content of one version's artifact. Predictions are stored in full."""

    format: str
    """How `forecaster` is written, such as `prophet-json-1`; it decides who may read it."""
    forecaster: bytes
    metadata: Mapping[str, Any] = field(default_factory=dict)
    feature_importance: Mapping[str, float] = field(default_factory=dict)
    validation: Table = field(default_factory=Table)
    test: Table = field(default_factory=Table)
    context: Table = field(default_factory=Table)
    """The last max(2 seasons, longest lag) observations before `fit_end`."""


def pack(bundle: Bundle) -> bytes:
    """Return the artifact's bytes. Raises BundleInvalid for a value that would not come back as it is."""
    kinds = {name: tables.kinds_of(getattr(bundle, name)) for name in TABLES}
    manifest = {"bundle": BUNDLE_VERSION, "format": bundle.format, "tables": kinds}
    contents = {
        "manifest.json": _dump(manifest),
        "forecaster": bundle.forecaster,
        "metadata.json": _dump(bundle.metadata),
        "feature_importance.json": _dump(bundle.feature_importance),
        **{f"{name}.csv": tables.dump(getattr(bundle, name), kinds=kinds[name]) for name in TABLES},
    }
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True, write_checksum=True)
    return compressor.compress(_zip(contents))


def unpack(data: bytes, *, limits: Limits) -> Bundle:
    """Return the content of an artifact. Raises BundleInvalid for anything that `pack` does not make."""
    return _read(_unzip(_decompress(data, limits)), tables.load)


def audit(data: bytes, *, limits: Limits) -> Bundle:
    """Return an artifact from elsewhere without its tables, which are checked row by row and not kept.

    Takes hardly more memory than the unpacked bytes. Raises BundleInvalid as `unpack` does, and for JSON members that
    are larger than any of this product.
    """
    contents = _unzip(_decompress(data, limits))
    large = [name for name in MEMBERS if name.endswith(".json") and len(contents[name]) > JSON_BYTES]
    if large:
        raise BundleInvalid(f"{large[0]} has {len(contents[large[0]])} bytes; at most {JSON_BYTES} are read.")
    return _read(contents, _checked)


def forecaster_of(data: bytes, *, limits: Limits) -> bytes:
    """Return the forecaster of an artifact, parsing nothing else but the manifest. Raises BundleInvalid as `unpack`."""
    contents = _unzip(_decompress(data, limits))
    if (size := len(contents["manifest.json"])) > JSON_BYTES:
        raise BundleInvalid(f"manifest.json has {size} bytes; at most {JSON_BYTES} are read.")
    unread = dict.fromkeys(MEMBERS, b"{}")
    return _read(unread | {name: contents[name] for name in ("manifest.json", "forecaster")}, _unread).forecaster


def _checked(data: bytes, *, kinds: Sequence[Sequence[str]]) -> Table:
    tables.check(data, kinds=kinds)
    return Table()


def _unread(data: bytes, *, kinds: Sequence[Sequence[str]]) -> Table:
    return Table()


def _read(contents: dict[str, bytes], table: Callable[..., Table]) -> Bundle:
    try:
        manifest = _load(contents["manifest.json"])
        if manifest["bundle"] != BUNDLE_VERSION:
            found = manifest["bundle"]
            raise BundleInvalid(f"The bundle is of version {found!r}; this release reads {BUNDLE_VERSION}.")
        return Bundle(
            format=str(manifest["format"]),
            forecaster=contents["forecaster"],
            metadata=_load(contents["metadata.json"]),
            feature_importance=_load(contents["feature_importance.json"]),
            **{name: table(contents[f"{name}.csv"], kinds=manifest["tables"][name]) for name in TABLES},
        )
    except BundleInvalid:
        raise
    except (errors.Invalid, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleInvalid(f"The bundle cannot be read: {error}") from error


def _decompress(data: bytes, limits: Limits) -> bytes:
    if len(data) > limits.max_bytes:
        raise BundleInvalid(f"{len(data)} bytes are more than {limits.max_bytes} allowed.")
    size = _announced_size(data)
    if size > min(limits.max_unpacked_bytes, max(HARMLESS_BYTES, len(data) * limits.max_ratio)):
        raise BundleInvalid(f"{len(data)} bytes would unpack to {size}: refused as a bomb.")
    try:
        # zstd writes no byte beyond the announced size, so a header that lies ends in an error, not in memory.
        unpacked = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompress(
            data, max_output_size=size, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise BundleInvalid(f"The zstd frame is broken: {error}.") from error
    return unpacked


def _announced_size(data: bytes) -> int:
    try:
        size = zstandard.get_frame_parameters(data).content_size
    except zstandard.ZstdError as error:
        raise BundleInvalid("These bytes are no zstd frame.") from error
    if size in {0, zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR}:
        raise BundleInvalid("The zstd frame does not say how large its content is.")
    return size


def _zip(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_STORED) as archive:
        for name in MEMBERS:
            member = zipfile.ZipInfo(name, date_time=EPOCH)
            member.create_system, member.external_attr = 3, 0o644 << 16
            archive.writestr(member, contents[name])
    return buffer.getvalue()


def _unzip(data: bytes) -> dict[str, bytes]:
    try:
        archives.check(data, most=DIRECTORY_BYTES)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
        _check_members(members, len(data))
        return {member.filename: _content(data, member) for member in members}
    except archives.ArchiveRefused as error:
        raise BundleInvalid(f"The zip is broken: {error.sentence}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error) as error:
        raise BundleInvalid(f"The zip is broken: {error}.") from error


def _content(data: bytes, member: zipfile.ZipInfo) -> bytes:
    """Return a member where it lies; it is stored as it is, and thousands are read when thousands come in."""
    start = member.header_offset + _LOCAL_HEADER.size
    signature, name_size, extra_size = _LOCAL_HEADER.unpack_from(data, member.header_offset)
    begin = start + name_size + extra_size
    content = data[begin : begin + member.file_size]
    if signature != b"PK\x03\x04" or data[start : start + name_size] != member.filename.encode():
        raise BundleInvalid(f"The zip is broken: {member.filename} is not where its list says.")
    if len(content) != member.compress_size or zlib.crc32(content) != member.CRC:
        raise BundleInvalid(f"The zip is broken: {member.filename} is not what was stored.")
    return content


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    names = [member.filename for member in members]
    if tuple(names) != MEMBERS:
        raise BundleInvalid(f"The bundle has the members {names[:20]}, not {list(MEMBERS)}.")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 0x1 for member in members):
        raise BundleInvalid("A member is compressed or encrypted.")
    total = sum(member.file_size for member in members)
    # Members that overlap would together be larger than the zip: the bomb that needs no compression.
    if not total < size <= total + ZIP_OVERHEAD_BYTES:
        raise BundleInvalid(f"The members have {total} bytes together, which does not fit the {size} of the zip.")


def _dump(value: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise BundleInvalid(f"The metadata is no plain JSON: {error}.") from error


def _load(data: bytes) -> dict[str, Any]:
    loaded = _DECODER.decode(data.decode())
    if not isinstance(loaded, dict):
        raise BundleInvalid("A JSON member of the bundle is no object.")
    return loaded


def _refuse_constant(text: str) -> float:
    raise BundleInvalid(f"{text} is no JSON number.")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
