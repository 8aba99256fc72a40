"""Actions on many versions or models from their lists: archive, quarantine, promote, tag, roll back. One door for all.

One row is refused whole, on its page; of many each that was left is told with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django import forms
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from registry import bulk, display, errors, lifecycle
from registry.admin.extensions import Action, Done, Order, ReasonForm
from registry.admin.pausing import named
from registry.bulk import tagging
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


def _versions(action: str, verb: str) -> Callable[[Order], Done]:
    def carry_out(order: Order) -> Done:
        ids = [each.pk for each in order.targets]
        done = bulk.carry_out(action, ids, actor=order.actor, reason=order.reason, at=order.at)
        return told(order, changed=len(done.changed), verb=verb, refused=done.refused)

    return carry_out


def _ask(verb: str, consequence: str) -> Callable[[Sequence[Any]], str]:
    return lambda rows: f"{verb} {named(rows)}? {consequence}"


def tag_order(fields: Mapping[str, Any]) -> tagging.Order:
    """Return the tags of a form. Raises TagInvalid, NoTag."""
    add, remove = (fields.get(name, "").replace(",", " ").split() for name in ("add", "remove"))
    return tagging.Order(add=tuple(add), remove=tuple(remove))


def _tag_versions(order: Order) -> Done:
    done = tagging.tag_versions(
        [each.pk for each in order.targets],
        tag_order(order.fields),
        actor=order.actor,
        at=order.at,
        reason=order.reason,
    )
    return told(order, changed=len(done.changed), verb="Tagged", refused=done.refused, unchanged=len(done.unchanged))


def _tag_models(order: Order) -> Done:
    done = tagging.tag_models(
        [each.pk for each in order.targets],
        tag_order(order.fields),
        actor=order.actor,
        at=order.at,
        reason=order.reason,
    )
    return told(order, changed=len(done.changed), verb="Tagged", refused=done.refused, unchanged=len(done.unchanged))


def _roll_back(order: Order) -> Done:
    steps = bulk.roll_back(order.targets, actor=order.actor, reason=order.reason, at=order.at)
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


ARCHIVE = Action(
    name="archive",
    title="Archive",
    icon="inventory_2",
    permission=DELETES,
    bulk=True,
    ask=_ask("Archive", "Hidden from every choice until restored; what a pointer leads to and what is held stays."),
    perform=_versions("archive", "Archived"),
    applies=lambda version: version.state == State.READY,
)
QUARANTINE = Action(
    name="quarantine",
    title="Quarantine",
    icon="gpp_bad",
    permission=CHANGES,
    bulk=True,
    variant=ActionVariant.WARNING,
    ask=_ask("Quarantine", "No longer loaded or placed; a champion keeps its pointer, and the last good one answers."),
    perform=_versions("quarantine", "Quarantined"),
    applies=lambda version: version.state in (State.READY, State.ARCHIVED),
)
RELEASE = Action(
    name="release",
    title="Release",
    icon="gpp_good",
    permission=CHANGES,
    bulk=True,
    ask=_ask("Release", "Ready again, if its bytes hold: they are read and verified first."),
    perform=_versions("release", "Released"),
    applies=lambda version: version.state == State.QUARANTINED,
)
TAG = Action(
    name="tag",
    title="Tag",
    icon="sell",
    permission=TAGS,
    bulk=True,
    ask=_ask("Change the tags of", "Each that changes gets a line in its ledger."),
    perform=_tag_versions,
    form=TagForm,
)
PROMOTE_MANY = Action(
    name="promote-many",
    title="Promote selected",
    icon="star",
    permission=PROMOTES,
    bulk=True,
    variant=ActionVariant.PRIMARY,
    ask=_ask("Make champion:", "Each serves at once, at most one of each model; no gate is asked."),
    perform=_versions("promote", "Promoted"),
    applies=lambda version: False,
)
VERSION_ACTIONS = (ARCHIVE, QUARANTINE, RELEASE, TAG, PROMOTE_MANY)
TAG_MODELS = Action(
    name="tag",
    title="Tag",
    icon="sell",
    permission=TAGS,
    bulk=True,
    ask=_ask("Change the tags of", "Each that changes gets a line in its ledger."),
    perform=_tag_models,
    form=TagForm,
)
ROLL_BACK_MANY = Action(
    name="roll-back-many",
    title="Roll back selected",
    icon="undo",
    permission="registry.rollback_registeredmodel",
    bulk=True,
    variant=ActionVariant.DANGER,
    ask=_ask("Roll back", "The champion before the present one serves at once. The next retraining may promote again."),
    perform=_roll_back,
    preview=preview_roll_back,
    applies=lambda model: False,
)
MODEL_ACTIONS = (TAG_MODELS, ROLL_BACK_MANY)
