"""Owns how much of a bundle is read here: the settings as the pure readers take them, built in one place for all."""

from __future__ import annotations

from dataclasses import replace

from registry import conf
from registry.bundle import Bounds, Limits


def stored() -> Limits:
    """Return the limits of what is stored here."""
    current = conf.current()
    return Limits(
        max_bytes=current.max_artifact_bytes,
        max_unpacked_bytes=current.max_unpacked_bytes,
        max_ratio=current.max_unpacked_ratio,
    )


def delivered() -> Limits:
    """Return the limits of what comes from elsewhere: never wider than those of what is stored."""
    limits = stored()
    most = min(limits.max_unpacked_bytes, conf.current().upload_unpacked_bytes)
    return replace(limits, max_unpacked_bytes=most)


def tables() -> Bounds:
    """Return the bounds of a table that comes from elsewhere."""
    current = conf.current()
    return Bounds(
        columns=current.table_columns,
        rows=current.table_rows,
        cells=current.table_cells,
        row_characters=current.table_row_characters,
    )
