"""Owns bytes under a key, written whole or not at all: what a store does, and which kind an address opens.

Refuses every key that is not of a known pattern. `disk` keeps them in a folder, `objects` in an object store.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from registry import conf
from registry.store.contract import (
    KEY,
    PREFIX,
    Entry,
    Mark,
    Place,
    Store,
    StoreAddressInvalid,
    StoreKeyInvalid,
    StoreMissing,
    StoreUnavailable,
    artifact_key,
)
from registry.store.disk import DiskStore
from registry.store.guarded import GuardedStore
from registry.store.objects import CloudMissing, ObjectStore
from registry.store.objects import open_store as open_object_store

__all__ = [
    "KEY",
    "PREFIX",
    "CloudMissing",
    "DiskStore",
    "Entry",
    "GuardedStore",
    "Mark",
    "ObjectStore",
    "Place",
    "Store",
    "StoreAddressInvalid",
    "StoreKeyInvalid",
    "StoreMissing",
    "StoreUnavailable",
    "artifact_key",
    "open_store",
    "overlap",
]


def open_store(url: str) -> Store:
    """Return the store of an address. Raises StoreAddressInvalid, and CloudMissing without the extra `cloud`."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return DiskStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        limits = conf.current()
        return open_object_store(url, endpoint=limits.store_endpoint, seconds=limits.store_seconds)
    raise StoreAddressInvalid(f"{url!r} is not a store.")


def overlap(url: str, other: str) -> bool:
    """Whether one of two addresses is the place of the other, or lies within it. Raises StoreAddressInvalid."""
    places = _place(url), _place(other)
    return all(one == another for one, another in zip(*places, strict=False))


def _place(url: str) -> tuple[str, ...]:
    """Return the parts of an address, from the root of its kind on."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return ("file", *Path(unquote(parts.path)).resolve().parts)
    if parts.scheme == "s3":
        return (
            ("s3", parts.netloc, *parts.path.strip("/").split("/")) if parts.path.strip("/") else ("s3", parts.netloc)
        )
    raise StoreAddressInvalid(f"{url!r} is not a store.")
