"""Owns the fleet file: one TOML text that describes a fleet. Hands each section to its app; refuses all or nothing."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from django.db import transaction

from registry import configure as registry_configure
from registry import errors, sections
from registry.configure import Authority, Change, FleetSection
from registry.models import Fleet
from registry.sections import Problem
from training import configure as training_configure
from training import policy_sections
from training.policy_sections import PolicySection, Setting, SourceSection

T = TypeVar("T")

SECTIONS = ("fleet", "source", "policy")

# A fleet file is written by people; anything larger is another file.
LARGEST_BYTES = 1024**2

POSITION = re.compile(r"\(at line (\d+), column (\d+)\)|\(at end of document\)")


class FleetFileInvalid(errors.Invalid):
    """The file cannot be read, or breaks one or more rules."""

    code = "fleet_file_invalid"
    next_step = "Correct the file and apply it again; nothing was changed."

    def __init__(self, path: Path, problems: Sequence[Problem], *, sentence: str = "") -> None:
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        super().__init__(f"{path}: {sentence or count}")
        self.path = path
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class FleetFile:
    """One file, read and found sound."""

    path: Path
    digest: str
    fleet: FleetSection
    source: SourceSection | None
    """None in the file of a fleet that nothing here retrains; then there is no policy either."""
    policies: Mapping[str, PolicySection]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What applying one file did, or would do."""

    file: FleetFile
    fleet: Fleet
    changes: tuple[Change, ...]


def read(path: Path) -> FleetFile:
    """Return the file's content, checked against every rule. Raises FleetFileInvalid with all problems."""
    content = _content(path)
    document = _parsed(path, content)
    setting = Setting(folder=path.resolve().parent, kind=_kind(document))
    problems = _unknown_sections(document)
    fleet = _collect(problems, lambda: registry_configure.read(document.get("fleet", {})))
    source, policies = _training(document, setting, problems)
    if fleet is None or problems:
        raise FleetFileInvalid(path, problems)
    digest = hashlib.sha256(content).hexdigest()
    return FleetFile(path=path, digest=digest, fleet=fleet, source=source, policies=policies)


def _training(
    document: Mapping[str, object], setting: Setting, problems: list[Problem]
) -> tuple[SourceSection | None, Mapping[str, PolicySection]]:
    """Return source and policies: both, or neither where nothing here retrains the fleet."""
    if "source" not in document and "policy" not in document:
        return None, {}
    source = _collect(problems, lambda: policy_sections.read_source(document.get("source"), setting=setting))
    policies = _collect(problems, lambda: policy_sections.read_policies(document.get("policy"), setting=setting))
    return source, policies or {}


def apply(files: Sequence[FleetFile], *, at: datetime, adopt: bool = False, dry_run: bool = False) -> list[Outcome]:
    """Bring the database to what the files say, all in one transaction; with `dry_run` it is undone again.

    Raises MadeByHand, VersionsDepend, SourceShared; then nothing is written.
    """
    with transaction.atomic():
        outcomes = [_apply(file, at=at, adopt=adopt) for file in files]
        if dry_run:
            transaction.set_rollback(True)
    return outcomes


def _apply(file: FleetFile, *, at: datetime, adopt: bool) -> Outcome:
    authority = Authority(digest=file.digest, adopt=adopt)
    applied = registry_configure.apply(file.fleet, authority=authority)
    below = training_configure.apply(file.source, file.policies, fleet=applied.fleet, authority=authority, at=at)
    return Outcome(file=file, fleet=applied.fleet, changes=applied.changes + below)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise FleetFileInvalid(path, (), sentence=f"larger than {LARGEST_BYTES:,} bytes, so not a fleet file.")
        return path.read_bytes()
    except OSError as error:
        raise FleetFileInvalid(path, (), sentence=f"cannot be read: {error.strerror}.") from error


def _parsed(path: Path, content: bytes) -> dict[str, object]:
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise FleetFileInvalid(path, (), sentence=f"byte {error.start} is not UTF-8, which TOML must be.") from error
    except tomllib.TOMLDecodeError as error:
        raise FleetFileInvalid(path, (), sentence=_toml_sentence(str(error), content.decode())) from error


def _toml_sentence(message: str, text: str) -> str:
    found = POSITION.search(message)
    line, column = (int(found[1]), int(found[2])) if found and found[1] else (len(text.splitlines()), 0)
    where = f"line {line}, column {column}" if column else f"line {line}, at the end of the file"
    return f"not TOML, {where}: {POSITION.sub('', message).strip()}."


def _kind(document: Mapping[str, object]) -> str:
    fleet = document.get("fleet")
    kind = fleet.get("kind") if isinstance(fleet, Mapping) else None
    return kind if kind in ("forecast", "regression") else ""


def _unknown_sections(document: Mapping[str, object]) -> list[Problem]:
    allowed = "no such section; known here: " + ", ".join(SECTIONS)
    return [sections.problem(name, value, allowed) for name, value in document.items() if name not in SECTIONS]


def _collect(problems: list[Problem], section: Callable[[], T]) -> T | None:
    """Return what a section reads as; where it is invalid, add its problems to the others and return None."""
    try:
        return section()
    except sections.SectionInvalid as invalid:
        problems += invalid.problems
        return None
