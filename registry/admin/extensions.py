"""The open lists by which upper apps put panels, columns and actions on the registry's pages; knows none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget


class ReasonForm(forms.Form):
    """What every change of state asks for."""

    reason = forms.CharField(
        min_length=3,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="Kept with the change. Say why, so that whoever reads the ledger later need not ask.",
        error_messages={
            "required": "Say why: the reason is kept with the change.",
            "min_length": "The reason is too short to tell anybody anything: write at least 3 characters.",
        },
    )


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a person confirmed: on which rows, why, when, and the further fields of the form."""

    targets: Sequence[Any]
    reason: str
    actor: str
    at: datetime
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came of it, in a sentence, and the page to go to."""

    sentence: str
    address: str = ""
    left: Sequence[str] = ()
    """Of many: what was left as it was, a sentence with the reason for each."""


def always(row: Any) -> bool:
    """Whether the button is shown: on the page of every row."""
    return True


@dataclass(frozen=True, kw_only=True)
class Action:
    """A change of state that asks for a reason on a page of its own; GET shows that page and changes nothing."""

    name: str
    """Part of the address."""
    title: str
    icon: str
    permission: str
    """Such as `training.trigger_trainingrun`; without it the page answers 403."""
    ask: Callable[[Sequence[Any]], str]
    """The sentence of the confirmation: names the model, and the version where there is one."""
    perform: Callable[[Order], Done]
    """Raises an error of registry.errors where it cannot be done; the page shows it."""
    variant: ActionVariant = ActionVariant.DEFAULT
    bulk: bool = False
    form: type[ReasonForm] = ReasonForm
    applies: Callable[[Any], bool] = always
    """Whether the button is shown on the page of this row."""
    preview: Callable[[Sequence[Any]], Mapping[str, Any]] | None = None
    """Returns `heads` and `rows` of a table that says what will come of each row."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A card on the page of a row. `build` returns what the template shows, or None to leave the card out; its
    `title` stands in for that of the panel.
    """

    title: str
    template: str
    build: Callable[[HttpRequest, Any], Mapping[str, Any] | None]
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the list of registered models; `values` answers for a whole page of rows in one query."""

    name: str
    title: str
    values: Callable[[Sequence[Any]], Mapping[Any, Any]]


FLEET_PANELS: list[Panel] = []
FLEET_ACTIONS: list[Action] = []
MODEL_PANELS: list[Panel] = []
MODEL_ACTIONS: list[Action] = []
MODEL_COLUMNS: list[Column] = []
VERSION_PANELS: list[Panel] = []
