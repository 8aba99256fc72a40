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


def asking(verb: str, consequence: str) -> Callable[[Sequence[Any]], str]:
    """Return the question of an action: what is done to which rows, and what comes of it."""
    return lambda rows: f"{verb} {named(rows)}? {consequence}"


def _switched(switch: Callable[..., int], kind: Any, *, paused: bool) -> Callable[[Order], Done]:
    def carry_out(order: Order) -> Done:
        changed = switch(order.targets, paused=paused, actor=order.actor, reason=order.reason, at=order.at)
        address = display.address(order.targets[0]) if len(order.targets) == 1 else display.listing(kind)
        unchanged = len(order.targets) - changed
        rest = f" {unchanged} left as they were." if unchanged else ""
        return Done(sentence=f"{'Paused' if paused else 'Resumed'}: {changed}.{rest}", address=address)

    return carry_out


def _pair(
    switch: Callable[..., int],
    kind: Any,
    *,
    paused: str,
    resumed: str,
    is_on: Callable[[Any], bool],
    is_off: Callable[[Any], bool],
    **look: Any,
) -> tuple[Action, Action]:
    """Return the two actions of a switch; `paused` and `resumed` say what comes of each."""
    return (
        Action(
            name="pause", title="Pause", icon="pause_circle", permission=PERMISSION, bulk=True,
            ask=asking("Pause", paused), perform=_switched(switch, kind, paused=True), applies=is_on, **look,
        ),
        Action(
            name="resume", title="Resume", icon="play_circle", permission=PERMISSION, bulk=True,
            ask=asking("Resume", resumed), perform=_switched(switch, kind, paused=False), applies=is_off,
        ),
    )  # fmt: skip


FLEET_ACTIONS = _pair(
    switches.set_fleets,
    Fleet,
    paused="No policy of it fires and no run of it starts until it is resumed; its champions go on serving.",
    resumed="Its policies fire again from their next slots on.",
    is_on=lambda fleet: not fleet.paused,
    is_off=lambda fleet: fleet.paused,
    variant=ActionVariant.WARNING,
)
MODEL_ACTIONS = _pair(
    switches.set_models,
    RegisteredModel,
    paused="It is left out of every batch until it is resumed; its champion goes on serving.",
    resumed="The next batch of its policy takes it up again.",
    is_on=lambda model: model.state == RegisteredModel.State.ACTIVE,
    is_off=lambda model: model.state == RegisteredModel.State.PAUSED,
)
