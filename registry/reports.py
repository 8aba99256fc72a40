"""The immutable reports that rows carry: scorecard of a version, checks and verdict of a gate. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """What a gate decided."""

    PASSED = "passed"
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One rule of a gate: what was compared, the limit, and the outcome in words."""

    rule: str
    outcome: str  # passed, failed, held, warned, skipped
    sentence: str
    value: float | None = None
    reference: float | None = None
    limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """All checks in the order in which they were made, and the verdict that follows from them."""

    verdict: Verdict
    reason: str
    checks: tuple[Check, ...] = ()
    incumbent: str = ""
    """How the incumbent was scored: `stored`, `twin`, `same_recipe` or `none`."""
    incumbent_version: str = ""
    """Id of the version that the candidate was compared with."""
    anchor_version: str = ""
    snapshot: str = ""


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """Scores of one version on its test windows; a metric without a value is None and says why in `reasons`."""

    metrics: Mapping[str, float | None] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    baseline: Mapping[str, float | None] = field(default_factory=dict)
    """The same metrics of seasonal naive on the same points."""
    points: int = 0
    windows: int = 0
    test_start: str = ""
    test_end: str = ""
    completeness: float | None = None
    """Share of the expected stamps of the windows that had an actual value, 0 to 1."""
