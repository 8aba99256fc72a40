"""Retention on the pages of fleets and versions: the policy in force, what waits, pruning by hand, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest
from unfold.enums import ActionVariant

from registry import counting, deadlines, display, retention, timestamps
from registry.admin.extensions import Action, Done, Order, Panel
from registry.models import Fleet, ModelVersion
from registry.retention import grace, selection
from registry.retention.selection import Scope

# What one request marks; the hourly sweep marks the rest.
MARKED_MOST = 2000
PREVIEW_SECONDS = 3.0
PERMISSION = "registry.delete_modelversion"


def card(request: HttpRequest, fleet: Fleet) -> Mapping[str, Any]:
    """Return the policy in force and what earlier marks still do; a preview is made on the page of the action."""
    now = timestamps.utc_now()
    policy, waiting = selection.policy_of(fleet), grace.waiting(fleet.pk, at=now, most=counting.BOUND)
    due, size = grace.overdue(fleet.pk, at=now, most=counting.BOUND)
    spans = [
        ("Kept while younger than", policy.younger_than_days),
        ("Kept after serving for", policy.served_within_days),
    ]
    return {
        "rows": [
            (
                "Kept of each model",
                f"the newest {display.counted(policy.keep, 'ready version')}, "
                f"and its last {display.counted(policy.champions, 'champion')}",
            ),
            *((name, display.counted(days, "day")) for name, days in spans if days),
            ("Grace before deletion", display.counted(policy.grace_days, "day")),
            ("Marked, in grace", _waiting(waiting)),
            (
                "Deleted by the next sweep",
                f"{_versions(due)}, {display.size(size)}" if due else "none",
            ),
        ],
        "note": "Champion, challenger, previous champion, anchor and held versions always stay.",
    }


def _waiting(waiting: grace.Waiting) -> Any:
    if not waiting.versions:
        return "none"
    told = f"{_versions(waiting.versions)}, {display.size(waiting.size)}, from"
    return display.joined(told, display.instant(waiting.first_at))


def _versions(number: int) -> str:
    # As many as were looked at: nobody knows how many more there are.
    return f"at least {number:,} versions" if number >= counting.BOUND else display.counted(number, "version")


def swept(version: ModelVersion) -> Any:
    """Return when an archived version will be deleted."""
    if version.state != ModelVersion.State.ARCHIVED:
        return display.NOTHING
    return display.instant(version.sweep_after) if version.sweep_after else "never, unless somebody deletes it"


def _ask_prune(fleets: Sequence[Any]) -> str:
    now, until = timestamps.utc_now(), deadlines.after(PREVIEW_SECONDS)
    return " ".join(_foretold(fleet, retention.preview(fleet, at=now, until=until)) for fleet in fleets)


def _foretold(fleet: Fleet, seen: retention.Preview) -> str:
    kept = ", ".join(f"{tally.versions:,} as {reason}" for reason, tally in seen.kept.items()) or "none"
    kept += "" if seen.is_whole else f" (of the first {seen.looked_at:,} models; there was no time for more)"
    if not seen.marked.versions:
        return f"{fleet}: nothing would be marked; kept are {kept}."
    marked = (
        f"{display.counted(seen.marked.versions, 'version')} of {display.counted(seen.marked.models, 'model')} "
        "would be marked"
    )
    size = display.size(seen.marked.size)
    return (
        f"{fleet}: {marked}, {size}, restorable for {display.counted(seen.policy.grace_days, 'day')}; kept are {kept}."
    )


def _prune(order: Order) -> Done:
    marked, rest = 0, False
    for fleet in order.targets:
        step = retention.mark_page(
            Scope(fleet_id=fleet.pk), actor=order.actor, reason=order.reason, at=order.at, limit=MARKED_MOST
        )
        marked, rest = marked + len(step.versions), rest or step.following is not None
    more = " The hourly sweep marks the rest." if rest else ""
    return Done(
        sentence=f"Marked {display.counted(marked, 'version')}.{more}", address=display.address(order.targets[0])
    )


PANEL = Panel(title="Retention", template="registry/admin/facts.html", build=card)
PRUNE = Action(
    name="prune",
    title="Prune now",
    icon="content_cut",
    permission=PERMISSION,
    variant=ActionVariant.WARNING,
    ask=_ask_prune,
    perform=_prune,
)
