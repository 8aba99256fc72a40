"""Pausing and resuming fleets and models from their pages and lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unfold.enums import ActionVariant

from registry import display, switches
from registry.admin.extensions import Action, Done, Order
from registry.models import Fleet, RegisteredModel

PERMISSION = "registry.pause_fleet"


def named(rows: Sequence[Any], *, most: int = 5) -> str:
    """Return rows by name, at most `most` of them."""
    rest = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(str(row) for row in rows[:most]) + rest


def _ask(verb: str, consequence: str) -> Callable[[Sequence[Any]], str]:
    return lambda rows: f"{verb} {named(rows)}? {consequence}"


def _fleets(*, paused: bool) -> Callable[[Order], Done]:
    def carry_out(order: Order) -> Done:
        changed = switches.set_fleets(order.targets, paused=paused, actor=order.actor, reason=order.reason, at=order.at)
        return _done(order, Fleet, changed, paused)

    return carry_out


def _models(*, paused: bool) -> Callable[[Order], Done]:
    def carry_out(order: Order) -> Done:
        changed = switches.set_models(order.targets, paused=paused, actor=order.actor, reason=order.reason, at=order.at)
        return _done(order, RegisteredModel, changed, paused)

    return carry_out


def _done(order: Order, kind: Any, changed: int, paused: bool) -> Done:
    address = display.address(order.targets[0]) if len(order.targets) == 1 else display.listing(kind)
    unchanged = len(order.targets) - changed
    rest = f" {unchanged} left as they were." if unchanged else ""
    return Done(sentence=f"{'Paused' if paused else 'Resumed'}: {changed}.{rest}", address=address)


FLEET_ACTIONS = (
    Action(
        name="pause",
        title="Pause",
        icon="pause_circle",
        permission=PERMISSION,
        bulk=True,
        variant=ActionVariant.WARNING,
        ask=_ask(
            "Pause", "No policy of it fires and no run of it starts until it is resumed; its champions go on serving."
        ),
        perform=_fleets(paused=True),
        applies=lambda fleet: not fleet.paused,
    ),
    Action(
        name="resume",
        title="Resume",
        icon="play_circle",
        permission=PERMISSION,
        bulk=True,
        ask=_ask("Resume", "Its policies fire again from their next slots on."),
        perform=_fleets(paused=False),
        applies=lambda fleet: fleet.paused,
    ),
)
MODEL_ACTIONS = (
    Action(
        name="pause",
        title="Pause",
        icon="pause_circle",
        permission=PERMISSION,
        bulk=True,
        ask=_ask("Pause", "It is left out of every batch until it is resumed; its champion goes on serving."),
        perform=_models(paused=True),
        applies=lambda model: model.state == RegisteredModel.State.ACTIVE,
    ),
    Action(
        name="resume",
        title="Resume",
        icon="play_circle",
        permission=PERMISSION,
        bulk=True,
        ask=_ask("Resume", "The next batch of its policy takes it up again."),
        perform=_models(paused=False),
        applies=lambda model: model.state == RegisteredModel.State.PAUSED,
    ),
)
