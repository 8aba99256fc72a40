"""Owns what is inside one artifact: fixed members, zipped, in one zstd frame; equal content gives equal bytes. Pure.

Refuses unknown members, and values that text cannot give back exactly (NaN, infinities, objects). How the members are
read within limits is told by `registry.bundle.members`. Never unpickles.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import zstandard

from registry import errors
from registry.bundle import columns, layout, members, tables
from registry.bundle.columns import Columns
from registry.bundle.members import (
    FORECASTER,
    IMPORTANCE,
    JSON_BYTES,
    MANIFEST,
    MEMBERS,
    METADATA,
    TABLES,
    BundleInvalid,
    Limits,
    announced,
)
from registry.bundle.tables import Bounds, Cell, Table

__all__ = [
    "MEMBERS",
    "TABLES",
    "Bounds",
    "Bundle",
    "BundleInvalid",
    "Columns",
    "Limits",
    "Rows",
    "announced",
    "audit",
    "forecaster_of",
    "importance_of",
    "outline",
    "pack",
    "rows_of",
    "unpack",
]
BUNDLE_VERSION = 1
LEVEL = 3
_TABLE_FILES = frozenset(f"{name}.csv" for name in TABLES)
_NO_COLUMNS: Mapping[str, Columns] = {}
_ENCODER = json.JSONEncoder(sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
_local = threading.local()


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


def pack(bundle: Bundle, *, by_columns: Mapping[str, Columns] = _NO_COLUMNS) -> bytes:
    """Return the artifact's bytes. Raises BundleInvalid for a value that would not come back as it is.

    `by_columns` holds tables (validation, test, context) that are given by their columns, in place of those of the
    bundle; the bytes are the same.
    """
    written = {name: columns.write(by_columns.get(name) or getattr(bundle, name)) for name in TABLES}
    contents = {
        MANIFEST: _manifest_bytes(bundle.format, tuple(written[name].kinds for name in TABLES)),
        FORECASTER: bundle.forecaster,
        METADATA: _dump(bundle.metadata),
        IMPORTANCE: _dump(bundle.feature_importance),
        **{f"{name}.csv": written[name].data for name in TABLES},
    }
    return _compressor().compress(layout.write(contents))


@lru_cache(maxsize=64)
def _manifest_bytes(format: str, kinds: tuple[tuple[tuple[str, str], ...], ...]) -> bytes:
    # The models of a fleet have the same columns: their manifests are one.
    return _dump({"bundle": BUNDLE_VERSION, "format": format, "tables": dict(zip(TABLES, kinds, strict=True))})


def _compressor() -> zstandard.ZstdCompressor:
    """Return the compressor of this thread; making one takes longer than packing a small bundle."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True, write_checksum=True)
    found: zstandard.ZstdCompressor = _local.compressor
    return found


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table that is read while it is used, once: it is never whole in memory."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Cell, ...]]
    """Raises BundleInvalid."""


def unpack(data: bytes, *, limits: Limits) -> Bundle:
    """Return the content of an artifact. Raises BundleInvalid for anything that `pack` does not make."""
    with _as_invalid():
        contents = {each.name: each.whole() for each in members.read(data, limits=limits)}
        manifest = _manifest(contents[MANIFEST])
        found = {name: tables.load(contents[f"{name}.csv"], kinds=_kinds(manifest, f"{name}.csv")) for name in TABLES}
        return _bundle(manifest, contents, **found)


def outline(data: bytes, *, limits: Limits) -> Bundle:
    """Return an artifact without its tables, which are passed over unread. Raises BundleInvalid as `unpack` does."""
    with _as_invalid():
        kept = {each.name: each.whole() for each in members.read(data, limits=limits) if each.name not in _TABLE_FILES}
        return _bundle(_manifest(kept[MANIFEST]), kept)


def audit(data: bytes, *, limits: Limits, bounds: Bounds) -> Bundle:
    """Return an artifact from elsewhere without its tables, which are checked row by row and not kept.

    Takes hardly more memory than its forecaster. Raises BundleInvalid as `unpack` does, also for JSON members that are
    larger than any of this product, and tables.TableTooLarge.
    """
    contents: dict[str, bytes] = {}
    manifest: Mapping[str, Any] = {}
    with _as_invalid():
        for member in members.read(data, limits=limits):
            if member.name in _TABLE_FILES:
                tables.check(member, kinds=_kinds(manifest, member.name), bounds=bounds, size=member.size)
                continue
            contents[member.name] = member.whole(most=None if member.name == FORECASTER else JSON_BYTES)
            if member.name == MANIFEST:
                manifest = _manifest(contents[MANIFEST])
        return _bundle(manifest, contents)


def forecaster_of(data: bytes, *, limits: Limits) -> bytes:
    """Return the forecaster of an artifact, parsing nothing else but the manifest. Raises BundleInvalid as `unpack`."""
    found = b""
    with _as_invalid():
        for member in members.read(data, limits=limits):
            if member.name == MANIFEST:
                _manifest(member.whole(most=JSON_BYTES))
            elif member.name == FORECASTER:
                found = member.whole()
    return found


def importance_of(data: bytes, *, limits: Limits) -> Mapping[str, float]:
    """Return the feature importance of an artifact and parse nothing else. Raises BundleInvalid."""
    with _as_invalid():
        member = next(each for each in members.read(data, limits=limits) if each.name == IMPORTANCE)
        return _load(member.whole(most=JSON_BYTES))


def rows_of(data: bytes, *, table: str, limits: Limits) -> Rows:
    """Return one table of an artifact, to be read row by row; no other member is kept. Raises BundleInvalid."""
    with _as_invalid():
        found = members.read(data, limits=limits)
        kinds = _kinds(_manifest(next(found).whole(most=JSON_BYTES)), f"{table}.csv")
        columns, rows = tables.read(next(each for each in found if each.name == f"{table}.csv"), kinds=kinds)
        return Rows(columns=columns, rows=_checked(rows))


def _checked(rows: Iterator[tuple[Cell, ...]]) -> Iterator[tuple[Cell, ...]]:
    with _as_invalid():
        yield from rows


@contextmanager
def _as_invalid() -> Iterator[None]:
    """Tell whatever strange content makes a reader raise as what it is."""
    try:
        yield
    except (BundleInvalid, tables.TableTooLarge):
        raise
    except (errors.Invalid, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleInvalid(f"The bundle cannot be read: {error}") from error


def _bundle(manifest: Mapping[str, Any], contents: Mapping[str, bytes], **found: Table) -> Bundle:
    return Bundle(
        format=str(manifest["format"]),
        forecaster=contents[FORECASTER],
        metadata=_load(contents[METADATA]),
        feature_importance=_load(contents[IMPORTANCE]),
        **found,
    )


def _manifest(data: bytes) -> Mapping[str, Any]:
    manifest = _load(data)
    if manifest["bundle"] != BUNDLE_VERSION:
        found = manifest["bundle"]
        raise BundleInvalid(f"The bundle is of version {found!r:.80}; this release reads {BUNDLE_VERSION}.")
    return manifest


def _kinds(manifest: Mapping[str, Any], name: str) -> Sequence[Sequence[str]]:
    kinds: Sequence[Sequence[str]] = manifest["tables"][name.removesuffix(".csv")]
    return kinds


def _dump(value: Mapping[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(value).encode()
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
