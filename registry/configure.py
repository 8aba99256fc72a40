"""Owns how a section of a fleet file becomes rows, and the fleet itself. Refuses unknown keys and rows made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from django.db import models
from pydantic import AfterValidator

from registry import errors, metrics, sections
from registry.export import files
from registry.identifiers import SLUG
from registry.models import ExportSettings, Fleet, MetricSettings, ModelVersion, Retention
from registry.models.fleets import EXPORT_BOUNDS, RETENTION_BOUNDS

Action = Literal["created", "updated", "adopted", "disabled", "deleted"]

RANGES: Mapping[str, sections.Range] = {
    # Longer forecasts would fill a row of arrays that nobody reads; longer seasons cannot be seen twice in any window.
    "horizon": (1, 10_000),
    "season_length": (1, 100_000),
    **{f"retention.{name}": bounds for name, bounds in RETENTION_BOUNDS.items()},
    "metric_settings.zero_below": (0, None),
    **{f"export.{name}": bounds for name, bounds in EXPORT_BOUNDS.items()},
}

# Of a new row, not worth a line.
EMPTY: tuple[object, ...] = (None, "", [])

# What cannot change under versions that were trained with it.
FIXED_BY_VERSIONS = ("kind", "frequency")


class MadeByHand(errors.Conflict):
    """A row of this name exists and no fleet file made it."""

    code = "made_by_hand"
    next_step = "Run the same command with --adopt to let the file take over, or choose another name in the file."


class VersionsDepend(errors.Conflict):
    """Versions exist that were trained with another value."""

    code = "versions_depend"
    next_step = "Describe the new kind of models as a fleet with another name."


def slug(text: str) -> str:
    """Return the name of something. Raises ValueError saying what is allowed."""
    return sections.matching(text, SLUG, "small letters, digits, - and _, at most 63, beginning with a letter or digit")


def _frequency(text: str) -> str:
    return sections.matching(text, sections.FREQUENCY, "a pandas offset alias such as D, W-MON, MS, h, 15min or 30s")


def _unit(text: str) -> str:
    return sections.matching(text, r"[^\x00-\x1f]{0,32}", "text of at most 32 characters")


Slug = Annotated[str, AfterValidator(slug)]


@dataclass(frozen=True, kw_only=True)
class FleetSection:
    """The table `[fleet]` of a fleet file."""

    name: Slug
    tenant: Slug = "default"
    kind: Literal["forecast", "regression"]
    frequency: Annotated[str, AfterValidator(_frequency)]
    horizon: int = 1
    season_length: int = 1
    time_zone: sections.Zone = "UTC"
    unit: Annotated[str, AfterValidator(_unit)] = ""
    tags: tuple[sections.Tag, ...] = ()
    retention: Retention = field(default_factory=Retention)
    metric_settings: MetricSettings = field(default_factory=MetricSettings)
    export: ExportSettings = field(default_factory=ExportSettings)


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """One field before and after; `old` is None for a row that is new."""

    field: str
    old: object
    new: object


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to one row."""

    subject: str
    """Such as `fleet bakery` or `policy bakery/nightly`."""
    action: Action
    fields: tuple[FieldChange, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Who applies: the digest of the file, and whether it may take over rows that were made by hand."""

    digest: str
    adopt: bool = False


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A fleet as it stands after its section was applied, and what changed; no change, no entry."""

    fleet: Fleet
    changes: tuple[Change, ...] = ()


def read(section: object, *, at: str = "fleet") -> FleetSection:
    """Return the checked section. Raises SectionInvalid with every problem."""
    return sections.read(FleetSection, section, at=at, ranges=RANGES, early=_early_problems(section, at))


def apply(section: FleetSection, *, authority: Authority) -> Applied:
    """Create or update the fleet, inside the caller's transaction; `paused` is never touched.

    Raises MadeByHand, and VersionsDepend where kind or frequency would change under existing versions.
    """
    found = Fleet.objects.select_for_update().filter(tenant=section.tenant, name=section.name).first()
    fleet = found or Fleet(tenant=section.tenant, name=section.name)
    wanted = {each.name: getattr(section, each.name) for each in dataclasses.fields(section)}
    wanted["tags"] = list(section.tags)
    if found is not None:
        _keep_versions_valid(found, wanted)
    return Applied(fleet=fleet, changes=bring_to(fleet, wanted, subject=f"fleet {section.name}", authority=authority))


def bring_to(row: Any, wanted: Mapping[str, object], *, subject: str, authority: Authority) -> tuple[Change, ...]:
    """Save what differs between a row and the wanted values; return the change, or nothing where they are equal.

    A new digest alone is written and is no change. Raises MadeByHand.
    """
    is_new, is_foreign = row._state.adding, not row.managed_by
    if not is_new and is_foreign and not authority.adopt:
        raise MadeByHand(f"The {subject} was made by hand, not by a fleet file.")
    changed = differences(row, wanted)
    for name, value in wanted.items():
        setattr(row, name, value)
    row.managed_by = authority.digest
    if is_new:
        row.save()
        return (Change(subject=subject, action="created", fields=changed),)
    row.save(update_fields=[*wanted, "managed_by"])
    if is_foreign:
        return (Change(subject=subject, action="adopted", fields=changed),)
    return (Change(subject=subject, action="updated", fields=changed),) if changed else ()


def differences(row: models.Model, wanted: Mapping[str, object]) -> tuple[FieldChange, ...]:
    """Return the fields whose value is another; for a new row those whose value is not the default of the table."""
    found: list[FieldChange] = []
    for name, value in wanted.items():
        before, after = _flat(name, getattr(row, name, None)), _flat(name, value)
        found += [
            FieldChange(field=key, old=before.get(key), new=after.get(key))
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key) and not (row._state.adding and after.get(key) in EMPTY)
        ]
    return tuple(found)


