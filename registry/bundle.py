"""Owns what is inside one artifact: fixed members, zipped, in one zstd frame; equal content gives equal bytes. Pure.

Refuses bombs by what their headers say before anything is unpacked, unknown members, and values that text cannot give
back exactly (NaN, infinities, objects). Never unpickles.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import zstandard

from registry import errors, tables
from registry.tables import Table

BUNDLE_VERSION = 1
LEVEL = 3
# A frame of this product never needs a larger window; a larger one is there to take memory.
WINDOW_BYTES = 128 * 1024**2
# Up to here a high ratio is a flat series, not a bomb.
HARMLESS_BYTES = 16 * 1024**2
# The zip's own bytes about each member: two headers with the name twice, and the end record.
ZIP_OVERHEAD_BYTES = 4096
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
    contents = _unzip(_decompress(data, limits))
    try:
        return _read(contents)
    except BundleInvalid:
        raise
    except (errors.Invalid, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleInvalid(f"The bundle cannot be read: {error}") from error


def _read(contents: dict[str, bytes]) -> Bundle:
    manifest = _load(contents["manifest.json"])
    if manifest["bundle"] != BUNDLE_VERSION:
        raise BundleInvalid(f"The bundle is of version {manifest['bundle']!r}; this release reads {BUNDLE_VERSION}.")
    return Bundle(
        format=str(manifest["format"]),
        forecaster=contents["forecaster"],
        metadata=_load(contents["metadata.json"]),
        feature_importance=_load(contents["feature_importance.json"]),
        **{name: tables.load(contents[f"{name}.csv"], kinds=manifest["tables"][name]) for name in TABLES},
    )


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
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(archive.infolist(), len(data))
            return {name: archive.read(name) for name in MEMBERS}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise BundleInvalid(f"The zip is broken: {error}.") from error


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
    loaded = json.loads(data, parse_constant=_refuse_constant)
    if not isinstance(loaded, dict):
        raise BundleInvalid("A JSON member of the bundle is no object.")
    return loaded


def _refuse_constant(text: str) -> float:
    raise BundleInvalid(f"{text} is no JSON number.")
