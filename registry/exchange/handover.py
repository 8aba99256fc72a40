"""Owns what leaves this installation of one version: its verified bytes under seal, and all that is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from registry import artifacts, bundle, conf, errors, sheets
from registry.bundle import Bundle
from registry.bundle.tables import Table
from registry.models import ModelVersion

ROWS_AT_ONCE = 500
PARTS = ("validation", "test")


class VersionQuarantined(errors.Conflict):
    """The bytes of a quarantined version are damaged or not trusted, and are given to nobody."""

    code = "version_quarantined"
    next_step = "Choose another version, or restore the file and let an approver release this one."


class VersionDeleted(errors.NotFound):
    """The version was given up: its row stays, its bytes do not."""

    code = "version_deleted"
    status = 410
    next_step = "Choose another version, or restore this one from a backup."


def content(version: ModelVersion) -> bytes:
    """Return the bytes of a version, verified. Raises VersionQuarantined, VersionDeleted, ArtifactCorrupted, …"""
    refuse_lost(version)
    return artifacts.load(version)


def refuse_lost(version: ModelVersion) -> None:
    """Refuse a version whose bytes are gone or not to be given. Raises VersionQuarantined, VersionDeleted."""
    if version.state == ModelVersion.State.QUARANTINED:
        raise VersionQuarantined(f"{version} is quarantined.")
    if version.state == ModelVersion.State.DELETED:
        raise VersionDeleted(f"{version} was deleted.")


def inside(version: ModelVersion) -> Bundle:
    """Return what the bundle of a version holds. Raises as `content` does, and BundleInvalid."""
    limits = conf.current()
    return bundle.unpack(
        content(version),
        limits=bundle.Limits(
            max_bytes=limits.max_artifact_bytes,
            max_unpacked_bytes=limits.max_unpacked_bytes,
            max_ratio=limits.max_unpacked_ratio,
        ),
    )


def file_name(version: ModelVersion) -> str:
    """Return the name of a downloaded bundle: the label, which no name of a person's choice is part of."""
    return f"{version.label}.bundle"


def as_csv(table: Table) -> Iterator[str]:
    """Yield all rows of a table as CSV for spreadsheets, with a head line; no cell begins a formula."""
    yield sheets.lines([table.columns])
    for start in range(0, len(table.rows), ROWS_AT_ONCE):
        yield sheets.lines(table.rows[start : start + ROWS_AT_ONCE])


def as_json_lines(table: Table) -> Iterator[str]:
    """Yield all rows of a table as JSON objects, one a line."""
    for row in table.rows:
        yield json.dumps(dict(zip(table.columns, row, strict=True)), default=_plain, allow_nan=False) + "\n"


def _plain(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no cell of a table")