def _flat(name: str, value: object) -> dict[str, object]:
    """One entry for each leaf of a dataclass, by dotted name."""
    if isinstance(value, models.Model):
        return {name: str(value)}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return {name: sections.plain(value)}
    leaves: dict[str, object] = {}
    for each in dataclasses.fields(value):
        leaves |= _flat(f"{name}.{each.name}", getattr(value, each.name))
    return leaves


def _keep_versions_valid(fleet: Fleet, wanted: Mapping[str, object]) -> None:
    changing = [name for name in FIXED_BY_VERSIONS if getattr(fleet, name) != wanted[name]]
    if changing and ModelVersion.objects.filter(registered_model__fleet=fleet).exists():
        name = changing[0]
        told = f"The {name} of fleet {fleet.name} cannot change from {getattr(fleet, name)} to {wanted[name]}"
        raise VersionsDepend(f"{told}: it has trained versions.", field=f"fleet.{name}")


def _early_problems(section: object, at: str) -> list[sections.Problem]:
    return [*_metric_problems(section, at), *_export_problems(section, at)]


def _export_problems(section: object, at: str) -> list[sections.Problem]:
    wanted = sections.value_at(section, ("export", "metadata"))
    unknown = [each for each in wanted if each not in files.FIELDS] if isinstance(wanted, list | tuple) else []
    return [sections.problem(f"{at}.export.metadata", each, f"of {', '.join(files.FIELDS)}") for each in unknown]


def _metric_problems(section: object, at: str) -> list[sections.Problem]:
    """Return what is wrong with the metrics, as far as the section is sound enough to tell."""
    own = sections.value_at(section, ("metric_settings", "directions"), {})
    own = own if isinstance(own, Mapping) else {}
    found = [each for name, sense in own.items() for each in _direction_problems(str(name), sense, at)]
    primary = sections.value_at(section, ("metric_settings", "primary"))
    known = {name: str(each.direction) for name, each in metrics.catalogue().items()}
    leading = sorted(name for name, sense in {**own, **known}.items() if sense != metrics.Direction.NEITHER)
    if isinstance(primary, str) and primary not in leading:
        allowed = f"one of {', '.join(leading)}; another one is declared under metric_settings.directions"
        found.append(sections.problem(f"{at}.metric_settings.primary", primary, allowed))
    return found


def _direction_problems(name: str, sense: object, at: str) -> list[sections.Problem]:
    key, installed = f"{at}.metric_settings.directions.{name}", metrics.catalogue().get(name)
    if not metrics.NAME.fullmatch(name):
        return [
            sections.problem(key, sense, "names of small letters, digits and _, at most 64, beginning with a letter")
        ]
    if installed is not None and sense != installed.direction:
        allowed = f"{installed.direction}, as it is everywhere: a fleet cannot turn the meaning of {name} round"
        return [sections.problem(key, sense, allowed)]
    return []
