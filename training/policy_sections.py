"""Owns what a fleet file may say about a source and its policies, and what is allowed together. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from registry import configure as registry_configure
from registry import errors, sections
from registry.sections import Problem
from training import conf, policy_terms, scheduling
from training.gate import GateLimits
from training.models import Columns
from training.trainers import table

RANGES: Mapping[str, sections.Range] = {
    "misfire_limit": (1, 100),
    # A day: a longer spread would run into the next slot of a daily policy.
    "jitter_seconds": (0, 86_400),
    "expectations.minimum": (2, None),
    "expectations.recommended": (2, None),
    "expectations.maximum_gap_ratio": (0, 1),
    "expectations.maximum_missing_ratio": (0, 1),
    "gate_limits.mae_threshold_percent": (0, 1000),
    "gate_limits.ratchet_percent": (0, 1000),
    "gate_limits.floor": (0, 100),
    "gate_limits.stability_percent": (0, 1000),
    "gate_limits.bias_ratio": (0, 1),
    "gate_limits.mae_at_most": (0, None),
    "gate_limits.minimum_points": (1, 100_000),
    "tuning.trials": (1, 1000),
    "caps.cooldown_hours": (0, 24 * 366),
    "caps.runs_a_day": (1, 1_000_000),
}
FORMATS = (".csv", ".csv.gz", ".parquet")
NEITHER = "the file of a fleet that nothing here retrains has neither [source] nor [policy]"


def _cron(text: str) -> str:
    try:
        scheduling.check(cron=text, time_zone="UTC")
    except errors.Invalid:
        raise ValueError("five cron fields (minute hour day month weekday) such as 30 18 * * *") from None
    return text


def _zone_or_none(text: str) -> str:
    return sections.zone(text) if text else text


def _default_cron() -> str:
    hour, minute = conf.current().retrain_at.split(":")
    return f"{int(minute)} {int(hour)} * * *"


def _default_zone() -> str:
    return conf.current().time_zone


@dataclass(frozen=True, kw_only=True)
class SourceSection:
    """The table `[source]` of a fleet file; without a name it bears the fleet's."""

    name: registry_configure.Slug | None = None
    kind: Literal["file"] = "file"
    path: str
    format: Literal["", "csv", "parquet"] = ""
    columns: Columns
    time_zone: Annotated[str, AfterValidator(_zone_or_none)] = ""
    duplicates: Literal["refuse", "first", "last", "mean", "sum"] = "refuse"
    gaps: Literal["leave", "zero", "interpolate"] = "leave"


@dataclass(frozen=True, kw_only=True)
class PolicySection:
    """One table `[policy.NAME]` of a fleet file."""

    selector: policy_terms.Selector = field(default_factory=policy_terms.Selector)
    trainers: tuple[policy_terms.TrainerChoice, ...]
    triggers: policy_terms.Triggers = field(default_factory=policy_terms.Triggers)
    cron: Annotated[str, AfterValidator(_cron)] = field(default_factory=_default_cron)
    time_zone: sections.Zone = field(default_factory=_default_zone)
    misfire: Literal["skip", "run_latest", "run_all"] = "run_latest"
    misfire_limit: int = 3
    jitter_seconds: int = 0
    look_back_days: int | None = None
    strategy: Literal["same", "retune"] = "same"
    action: Literal["register", "challenge", "promote"] = "promote"
    promote_mode: Literal["automatic", "manual", "shadow"] = "automatic"
    refit: bool | None = None
    expectations: policy_terms.Expectations = field(default_factory=policy_terms.Expectations)
    gate_limits: GateLimits = field(default_factory=GateLimits)
    tuning: policy_terms.Tuning = field(default_factory=policy_terms.Tuning)
    caps: policy_terms.Caps = field(default_factory=policy_terms.Caps)
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the other sections and the place of the file say, as far as they could be read."""

    folder: Path
    kind: str = ""
    """`forecast` or `regression`; empty where the fleet's section does not say."""


def read_source(section: object, *, setting: Setting, at: str = "source") -> SourceSection:
    """Return the checked source; its path becomes absolute. Raises SectionInvalid with every problem."""
    if section is None:
        raise sections.SectionInvalid([sections.problem(at, sections.ABSENT, f"a table [source]; {NEITHER}")])
    early = _path_problems(section, setting.folder, f"{at}.path")
    if isinstance(section, Mapping) and isinstance(section.get("path"), str):
        section = {**section, "path": str((setting.folder / section["path"]).resolve())}
    return sections.read(
        SourceSection,
        section,
        at=at,
        ranges={},
        early=early,
        check=lambda found: _column_problems(found.columns, setting.kind, f"{at}.columns"),
    )


