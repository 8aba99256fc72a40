"""Actions on many versions or models from their lists: archive, quarantine, promote, tag, roll back. One door for all.

One row is refused whole, on its page; of many each that was left is told with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django import forms
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from registry import bulk, display, errors, lifecycle
from registry.admin.extensions import Action, Done, Order, ReasonForm, always
from registry.admin.pausing import asking
from registry.bulk import tagging
from registry.lifecycle import admission
from registry.models import ModelVersion, RegisteredModel

State = ModelVersion.State
CHANGES, DELETES = "registry.change_modelversion", "registry.delete_modelversion"
PROMOTES, TAGS = "registry.promote_modelversion", "registry.tag_modelversion"


class TagForm(ReasonForm):
    """Which tags are added and removed."""

    add = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text="Tags to add, divided by commas or spaces."
    )
    remove = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text="Tags to remove, divided by commas or spaces."
    )
    field_order = ("add", "remove", "reason")


class RollBackManyForm(ReasonForm):
    """Whether those go further back that a roll back moved last."""

    again = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Go back again",
        help_text="Also those that a roll back moved last: one champion further back.",
    )
    field_order = ("again", "reason")


def told(
    order: Order, *, changed: int, verb: str, refused: Mapping[Any, errors.PerennialError], unchanged: int = 0
) -> Done:
    """Return what came of an order, with each row that was left; raises the refusal of a single one."""
    if len(order.targets) == 1:
        for error in refused.values():
            raise error
    alone = order.targets[0] if len(order.targets) == 1 else None
    address = display.address(alone) if alone is not None else display.listing(type(order.targets[0]))
    rest = f" {unchanged} were so already." if unchanged else ""
    return Done(
        sentence=f"{verb}: {changed}.{rest}", address=address, left=tuple(str(each) for each in refused.values())
    )


def tag_order(fields: Mapping[str, Any]) -> tagging.Order:
    """Return the tags of a form. Raises TagInvalid, NoTag."""
    add, remove = (fields.get(name, "").replace(",", " ").split() for name in ("add", "remove"))
    return tagging.Order(add=tuple(add), remove=tuple(remove))


def on_versions(action: str, verb: str) -> Callable[[Order], Done]:
    """Return what carries an action of `registry.bulk` out, and tells with `verb` of what became so."""

    def carry_out(order: Order) -> Done:
        ids = [each.pk for each in order.targets]
        tags = tag_order(order.fields) if action == bulk.TAG else None
        done = bulk.carry_out(action, ids, actor=order.actor, reason=order.reason, at=order.at, tags=tags)
        return told(order, changed=len(done.changed), verb=verb, refused=done.refused, unchanged=len(done.unchanged))

    return carry_out


def _tag_models(order: Order) -> Done:
    tags = tag_order(order.fields)
    done = bulk.tag_models(order.targets, tags, actor=order.actor, reason=order.reason, at=order.at)
    return told(order, changed=len(done.changed), verb="Tagged", refused=done.refused, unchanged=len(done.unchanged))


def _roll_back(order: Order) -> Done:
    again = bool(order.fields.get("again"))
    steps = bulk.roll_back(order.targets, actor=order.actor, reason=order.reason, at=order.at, again=again)
    refused = {each.registered_model.pk: each.refusal for each in steps if each.refusal}
    return told(order, changed=len(steps) - len(refused), verb="Rolled back", refused=refused)


def preview_roll_back(models: Sequence[RegisteredModel]) -> Mapping[str, Any]:
    """Return where each model would go, and why others cannot."""
    found = lifecycle.preview_roll_back(models)
    rows = []
    for each in models:
        to, error = found.to.get(each.pk), found.refused.get(each.pk)
        before = f"v{each.champion.number}" if each.champion else "none"
        rows.append((str(each), before, f"v{to.number}" if to else display.NOTHING, str(error or "")))
    return {"heads": ("Model", "From", "To", "Why not"), "rows": rows}


def _action(
    name: str,
    title: str,
    icon: str,
    permission: str,
    question: tuple[str, str],
    perform: Callable[[Order], Done],
    *,
    states: tuple[str, ...] = (),
    **further: Any,
) -> Action:
    """Return an action on many rows, which the page of one row offers in these states of it."""
    offered = {"applies": lambda row: row.state in states, **further}
    return Action(
        name=name, title=title, icon=icon, permission=permission, bulk=True, ask=asking(*question), perform=perform,
        **offered,
    )  # fmt: skip


def _may_go(version: ModelVersion) -> bool:
    """Whether a version can be archived, as far as its page knows: what a pointer leads to stays."""
    return version.state == State.READY and not version.pointers


def _may_be_released(version: ModelVersion) -> bool:
    """Whether a version can be released, as far as its page knows: what a trainer refused is refused for good."""
    return version.state == State.QUARANTINED and not admission.refused([version.pk])


_TAGGING = ("Change the tags of", "Each that changes gets a line in its ledger.")
VERSION_ACTIONS = (
    _action(
        "restore", "Restore", "restore_from_trash", DELETES,
        ("Restore", "Ready again, if its bytes hold: they are read and verified first. It is held, so that retention "
         "does not mark it again; lift the hold when it is no longer needed."),
        on_versions("restore", "Ready again, and held"), states=(State.ARCHIVED,), variant=ActionVariant.PRIMARY,
    ),
    _action(
        "archive", "Archive", "inventory_2", DELETES,
        ("Archive", "Hidden from every choice until restored; what a pointer leads to and what is held stays."),
        on_versions("archive", "Archived"), applies=_may_go,
    ),
    _action(
        "quarantine", "Quarantine", "gpp_bad", CHANGES,
        ("Quarantine", "No longer loaded or placed; a champion keeps its pointer, and the last good one answers."),
        on_versions("quarantine", "Quarantined"), states=(State.READY, State.ARCHIVED), variant=ActionVariant.WARNING,
    ),
    _action(
        "release", "Release", "gpp_good", CHANGES,
        ("Release", "Ready again, if its bytes hold: they are read and verified first. What came from elsewhere and no "
         "trainer has read yet is pending instead, until one has; what one refused stays."),
        on_versions("release", "Released"), applies=_may_be_released,
    ),
    _action(
        "tag", "Tag", "sell", TAGS, _TAGGING, on_versions(bulk.TAG, "Tagged"), form=TagForm, applies=always,
    ),
    _action(
        "promote-many", "Promote selected", "star", PROMOTES,
        ("Make champion:", "Each serves at once, at most one of each model; no gate is asked."),
        on_versions("promote", "Promoted"), variant=ActionVariant.PRIMARY,
    ),
)  # fmt: skip
MODEL_ACTIONS = (
    _action("tag", "Tag", "sell", TAGS, _TAGGING, _tag_models, form=TagForm, applies=always),
    _action(
        "roll-back-many", "Roll back selected", "undo", "registry.rollback_registeredmodel",
        ("Roll back", "The champion before the present one serves at once. The next retraining may promote again."),
        _roll_back, preview=preview_roll_back, form=RollBackManyForm, variant=ActionVariant.DANGER,
    ),
)  # fmt: skip
