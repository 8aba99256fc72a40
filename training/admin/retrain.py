"""Asking for retraining from the pages of fleets, models and policies; each asks why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from django import forms
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from registry import display, errors
from registry.admin import choosing
from registry.admin.extensions import Action, Done, Order, ReasonForm
from registry.admin.pausing import named
from registry.models import Fleet, RegisteredModel
from training import conf, policies, runs, workers
from training.models import Batch, RetrainingPolicy
from training.policy_terms import Reason

PERMISSION = "training.trigger_trainingrun"


UNGOVERNED = "To retrain here, add [source] and [policy.NAME] to its fleet file and apply it."


def is_governed(fleet: Fleet) -> bool:
    """Whether anything says how models of a fleet are trained."""
    return bool(policies.governed([fleet.pk]))


def wanting(fleet: Fleet) -> str:
    """Return why nothing here retrains a fleet, and what to do about it; empty where something does."""
    if is_governed(fleet):
        return ""
    if RetrainingPolicy.objects.filter(fleet=fleet).exists():
        return "No policy of this fleet is enabled, so nothing retrains its models. Enable one."
    return f"This fleet has no policy, so nothing here retrains its models: versions come from elsewhere. {UNGOVERNED}"


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


def _left_out(fleets: Iterable[Fleet]) -> str:
    """Return which fleets nothing retrains, and what to do about it; empty where all are governed."""
    asked = list({each.pk: each for each in fleets}.values())
    governed = policies.governed([each.pk for each in asked])
    missing = [each for each in asked if each.pk not in governed]
    return f" Left out, for want of an enabled policy: {named(missing)}." if missing else ""


def _fleets_of(models: Sequence[Any]) -> Iterable[Fleet]:
    chosen = RegisteredModel.objects.filter(pk__in=choosing.keys_of(models))
    return Fleet.objects.filter(pk__in=chosen.values("fleet"))


def _ask_models(models: Sequence[Any]) -> str:
    queue = "interactive" if len(models) == 1 else "training"
    serving = ""
    if len(models) == 1:
        champion = models[0].champion
        serving = f", whose champion is v{champion.number}" if champion else ", which has no champion yet"
    then = "A better candidate is promoted through the gate, as the policy says."
    return f"Retrain {named(models)}{serving} now. {then}{_no_worker(queue)}{_left_out(_fleets_of(models))}"


def _ask_fleets(fleets: Sequence[Any]) -> str:
    new = "Entities that are new in the source are registered."
    return f"Retrain every model of {named(fleets)} now. {new}{_no_worker('training')}{_left_out(fleets)}"


def _retrain_models(order: Order) -> Done:
    groups: dict[int, list[RegisteredModel]] = defaultdict(list)
    for model in order.targets:
        groups[model.fleet_id].append(model)
    queue = "interactive" if len(order.targets) == 1 else "training"

    def ask(models: list[RegisteredModel]) -> Batch:
        return _request(order, models[0].fleet, [each.entity_key for each in models], queue)

    return _each(order, list(groups.values()), ask)


def _retrain_fleets(order: Order) -> Done:
    return _each(order, [[fleet] for fleet in order.targets], lambda rows: _request(order, rows[0], None, "training"))


def _each(order: Order, groups: Sequence[list[Any]], ask: Callable[[list[Any]], Batch]) -> Done:
    """Ask for each group of rows; one that cannot be retrained holds up no other. Raises where that is each of them."""
    batches: list[Batch] = []
    asked: list[Any] = []
    refused: list[errors.PerennialError] = []
    for rows in groups:
        try:
            batches.append(ask(rows))
            asked.extend(rows)
        except errors.PerennialError as error:
            refused.append(error)
    if not batches:
        raise refused[0]
    return replace(_done(asked, batches), left=tuple(str(each) for each in refused))


def _request(order: Order, fleet: Fleet, entities: list[str] | None, queue: str) -> Batch:
    reason = Reason(trigger="manual", sentence=order.reason, actor=order.actor)
    return runs.request(
        fleet=fleet, entities=entities, reason=reason, at=order.at, queue=queue, look_back_days=order.fields.get("days")
    )


def _done(asked: Sequence[Any], batches: Sequence[Batch]) -> Done:
    if len(batches) > 1:
        return Done(sentence=f"Asked for: {len(batches)} batches.", address=display.listing(Batch))
    only = list(batches[0].runs.all()[:2])
    page = only[0] if len(asked) == len(only) == 1 and isinstance(asked[0], RegisteredModel) else batches[0]
    return Done(sentence=f"Asked for: {named(asked)}. This page follows it.", address=display.address(page))


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
    applies=lambda model: model.state != RegisteredModel.State.RETIRED and is_governed(model.fleet),
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
    applies=is_governed,
)
