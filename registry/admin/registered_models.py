"""The pages of registered models: what serves, how its error went over the versions, and who moved the pointer when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin import display as column
from django.db.models import QuerySet
from django.http import HttpRequest

from registry import display, history, timestamps
from registry.admin import acting, base, charts, comparing, extensions, filters, pausing, placing
from registry.admin.extensions import Action, Column, Panel
from registry.models import Event, ModelVersion, RegisteredModel

SHOWN_VERSIONS = 40
SHOWN_EVENTS = 12
State = ModelVersion.State
# Outlines in the chart: hidden, distrusted, or given up; what is pending may still become ready.
NOT_FOR_USE = (State.ARCHIVED, State.QUARANTINED, State.DELETED)


def champion_card(request: HttpRequest, model: RegisteredModel) -> dict[str, Any]:
    """Return what serves now and how good it was at its gate."""
    champion, waiting = model.champion, _waiting(request, model)
    title = f"Champion of {model}"
    if champion is None:
        next_step = "" if waiting else placing.first_step(model)
        return {"title": title, "champion": None, "waiting": waiting, "next_step": next_step}
    move = (
        Event.objects.filter(registered_model=model, to_version=champion, kind__in=history.CHAMPION_KINDS)
        .order_by("-count")
        .first()
    )
    return {
        "title": title,
        "champion": champion,
        "unit": model.fleet.unit,
        "mae": metric(champion, "mae"),
        "relative": metric(champion, "relative_mae"),
        "serving_for": display.span(timestamps.utc_now() - (move.at if move else champion.created_at)),
        "rows": [
            ("Version", _named(champion)),
            ("Trainer", champion.trainer),
            (
                "Promoted",
                display.joined(display.instant(move.at), f"by {move.actor}, cause {move.cause}")
                if move
                else display.NOTHING,
            ),
            ("Fitted on data to", display.stamp(champion.fit_end)),
            ("Challenger", waiting or "none"),
            ("State of the model", display.badge(model.state)),
        ],
    }


def _named(champion: ModelVersion) -> Any:
    named = display.link(champion, f"v{champion.number} · {champion.label}")
    if champion.state == ModelVersion.State.READY:
        return named
    return display.joined(
        named, display.badge(champion.state), "the last good one before it answers; its page says why"
    )


def _waiting(request: HttpRequest, model: RegisteredModel) -> Any:
    challenger = model.challenger
    if challenger is None:
        return ""
    named = display.link(challenger, f"v{challenger.number} waits")
    return display.joined(display.badge("challenger"), named, placing.offer(request, challenger))


def metric(version: ModelVersion, name: str) -> float | None:
    """Return one metric of a version's scorecard; None where it has none."""
    return version.scorecard.metrics.get(name)


def error_chart(request: HttpRequest, model: RegisteredModel) -> dict[str, Any]:
    """Return the MAE of the newest versions against that of seasonal naive, with promotions starred."""
    versions = list(model.versions.order_by("-number").defer("params", "library_versions", "extra")[:SHOWN_VERSIONS])[
        ::-1
    ]
    if not versions:
        first = "the first retraining makes one" if placing.can_be_retrained(model) else placing.ELSEWHERE
        return {"empty": f"No version yet: {first}."}
    promoted = set(
        Event.objects.filter(
            registered_model=model, kind__in=history.CHAMPION_KINDS, to_version__in=versions
        ).values_list("to_version", flat=True)
    )
    errors = [metric(version, "mae") for version in versions]
    floor = [version.scorecard.baseline.get("mae") for version in versions]
    texts = [
        f"v{each.number} ({each.trainer}){_standing(each)}: MAE {display.number(metric(each, 'mae'))}"
        for each in versions
    ]
    chart = charts.lines(
        labels=[f"v{version.number}" for version in versions],
        description=f"MAE of the versions of {model}",
        series=[
            charts.Series(name="seasonal naive on the same windows", values=floor, style="dashed", marked=False),
            charts.Series(
                name="MAE on the test windows",
                values=errors,
                texts=texts,
                stars=frozenset(place for place, version in enumerate(versions) if version.pk in promoted),
                hollow=frozenset(place for place, version in enumerate(versions) if version.state in NOT_FOR_USE),
                hollow_name=f"not for use: {_in_words(versions)}",
            ),
        ],
    )
    return {
        "chart": chart,
        "note": "★ became champion. Each version was scored on its own windows.",
        **_versions_table(model, versions[::-1], promoted),
    }


def _standing(version: ModelVersion) -> str:
    return f", {version.state}" if version.state in NOT_FOR_USE else ""


def _in_words(versions: Sequence[ModelVersion]) -> str:
    there = {version.state for version in versions}
    return ", ".join(state for state in NOT_FOR_USE if state in there)


