"""Which policy governs which model: the most specific enabled one that selects it. Writes nothing."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Protocol, TypeVar

from registry import errors
from registry.models import Fleet
from training import conf
from training.models import RetrainingPolicy, Source


class PolicyMissing(errors.Conflict):
    """Nothing says how this model is trained."""

    code = "policy_missing"
    next_step = "Add [source] and [policy.NAME] to its fleet file and apply it, or enable a policy that is there."


class SourcesDiffer(errors.Conflict):
    """One batch reads one snapshot of one source."""

    code = "sources_differ"
    next_step = "Name the entities of one policy."


class Selectable(Protocol):
    """What a selector looks at: a registered model, or a row with these of its columns."""

    @property
    def entity_key(self) -> str: ...

    @property
    def tags(self) -> list[str]: ...


M = TypeVar("M", bound=Selectable)


def govern(
    fleet: Fleet, models: Sequence[M], policy: RetrainingPolicy | None = None
) -> list[tuple[M, RetrainingPolicy]]:
    """Return each model with the policy that governs it; with `policy`, only the models that it governs.

    Raises PolicyMissing where no policy of the fleet is enabled, SourcesDiffer where their sources are not one.
    """
    enabled = ranked(fleet)
    if not enabled:
        raise PolicyMissing(f"Fleet {fleet.name} has no enabled policy.")
    pairs = [(model, chosen) for model in models if (chosen := _first(enabled, model)) is not None]
    if policy is not None:
        return [(model, chosen) for model, chosen in pairs if chosen.pk == policy.pk]
    if len({chosen.source_id for _, chosen in pairs}) > 1:
        raise SourcesDiffer(f"The policies of fleet {fleet.name} read different sources.")
    return pairs


def ranked(fleet: Fleet) -> list[RetrainingPolicy]:
    """Return the enabled policies of a fleet, the most specific first; names break ties."""
    enabled = RetrainingPolicy.objects.filter(fleet=fleet, enabled=True).select_related("source", "fleet")
    return sorted(enabled, key=lambda policy: (-policy.selector.specificity(), policy.name))


def governed(fleet_ids: Sequence[int]) -> set[int]:
    """Return which of these fleets have an enabled policy: of the others nothing can be retrained."""
    enabled = RetrainingPolicy.objects.filter(fleet__in=fleet_ids, enabled=True)
    return set(enabled.values_list("fleet", flat=True))


def _first(enabled: Sequence[RetrainingPolicy], model: Selectable) -> RetrainingPolicy | None:
    return next((policy for policy in enabled if selects(policy, model)), None)


def selects(policy: RetrainingPolicy, model: Selectable) -> bool:
    """Return whether the policy's selector takes this model."""
    selector = policy.selector
    if selector.entity_pattern:
        return fnmatch.fnmatchcase(model.entity_key, selector.entity_pattern)
    if selector.tags:
        return bool(set(selector.tags) & set(model.tags))
    return selector.all


def source_of(fleet: Fleet, policy: RetrainingPolicy | None) -> Source:
    """Return the one source that a batch of this fleet reads. Raises PolicyMissing, SourcesDiffer."""
    if policy is not None:
        return policy.source
    enabled = ranked(fleet)
    if not enabled:
        raise PolicyMissing(f"Fleet {fleet.name} has no enabled policy.")
    if len({each.source_id for each in enabled}) > 1:
        raise SourcesDiffer(f"The policies of fleet {fleet.name} read different sources.")
    return enabled[0].source


def look_back_days(policy: RetrainingPolicy, *, daily: bool) -> int:
    """Return the days before the newest observation that this policy trains on."""
    limits = conf.current()
    default = limits.look_back_days_daily if daily else limits.look_back_days_sensors
    return policy.look_back_days or default
