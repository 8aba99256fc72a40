"""Asking for retraining from the pages of fleets, models and policies; each asks why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django import forms
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from registry import display
from registry.admin.extensions import Action, Done, Order, ReasonForm
from registry.admin.pausing import named
from registry.models import Fleet, RegisteredModel
from training import conf, runs, workers
from training.models import Batch
from training.policy_terms import Reason

PERMISSION = "training.trigger_trainingrun"


class RetrainForm(ReasonForm):
    """How far back to look; empty means as the policy says."""

    days = forms.IntegerField(
        required=False,
        label="Look-back days",
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Days before the newest observation. Empty: as the policy says.",
    )
    field_order = ("days", "reason")

    def clean_days(self) -> int | None:
        days: int | None = self.cleaned_data["days"]
        limits = conf.current()
        if days is not None and not limits.look_back_days_min <= days <= limits.look_back_days_max:
            raise forms.ValidationError(
                f"From {limits.look_back_days_min} to {limits.look_back_days_max} days, not {days}."
            )
        return days


def _no_worker(queue: str) -> str:
    served = workers.serving(queue)
    return "" if served else f" No live worker serves the queue {queue}: the run waits until one starts."


def _ask_models(models: Sequence[Any]) -> str:
    queue = "interactive" if len(models) == 1 else "training"
    serving = ""
    if len(models) == 1:
        champion = models[0].champion
        serving = f", whose champion is v{champion.number}" if champion else ", which has no champion yet"
    then = "A better candidate is promoted through the gate, as the policy says."
    return f"Retrain {named(models)}{serving} now. {then}{_no_worker(queue)}"


def _ask_fleets(fleets: Sequence[Any]) -> str:
    new = "Entities that are new in the source are registered."
    return f"Retrain every model of {named(fleets)} now. {new}{_no_worker('training')}"


def _retrain_models(order: Order) -> Done:
    groups: dict[int, list[RegisteredModel]] = defaultdict(list)
    for model in order.targets:
        groups[model.fleet_id].append(model)
    queue = "interactive" if len(order.targets) == 1 else "training"
    batches = [
        _request(order, models[0].fleet, [each.entity_key for each in models], queue) for models in groups.values()
    ]
    return _done(order, batches)


def _retrain_fleets(order: Order) -> Done:
    return _done(order, [_request(order, fleet, None, "training") for fleet in order.targets])


def _request(order: Order, fleet: Fleet, entities: list[str] | None, queue: str) -> Batch:
    reason = Reason(trigger="manual", sentence=order.reason, actor=order.actor)
    return runs.request(
        fleet=fleet, entities=entities, reason=reason, at=order.at, queue=queue, look_back_days=order.fields.get("days")
    )


def _done(order: Order, batches: Sequence[Batch]) -> Done:
    if len(batches) > 1:
        return Done(sentence=f"Asked for: {len(batches)} batches.", address=display.listing(Batch))
    only = list(batches[0].runs.all()[:2])
    page = (
        only[0]
        if len(order.targets) == len(only) == 1 and isinstance(order.targets[0], RegisteredModel)
        else batches[0]
    )
    return Done(sentence=f"Asked for: {named(order.targets)}. This page follows it.", address=display.address(page))


RETRAIN_MODEL = Action(
    name="retrain",
    title="Retrain now",
    icon="autorenew",
    permission=PERMISSION,
    variant=ActionVariant.PRIMARY,
    bulk=True,
    ask=_ask_models,
    perform=_retrain_models,
    form=RetrainForm,
    applies=lambda model: model.state != RegisteredModel.State.RETIRED,
)
RETRAIN_FLEET = Action(
    name="retrain",
    title="Retrain now",
    icon="autorenew",
    permission=PERMISSION,
    variant=ActionVariant.PRIMARY,
    bulk=True,
    ask=_ask_fleets,
    perform=_retrain_fleets,
    form=RetrainForm,
)
