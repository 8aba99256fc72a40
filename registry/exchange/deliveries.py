"""Owns what may be said of a version that comes from elsewhere, and what its bundle says by itself. Touches no row.

Everything is declared and bounded: an unknown name, a number that is not finite or a time without offset is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from registry import identifiers, timestamps
from registry.bundle.tables import Table
from registry.fields import adapter
from registry.lifecycle import registration
from registry.lifecycle.registration import MetadataInvalid
from registry.reports import Scorecard

MOST_ERRORS = 5

Word = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")]
Text = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
Feature = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
Tag = Annotated[str, StringConstraints(pattern=rf"^{identifiers.TAG}$")]
Metrics = Annotated[Mapping[Word, float | None], Field(max_length=200)]


@dataclass(frozen=True, kw_only=True)
class Particulars:
    """What the caller says of a version; what is left out is taken from the bundle's own metadata."""

    version_id: UUID | None = None
    """The id that it is to have; without it a new one."""
    format: Word = ""
    """How the forecaster is written, where it comes without a bundle."""
    trainer: Word = ""
    trained_at: AwareDatetime | None = None
    data_start: AwareDatetime | None = None
    train_end: AwareDatetime | None = None
    fit_end: AwareDatetime | None = None
    rows: Annotated[int, Field(ge=0, lt=2**31)] = 0
    features: Annotated[Sequence[Feature], Field(max_length=1000)] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=dict)
    baseline: Metrics = field(default_factory=dict)
    """The same metrics of seasonal naive on the same points."""
    points: Annotated[int, Field(ge=0, lt=2**31)] = 0
    windows: Annotated[int, Field(ge=0, lt=2**31)] = 0
    test_start: Word = ""
    test_end: Word = ""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    library_versions: Mapping[Word, Word] = field(default_factory=dict)
    refitted: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Free metadata, bounded by `extra_metadata_bytes`."""
    note: Text = ""
    tags: Annotated[Sequence[Tag], Field(max_length=20)] = ()
    feature_importance: Mapping[Word, float] = field(default_factory=dict)
    validation: Table = field(default_factory=Table)
    test: Table = field(default_factory=Table)
    context: Table = field(default_factory=Table)
    """The last observations before `fit_end`, which a forecaster may need to be told."""

    @property
    def scorecard(self) -> Scorecard:
        """Return the scores as a row holds them."""
        return Scorecard(
            metrics=dict(self.metrics),
            baseline=dict(self.baseline),
            points=self.points,
            windows=self.windows,
            test_start=self.test_start,
            test_end=self.test_end,
        )


NAMES = frozenset(each.name for each in fields(Particulars))
CONTENT = ("feature_importance", "validation", "test", "context")
"""What lies inside the bundle, and is said beside it only where there is none."""
_FROM_METADATA = (
    "trainer", "trained_at", "data_start", "train_end", "fit_end", "rows", "features", "params", "metrics", "baseline",
    "points", "windows", "test_start", "test_end", "seed", "library_versions", "refitted",
)  # fmt: skip
_STAMPS = ("trained_at", "data_start", "train_end", "fit_end")
_reader = adapter(Particulars)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One version that comes from elsewhere: a packed bundle, or the bytes of a forecaster; and what is said of it."""

    entity: str
    said: Mapping[str, Any] = field(default_factory=dict)
    """Values of `Particulars` by name."""
    bundle: bytes = b""
    forecaster: bytes = b""


def read(said: Mapping[str, Any]) -> Particulars:
    """Return what was said, checked. Raises MetadataInvalid naming each value that is refused."""
    try:
        found = _reader.validate_python(said)
    except (ValidationError, RecursionError) as error:
        raise _refused(error) from error
    registration.check_plain(extra=found.extra, params=found.params, library_versions=found.library_versions)
    return found


def from_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the metadata of a bundle says of its version; stamps without offset are UTC, as bundles write them.

    Raises TimestampInvalid.
    """
    found = {name: metadata[name] for name in _FROM_METADATA if metadata.get(name) is not None}
    return found | {name: timestamps.parse(found[name], zone="UTC") for name in _STAMPS if name in found}


def metadata(particulars: Particulars, *, version_id: UUID, fleet: str, entity: str) -> dict[str, Any]:
    """Return the metadata.json of a bundle that is packed here from parts."""
    plain: dict[str, Any] = {name: _plain(getattr(particulars, name)) for name in _FROM_METADATA}
    named = {"version_id": str(version_id), "fleet": fleet, "entity": entity, "extra": dict(particulars.extra)}
    return {**plain, **named}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, list | tuple) else value


def _refused(error: ValidationError | RecursionError) -> MetadataInvalid:
    if isinstance(error, RecursionError):
        return MetadataInvalid("The metadata is nested too deeply.")
    found = error.errors(include_url=False, include_context=False, include_input=False)
    sentences = [f"{_path(each['loc'])}: {each['msg']}" for each in found[:MOST_ERRORS]]
    rest = f"; and {len(found) - MOST_ERRORS} more" if len(found) > MOST_ERRORS else ""
    return MetadataInvalid("; ".join(sentences) + rest + ".", field=_path(found[0]["loc"]))


def _path(place: Sequence[int | str]) -> str:
    return "/".join(str(part) for part in place if part != "[key]")
