"""Owns what stands in the folder of one version: the forecaster, its metadata, importance and all predictions."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from registry import artifacts, bundle, errors, limits, sheets
from registry.export.folders import Folder
from registry.models import Fleet, ModelVersion

# Written anew where the state of the version changes; all else in the folder never changes.
METADATA = "metadata.json"
LIST = "files.json"
IMPORTANCE = "feature_importance.csv"
TABLES = {"validation_predictions.csv": "validation", "test_predictions.csv": "test", "context.csv": "context"}
# As text a table can be larger than in its bundle.
TEXT_TIMES = 4


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What the list in a version's folder says of it."""

    format: str
    files: dict[str, str]
    """SHA-256, in hex, of each file but metadata and the list itself."""


class ExportFieldUnknown(errors.Invalid):
    """The fleet asks for metadata that no version has."""

    code = "export_field_unknown"


FIELDS: Mapping[str, Callable[[ModelVersion], Any]] = {
    "version": lambda version: version.label,
    "number": lambda version: version.number,
    "id": lambda version: str(version.pk),
    "tenant": lambda version: version.registered_model.fleet.tenant,
    "fleet": lambda version: version.registered_model.fleet.name,
    "entity": lambda version: version.registered_model.entity_key,
    "training_date": lambda version: instant(version.created_at),
    "data_start": lambda version: instant(version.data_start),
    "data_end": lambda version: instant(version.fit_end or version.train_end),
    "rows": lambda version: version.rows,
    "metrics": lambda version: dict(version.scorecard.metrics),
    "features": lambda version: list(version.features),
    "hyperparameters": lambda version: version.params,
    "trainer": lambda version: version.trainer,
    "format": lambda version: version.artifact_format,
    "digest": lambda version: version.artifact_digest,
    "deployment_status": lambda version: deployment_status(version),
    "promoted_at": lambda version: instant(version.promoted_at),
    "served_until": lambda version: instant(version.served_until),
    "refitted": lambda version: version.refitted,
    "seed": lambda version: version.seed,
    "snapshot": lambda version: version.snapshot_digest,
    "library_versions": lambda version: version.library_versions,
    "tags": lambda version: list(version.tags),
    "note": lambda version: version.note,
    "extra": lambda version: version.extra,
}


def contents(version: ModelVersion) -> dict[str, bytes]:
    """Return every file of a version but its metadata, from bytes that were verified.

    Raises what `artifacts.load` and `bundle.outline` raise.
    """
    content = artifacts.load(version)
    inside = bundle.outline(content, limits=limits.stored())
    importance = sorted(inside.feature_importance.items(), key=lambda item: (-abs(item[1]), item[0]))
    found = {
        forecaster_name(inside.format): inside.forecaster,
        IMPORTANCE: sheets.lines([("feature", "importance"), *importance]).encode(),
        **{name: _table(content, table) for name, table in TABLES.items()},
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(found.items())}
    listed = {"digest": version.artifact_digest, "format": inside.format, "files": digests}
    return {**found, LIST: dump(listed)}


def listed(folder: Folder, version: ModelVersion) -> Listed | None:
    """Return what the list in a version's folder says; None for anything but what `contents` writes for that version.

    Anybody may have written there: a name from the list is one that is known, and never a path.
    """
    with folder.found(version.label) as found:
        read = parsed(found.read(LIST)) if found else {}
    format, files = read.get("format"), read.get("files")
    if read.get("digest") != version.artifact_digest or not isinstance(format, str) or not isinstance(files, dict):
        return None
    if files.keys() != _names(format) or not all(isinstance(each, str) for each in files.values()):
        return None
    return Listed(format=format, files=files)


def is_whole(folder: Folder, version: ModelVersion) -> bool:
    """Whether a version's folder holds every file, with the bytes that were written. Reads all of them."""
    known = listed(folder, version)
    if known is None:
        return False
    with folder.found(version.label) as found:
        return found is not None and all(
            found.digest(name, limit=largest()) == digest for name, digest in known.files.items()
        )


def largest() -> int:
    """Return the bytes that no file of a version's folder exceeds."""
    return TEXT_TIMES * limits.stored().max_unpacked_bytes


def parsed(content: bytes | None) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything that somebody put in its place."""
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def metadata(version: ModelVersion) -> bytes:
    """Return the metadata that the version's fleet asks for; all where it names none. Raises ExportFieldUnknown."""
    wanted = wanted_fields(version.registered_model.fleet)
    return dump({name: FIELDS[name](version) for name in wanted})


def wanted_fields(fleet: Fleet) -> tuple[str, ...]:
    """Return the fields of metadata.json, in order. Raises ExportFieldUnknown."""
    wanted = fleet.export.metadata or tuple(FIELDS)
    unknown = [name for name in wanted if name not in FIELDS]
    if unknown:
        raise ExportFieldUnknown(
            f"The export of fleet {fleet} asks for {unknown[0]!r}.", next_step=f"Known are {', '.join(FIELDS)}."
        )
    return wanted


def deployment_status(version: ModelVersion) -> str:
    """Return `champion`, `challenger` or the state of the version."""
    model = version.registered_model
    if version.state != ModelVersion.State.READY:
        return version.state
    pointed = {model.challenger_id: "challenger", model.champion_id: "champion"}
    return pointed.get(version.pk, version.state)


def forecaster_name(format: str) -> str:
    """Return the name of the forecaster's file, such as `forecaster.json`."""
    kind = next((kind for kind in ("json", "skops", "npz", "onnx") if kind in format.split("-")), "bin")
    return f"forecaster.{kind}"


def instant(at: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC."""
    return at.astimezone(UTC).isoformat() if at else None


def dump(value: Mapping[str, Any]) -> bytes:
    """Return an object as JSON that people read too."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _names(format: str) -> set[str]:
    return {forecaster_name(format), IMPORTANCE, *TABLES}


def _table(content: bytes, name: str) -> bytes:
    # Row by row: as values in Python a table takes twenty times the bytes of its file.
    table = bundle.rows_of(content, table=name, limits=limits.stored())
    return sheets.lines(itertools.chain([table.columns], table.rows)).encode() if table.columns else b""