def _versions_table(model: RegisteredModel, versions: Sequence[ModelVersion], promoted: set[Any]) -> dict[str, Any]:
    rows = [
        (
            display.link(each, f"v{each.number}"),
            place_of(model, each),
            each.trainer,
            display.number(metric(each, "mae")),
            display.number(metric(each, "relative_mae")),
            display.instant(each.created_at),
        )
        for each in versions
    ]
    more = display.listing(ModelVersion, registered_model__id__exact=model.pk)
    return {
        "heads": ("Version", "Place", "Trainer", "MAE", "Relative MAE", "Registered"),
        "rows": rows,
        "more": more,
        "more_text": "All versions",
    }


def place_of(model: RegisteredModel, version: ModelVersion) -> Any:
    """Return the badge of the place that a version holds: champion, challenger, or its state."""
    if version.pk == model.champion_id:
        return display.badge("champion")
    return display.badge("challenger" if version.pk == model.challenger_id else version.state)


def ledger(request: HttpRequest, model: RegisteredModel) -> dict[str, Any]:
    """Return the newest lines of the model's ledger."""
    events = (
        Event.objects.filter(registered_model=model).select_related("from_version", "to_version").order_by("-count")
    )
    rows = [
        (
            display.instant(each.at),
            display.link(each, each.kind),
            moved(each),
            each.actor,
            each.cause,
            each.reason or display.NOTHING,
        )
        for each in events[:SHOWN_EVENTS]
    ]
    more = display.listing(Event, registered_model__id__exact=model.pk)
    return {
        "heads": ("At", "Event", "Versions", "Who", "Cause", "Reason"),
        "rows": rows,
        "more": more,
        "more_text": f"All {model.ledger_count} lines",
    }


def moved(event: Event) -> Any:
    """Return from which version to which an event went."""
    if event.from_version is None and event.to_version is not None and event.kind not in history.CHAMPION_KINDS:
        return f"v{event.to_version.number}"
    before = f"v{event.from_version.number}" if event.from_version else "none"
    after = f"v{event.to_version.number}" if event.to_version else "none"
    return display.unbroken(f"{before} → {after}") if event.from_version or event.to_version else display.NOTHING


OWN_PANELS = (
    Panel(title="Champion", template="registry/admin/champion.html", build=champion_card),
    Panel(title="Error over the versions", template="registry/admin/chart_panel.html", build=error_chart),
)
LEDGER = Panel(title="Ledger", template="registry/admin/table.html", build=ledger, wide=True)


@admin.register(RegisteredModel)
class RegisteredModelAdmin(base.ScopedAdmin):
    """One entity of one fleet."""

    fixed_fields = ("fleet", "entity_key", "state", "champion", "challenger", "anchor")
    list_display = (
        "entity_key",
        "fleet_link",
        "state_badge",
        "champion_link",
        "champion_mae",
        "champion_relative",
        "challenger_link",
    )
    list_filter = (filters.FleetFilter, filters.PlacedFilter, "state")
    list_select_related = ("fleet", "champion", "challenger")
    search_fields = ("entity_key",)
    search_help_text = "Part of an entity"
    sortable_by = ("entity_key",)
    ordering = ("fleet_id", "entity_key")  # as an index has them; by the fleet's name all models would be sorted
    autocomplete_fields = ("fleet",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("fleet", "entity_key", "tags")}),)
        return (("Settings", {"fields": ("tags",)}),) if self.has_change_permission(request, obj) else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("fleet", "champion", "challenger")

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        return (*OWN_PANELS, comparing.MODEL_PANEL, *extensions.MODEL_PANELS, LEDGER)

    def get_page_actions(self) -> Iterable[Action]:
        return (*extensions.MODEL_ACTIONS, placing.ROLL_BACK, *pausing.MODEL_ACTIONS, *acting.MODEL_ACTIONS)

    def get_extra_columns(self) -> Iterable[Column]:
        return extensions.MODEL_COLUMNS

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # what once existed is retired, so that its ledger stays

    @column(description="fleet")
    def fleet_link(self, model: RegisteredModel) -> Any:
        return display.link(model.fleet)

    @column(description="state")
    def state_badge(self, model: RegisteredModel) -> Any:
        return display.badge("paused" if model.fleet.paused else model.state)

    @column(description="champion")
    def champion_link(self, model: RegisteredModel) -> Any:
        return (
            display.link(model.champion, f"v{model.champion.number}")
            if model.champion
            else display.badge("new", "no champion")
        )

    @column(description="MAE")
    def champion_mae(self, model: RegisteredModel) -> Any:
        return display.number(metric(model.champion, "mae")) if model.champion else display.NOTHING

    @column(description="relative MAE")
    def champion_relative(self, model: RegisteredModel) -> Any:
        return display.number(metric(model.champion, "relative_mae")) if model.champion else display.NOTHING

    @column(description="challenger")
    def challenger_link(self, model: RegisteredModel) -> Any:
        return display.link(model.challenger, f"v{model.challenger.number}") if model.challenger else display.NOTHING
