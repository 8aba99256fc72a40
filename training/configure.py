"""Owns how the source and the policies of a fleet file become rows. Never touches a pause."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime

from registry import configure as registry_configure
from registry import errors
from registry.configure import Authority, Change
from registry.models import Fleet
from training import scheduling
from training.models import FileOptions, RetrainingPolicy, Source
from training.policy_sections import PolicySection, SourceSection

# A new slot is planned when one of these changes.
SCHEDULE = frozenset({"cron", "time_zone", "enabled", "triggers.schedule"})


class SourceShared(errors.Conflict):
    """Policies of another fleet read the source of this name."""

    code = "source_shared"
    next_step = "Give the source of this file a name of its own."


def apply(
    source: SourceSection | None,
    policies: Mapping[str, PolicySection],
    *,
    fleet: Fleet,
    authority: Authority,
    at: datetime,
) -> tuple[Change, ...]:
    """Create or update the fleet's source and policies, inside the caller's transaction; return what changed.

    Without a source there are no policies: nothing here retrains the fleet, or not any more.
    Policies that an earlier file made and this one does not name are disabled, or deleted where they never fired.
    Raises MadeByHand, SourceShared.
    """
    changes: tuple[Change, ...] = ()
    if source is not None:
        row, changes = _apply_source(source, fleet=fleet, authority=authority)
        for name, section in policies.items():
            changes += _apply_policy(name, section, source=row, fleet=fleet, authority=authority, at=at)
    return changes + _retire_absent(policies, fleet=fleet)


def _apply_source(section: SourceSection, *, fleet: Fleet, authority: Authority) -> tuple[Source, tuple[Change, ...]]:
    name = section.name or fleet.name
    row = Source.objects.select_for_update().filter(tenant=fleet.tenant, name=name).first() or Source(
        tenant=fleet.tenant, name=name
    )
    wanted = {
        "kind": section.kind,
        "options": FileOptions(path=section.path, format=section.format),
        "columns": section.columns,
        "time_zone": section.time_zone,
        "duplicates": section.duplicates,
        "gaps": section.gaps,
    }
    if not row._state.adding:
        _refuse_shared(row, wanted, fleet)
    return row, registry_configure.bring_to(row, wanted, subject=f"source {name}", authority=authority)


def _refuse_shared(source: Source, wanted: Mapping[str, object], fleet: Fleet) -> None:
    """Two files that describe one source differently would undo each other without end."""
    others = RetrainingPolicy.objects.filter(source=source).exclude(fleet=fleet).select_related("fleet")
    other = others.first()
    changed = registry_configure.differences(source, wanted)
    if other is not None and changed:
        where = f"where {changed[0].field} is {changed[0].old!r}"
        raise SourceShared(f"Source {source.name} also feeds fleet {other.fleet.name}, {where}.", field="source.name")


def _apply_policy(
    name: str, section: PolicySection, *, source: Source, fleet: Fleet, authority: Authority, at: datetime
) -> tuple[Change, ...]:
    found = RetrainingPolicy.objects.select_for_update().filter(fleet=fleet, name=name).first()
    policy = found or RetrainingPolicy(fleet=fleet, name=name)
    wanted = {each.name: getattr(section, each.name) for each in dataclasses.fields(section)} | {"source": source}
    changes = registry_configure.bring_to(policy, wanted, subject=f"policy {fleet.name}/{name}", authority=authority)
    if any(change.action == "created" or SCHEDULE & {each.field for each in change.fields} for change in changes):
        _plan(policy, at)
    return changes


def _plan(policy: RetrainingPolicy, at: datetime) -> None:
    if policy.enabled and not policy.paused:
        scheduling.plan(policy, now=at)
    else:
        policy.next_due_at = None
        policy.save(update_fields=["next_due_at"])


def _retire_absent(policies: Mapping[str, PolicySection], *, fleet: Fleet) -> tuple[Change, ...]:
    absent = (
        RetrainingPolicy.objects.select_for_update()
        .filter(fleet=fleet)
        .exclude(managed_by="")
        .exclude(name__in=policies)
    )
    return tuple(change for policy in absent.order_by("name") if (change := _retire(policy)) is not None)


def _retire(policy: RetrainingPolicy) -> Change | None:
    subject, note = f"policy {policy.fleet.name}/{policy.name}", "the file no longer names it"
    if not policy.batches.exists() and not policy.runs.exists():
        policy.delete()
        return Change(subject=subject, action="deleted", note=f"{note}, and it never fired")
    if not policy.enabled:
        return None
    policy.enabled, policy.next_due_at = False, None
    policy.save(update_fields=["enabled", "next_due_at"])
    return Change(subject=subject, action="disabled", note=note)
