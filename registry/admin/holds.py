"""The pages of holds: placed by a form, lifted by an action that asks why. Refuses to change one that is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display as column
from django.http import HttpRequest
from unfold.enums import ActionVariant

from registry import display, holding, timestamps
from registry.admin import base, finding
from registry.admin.extensions import Action, Done, Order, Panel
from registry.models import Hold, ModelVersion

if TYPE_CHECKING:
    _Form = forms.ModelForm[Hold]
else:
    _Form = forms.ModelForm


class HoldForm(_Form):
    """What a person says about a hold."""

    class Meta:
        model = Hold
        fields = ["version", "reason", "until"]

    def clean(self) -> dict[str, Any]:
        """Refuse what would keep nothing. Raises ValidationError."""
        given = super().clean() or {}
        version, until = given.get("version"), given.get("until")
        if until is not None and until <= timestamps.utc_now():
            self.add_error("until", "This time is over: give one to come, or none.")
        if version is not None and version.state == ModelVersion.State.DELETED:
            self.add_error("version", "This version is deleted: nothing is left to be kept.")
        return given


def _ask(holds: Sequence[Any]) -> str:
    names = ", ".join(f"{hold.version} ({hold.holder}: {hold.reason})" for hold in holds[:5])
    return f"Lift the hold on {names}{' and more' if len(holds) > 5 else ''}? Retention may then let the version go."


def _lift(order: Order) -> Done:
    lifted = holding.lift([hold.pk for hold in order.targets], actor=order.actor, reason=order.reason, at=order.at)
    return Done(sentence=f"Lifted: {lifted}.", address=display.listing(Hold))


LIFT = Action(
    name="lift",
    title="Lift",
    icon="lock_open",
    permission="registry.delete_hold",
    variant=ActionVariant.WARNING,
    ask=_ask,
    perform=_lift,
    bulk=True,
)


def card(request: HttpRequest, hold: Hold) -> dict[str, Any]:
    """Return what is held, by whom, why and until when."""
    return {
        "rows": [
            ("Version", display.link(hold.version)),
            ("Placed by", hold.holder),
            ("Reason", hold.reason),
            ("Since", display.instant(hold.created_at)),
            ("Until", display.instant(hold.until) if hold.until else holding.OPEN),
        ]
    }


@admin.register(Hold)
class HoldAdmin(finding.ByEntity, base.ScopedAdmin):
    """A reason to keep a version; one placed here is placed by a user."""

    tenant_path = "version__registered_model__fleet__tenant"
    form = HoldForm
    list_display = ("version", "who", "reason", "ends", "placed")
    list_filter = ("placed_by",)
    list_select_related = ("version__registered_model__fleet",)
    search_fields = ("reason", "version__registered_model__entity_key")
    search_help_text = f"{finding.WHERE}; of the newest {finding.NEWEST:,} holds also the reason"
    entity_path = "version__registered_model"
    searched_newest = ("reason",)
    ordering = ("-id",)
    sortable_by = ("placed",)
    fields = ("version", "reason", "until")
    autocomplete_fields = ("version",)
    panels = (Panel(title="Hold", template="registry/admin/facts.html", build=card),)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a hold for another reason, or until another time, is another hold

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # lifting asks why

    def get_page_actions(self) -> Iterable[Action]:
        return (LIFT,)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        done = holding.place(
            [obj.version_id],
            placed_by=Hold.PlacedBy.USER,
            reason=obj.reason,
            until=obj.until,
            actor=request.user.get_username(),
            at=timestamps.utc_now(),
        )
        for error in done.refused.values():
            raise error
        obj.pk = done.holds[0].pk

    @column(description="placed by")
    def who(self, hold: Hold) -> str:
        return hold.holder

    @column(description="until")
    def ends(self, hold: Hold) -> Any:
        return display.instant(hold.until) if hold.until else holding.OPEN

    @column(description="since", ordering="id")
    def placed(self, hold: Hold) -> Any:
        return display.instant(hold.created_at)
