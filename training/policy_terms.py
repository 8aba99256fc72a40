"""What a retraining policy says, as frozen dataclasses: whom it selects, what it tries, what it expects. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Selector:
    """Which models of the fleet a policy governs: all, those with one of the tags, or those whose key matches."""

    all: bool = True
    tags: tuple[str, ...] = ()
    entity_pattern: str = ""
    """Shell pattern over the entity key, such as `store-1?.roll`."""

    def specificity(self) -> int:
        """Return the rank among enabled policies: a pattern beats tags, tags beat all."""
        return 2 if self.entity_pattern else 1 if self.tags else 0


@dataclass(frozen=True, kw_only=True)
class TrainerChoice:
    """A trainer by name, with the parameters that differ from its defaults."""

    name: str
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """What the data must look like before anything is fitted; None means the installation's default."""

    minimum: int | None = None
    """Observations of one entity; fewer are refused."""
    recommended: int | None = None
    """Observations of one entity; fewer warn."""
    maximum_gap_ratio: float = 0.5
    """Share of the expected stamps that may be absent, 0 to 1; more is refused."""
    maximum_missing_ratio: float = 0.2
    """Share of rows whose target is not finite, 0 to 1; more is refused."""
    allow_constant: bool = True
    """Whether a target that never changes is fitted (with a warning) or refused."""


@dataclass(frozen=True, kw_only=True)
class Triggers:
    """What makes a policy fire besides its schedule."""

    schedule: bool = True
    manual: bool = True


@dataclass(frozen=True, kw_only=True)
class Caps:
    """Bounds on how much a policy may start; None means no bound."""

    cooldown_hours: float = 0.0
    runs_a_day: int | None = None


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Whether parameters are searched, and how many trials at most; None means by demand class."""

    enabled: bool = False
    trials: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a run was asked for; a run that was asked for twice carries both."""

    trigger: str
    """schedule, manual, api, drift or degradation."""
    sentence: str = ""
    actor: str = ""


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """What a run used and found, kept for every attempt, promoted or not."""

    days: float | None = None
    rows: int | None = None
    train_rows: int | None = None
    test_rows: int | None = None
    features: tuple[str, ...] = ()
    trainer: str = ""
    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float | None = None
    """Seconds of work that fell on this run, its share of the chunk's."""