def _path_problems(section: object, folder: Path, key: str) -> list[Problem]:
    path = sections.value_at(section, ("path",))
    if not isinstance(path, str):
        return []
    if not sections.value_at(section, ("format",), "") and not path.lower().endswith(FORMATS):
        return [sections.problem(key, path, f"a path that ends in {', '.join(FORMATS)}, or a format beside it")]
    if not (folder / path).is_file():
        return [sections.problem(key, path, f"an existing file; there is no {(folder / path).resolve()}")]
    return []


def _column_problems(columns: Columns, kind: str, at: str) -> list[Problem]:
    regressors = [each.name for each in columns.regressors]
    found = [
        sections.problem(f"{at}.{name}", getattr(columns, name), "the name of a column")
        for name in ("time", "target")
        if not getattr(columns, name)
    ]
    named = [columns.time, columns.target, *filter(None, [columns.entity]), *columns.features, *regressors]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        found.append(sections.problem(at, twice[0], "each column in one place only"))
    if kind == "regression" and not columns.features:
        found.append(
            sections.problem(f"{at}.features", sections.ABSENT, "at least one column: a regression needs features")
        )
    if kind == "forecast" and columns.features:
        found.append(sections.problem(f"{at}.features", list(columns.features), "none in a fleet of kind forecast"))
    if kind == "regression" and regressors:
        found.append(
            sections.problem(
                f"{at}.regressors", regressors, "none in a fleet of kind regression: list them as features"
            )
        )
    return found


def read_policies(section: object, *, setting: Setting, at: str = "policy") -> dict[str, PolicySection]:
    """Return the checked policies by name. Raises SectionInvalid with every problem of all of them."""
    if (
        not isinstance(section, Mapping)
        or not section
        or not all(isinstance(each, Mapping) for each in section.values())
    ):
        raise sections.SectionInvalid(
            [sections.problem(at, sections.ABSENT, f"one table [policy.NAME] or more; {NEITHER}")]
        )
    found, problems = {}, []
    for name, table_of_policy in section.items():
        problems += _name_problems(name, at)
        try:
            found[name] = _read_policy(table_of_policy, setting=setting, at=f"{at}.{name}")
        except sections.SectionInvalid as invalid:
            problems += invalid.problems
    if problems:
        raise sections.SectionInvalid(problems)
    return found


def _name_problems(name: str, at: str) -> list[Problem]:
    try:
        registry_configure.slug(name)
    except ValueError as error:
        return [sections.problem(f"{at}.{name}", name, f"a name of {error}")]
    return []


def _read_policy(section: Mapping[str, object], *, setting: Setting, at: str) -> PolicySection:
    # A trainer without parameters may stand as its name alone.
    named = section.get("trainers")
    if isinstance(named, list):
        section = {**section, "trainers": [{"name": each} if isinstance(each, str) else each for each in named]}
    limits = conf.current()
    ranges = {**RANGES, "look_back_days": (limits.look_back_days_min, limits.look_back_days_max)}
    return sections.read(
        PolicySection,
        section,
        at=at,
        ranges=ranges,
        early=_trainer_problems(section, setting.kind, f"{at}.trainers"),
        check=lambda found: _policy_problems(found, at),
    )


def _trainer_problems(section: Mapping[str, object], kind: str, at: str) -> list[Problem]:
    named, known = section.get("trainers"), table.names(kind)
    allowed = f"one of {', '.join(known)}" + (f" in a fleet of kind {kind}" if kind else "")
    if named == []:
        return [sections.problem(at, named, f"at least {allowed}")]
    names = (
        {f"{at}.{index}.name": sections.value_at(named, (index, "name")) for index in range(len(named))}
        if isinstance(named, list)
        else {}
    )
    return [
        sections.problem(key, name, allowed)
        for key, name in names.items()
        if isinstance(name, str) and name not in known
    ]


def _policy_problems(policy: PolicySection, at: str) -> list[Problem]:
    found = [
        sections.problem(f"{at}.trainers.{index}.params", choice.params, sentence)
        for index, choice in enumerate(policy.trainers)
        if (sentence := _refusal_of_params(choice))
    ]
    if policy.selector.tags and policy.selector.entity_pattern:
        found.append(sections.problem(f"{at}.selector", "tags and entity_pattern", "one of the two"))
    names = [choice.name for choice in policy.trainers]
    if len(set(names)) < len(names):
        found.append(sections.problem(f"{at}.trainers", names, "each trainer once"))
    return found


def _refusal_of_params(choice: policy_terms.TrainerChoice) -> str:
    """Return what the trainer says against its parameters; its libraries are loaded only where there are some."""
    if not choice.params or choice.name not in table.names():
        return ""
    try:
        json.dumps(choice.params, allow_nan=False)
        table.find(choice.name).check_params(choice.params)
    except errors.Invalid as error:
        return error.sentence
    except ValueError:
        return "finite numbers only"
    return ""
