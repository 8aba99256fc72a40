"""Promoting and rolling back by hand: pointer moves that work at once, also with no worker alive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from registry import display, errors, lifecycle, reasons
from registry.admin import extensions
from registry.admin.extensions import Action, Done, Order, ReasonForm
from registry.lifecycle import admission, succession
from registry.models import ModelVersion, RegisteredModel

COMES_NEXT = "The next retraining may promote another version. Pause the model to stay on this one."


class RollBackForm(ReasonForm):
    """To which version; empty means the champion before the present one."""

    version = forms.IntegerField(
        required=False,
        min_value=1,
        label="To version",
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Its number. Empty: the champion before the present one.",
    )
    field_order = ("version", "reason")


def _ask_roll_back(models: Sequence[Any]) -> str:
    model: RegisteredModel = models[0]
    serving = f"{_named(model.champion)}, which serves now" if model.champion else "no champion"
    return f"Roll {model} back from {serving}. {_before(model)} {COMES_NEXT}"


def _named(version: ModelVersion) -> str:
    return f"v{version.number} ({version.label})"


def _before(model: RegisteredModel) -> str:
    try:
        version = succession.previous(model)
    except succession.NothingToRollBackTo as error:
        return f"{error.sentence} Name the version that is to serve."
    return f"{_named(version)}, the champion before it, serves at once, unless you name another."


def _roll_back(order: Order) -> Done:
    model: RegisteredModel = order.targets[0]
    number = order.fields.get("version")
    event = lifecycle.roll_back(
        registered_model=model,
        to=_numbered(model, number) if number else None,
        actor=order.actor,
        reason=order.reason,
        at=order.at,
    )
    back = _named(event.to_version) if event.to_version else "no version"
    return Done(sentence=f"{model} is back on {back}. {COMES_NEXT}", address=display.address(model))


def _numbered(model: RegisteredModel, number: int) -> ModelVersion:
    found = (
        ModelVersion.objects.select_related("registered_model__fleet")
        .filter(registered_model=model, number=number)
        .first()
    )
    if found is None:
        raise errors.NotFound(
            f"{model} has no version {number}.",
            next_step=f"Its versions go from 1 to {model.last_number}.",
            field="version",
        )
    return found


def _ask_promote(versions: Sequence[Any]) -> str:
    version: ModelVersion = versions[0]
    model = version.registered_model
    serving = _named(model.champion) if model.champion else "no champion yet"
    asked = f"Make {_named(version)} champion of {model}, in place of {serving}."
    return f"{asked} It serves at once; no gate is asked. {COMES_NEXT}"


def _promote(order: Order) -> Done:
    version: ModelVersion = order.targets[0]
    lifecycle.promote_by_hand(
        registered_model=version.registered_model, version=version, actor=order.actor, reason=order.reason, at=order.at
    )
    return Done(
        sentence=f"v{version.number} is champion of {version.registered_model}.", address=display.address(version)
    )


def _may_serve(version: ModelVersion) -> bool:
    return version.state == ModelVersion.State.READY and version.registered_model.champion_id != version.pk


ROLL_BACK = Action(
    name="roll-back",
    title="Roll back",
    icon="undo",
    permission="registry.rollback_registeredmodel",
    variant=ActionVariant.DANGER,
    ask=_ask_roll_back,
    perform=_roll_back,
    form=RollBackForm,
    applies=lambda model: model.champion_id is not None,
)
PROMOTE = Action(
    name="promote",
    title="Promote this version",
    icon="star",
    permission="registry.promote_modelversion",
    variant=ActionVariant.PRIMARY,
    ask=_ask_promote,
    perform=_promote,
    applies=_may_serve,
)


RETRAIN = "retrain it, then read the gate report of the run"
ELSEWHERE = "register a version that was trained elsewhere"


def can_be_retrained(model: RegisteredModel) -> bool:
    """Return whether an app above offers that for this model."""
    return any(each.name == "retrain" and each.applies(model) for each in extensions.MODEL_ACTIONS)


def first_step(model: RegisteredModel) -> str:
    """Return what leads a model without champion and challenger to its first champion, by its newest version."""
    version = model.versions.order_by("-number").first()
    if version is None:
        return f"Next step: {RETRAIN}; or {ELSEWHERE}." if can_be_retrained(model) else f"Next step: {ELSEWHERE}."
    name = f"v{version.number}"
    if version.state == ModelVersion.State.PENDING:
        return f"{name} waits for its trainer to read it. Next step: wait for a worker; without one: manage.py inspect."
    if known := admission.quarantine_of(version):
        return f"{name} is quarantined: {reasons.ended(known.reason)} Next step: {known.next_step}"
    if version.state == ModelVersion.State.READY:
        rest = f", or {RETRAIN}" if can_be_retrained(model) else ""
        return f"{name} is ready. Next step: promote it on its page{rest}."
    return f"Next step: {RETRAIN if can_be_retrained(model) else ELSEWHERE}."


def offer(request: HttpRequest, version: ModelVersion | None) -> SafeString | str:
    """Return the button that leads to the promotion of a challenger; empty where this user may not, or it cannot be."""
    if version is None or version.state != ModelVersion.State.READY or not request.user.has_perm(PROMOTE.permission):
        return ""
    address = reverse("admin:registry_modelversion_act", args=[version.pk, PROMOTE.name])
    return format_html('<a class="pn-button pn-button-primary" href="{}">Promote v{}</a>', address, version.number)
