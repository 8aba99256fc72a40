"""Owns what leaves this installation of one version: its verified bytes under seal, and what is asked for of them.

A part is read out of the bytes row by row while it is sent: neither the bundle nor a table is ever whole in memory.
Refuses versions that no trainer has read yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any

from registry import artifacts, bundle, errors, limits, reasons, sheets, timestamps
from registry.bundle import Rows
from registry.bundle.tables import Cell
from registry.lifecycle import admission
from registry.models import ModelVersion

# Sent at once; few enough for rows of the greatest length that is taken in.
ROWS_AT_ONCE = 100
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


class VersionPending(errors.Conflict):
    """No trainer has read yet what came from elsewhere; so nobody is given it, least of all under a seal of ours."""

    code = "version_pending"
    next_step = "Wait until a worker has read it; without a worker: manage.py inspect."


def content(version: ModelVersion) -> bytes:
    """Return the bytes of a version, verified. Raises what `refuse_withheld` and `artifacts.load` raise."""
    refuse_withheld(version)
    return artifacts.load(version)


def refuse_withheld(version: ModelVersion) -> None:
    """Refuse a version whose bytes are gone or not to be given.

    Raises VersionPending, VersionQuarantined, VersionDeleted.
    """
    if version.state == ModelVersion.State.PENDING:
        raise VersionPending(f"{version} came from elsewhere and waits to be read.")
    if version.state == ModelVersion.State.QUARANTINED:
        raise _quarantined(version)
    if version.state == ModelVersion.State.DELETED:
        raise VersionDeleted(f"{version} was deleted.")


def _quarantined(version: ModelVersion) -> VersionQuarantined:
    known = admission.quarantine_of(version)
    if known is None:
        return VersionQuarantined(f"{version} is quarantined.")
    since = timestamps.readable(known.since)
    return VersionQuarantined(
        f"{version} is quarantined since {since}: {reasons.ended(known.reason)}",
        next_step=f"Choose another version. {known.next_step}",
    )


def predictions(version: ModelVersion, *, part: str) -> Rows:
    """Return all predictions of one of `PARTS`, to be read once. Raises as `content` does, and BundleInvalid."""
    return bundle.rows_of(content(version), table=part, limits=limits.stored())


def importance(version: ModelVersion) -> Mapping[str, float]:
    """Return the feature importance of a version. Raises as `predictions` does."""
    return bundle.importance_of(content(version), limits=limits.stored())


def file_name(version: ModelVersion) -> str:
    """Return the name of a downloaded bundle: the label, which no name of a person's choice is part of."""
    return f"{version.label}.bundle"


def as_csv(table: Rows) -> Iterator[str]:
    """Yield all rows of a table as CSV for spreadsheets, with a head line; no cell begins a formula."""
    yield sheets.lines([table.columns])
    for rows in _chunks(table.rows):
        yield sheets.lines(rows)


def as_json_lines(table: Rows) -> Iterator[str]:
    """Yield all rows of a table as JSON objects, one a line."""
    for rows in _chunks(table.rows):
        yield "".join(f"{_encode(dict(zip(table.columns, row, strict=True)))}\n" for row in rows)


def _chunks(rows: Iterator[tuple[Cell, ...]]) -> Iterator[list[tuple[Cell, ...]]]:
    return iter(lambda: list(islice(rows, ROWS_AT_ONCE)), [])


def _plain(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no cell of a table")


_encode = json.JSONEncoder(default=_plain, allow_nan=False).encode
