"""The pages of versions, immutable: scores, gate report, parameters, data and artifact. Holds are placed here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import display as column
from django.db.models import QuerySet
from django.http import HttpRequest

from registry import display, metrics
from registry.admin import base, extensions, filters, placing
from registry.admin.extensions import Action, Panel
from registry.admin.registered_models import metric, place_of
from registry.models import Event, Hold, ModelVersion


def identity(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return what this version is and on which data it was fitted."""
    model = version.registered_model
    return {
        "rows": [
            ("Model", display.link(model)),
            ("Place", place_of(model, version)),
            ("Label", display.code(version.label)),
            ("Id, also that of its run", display.code(version.pk)),
            ("Trainer", version.trainer),
            ("Data from", display.stamp(version.data_start)),
            ("Scored after fitting to", display.stamp(version.train_end)),
            (
                "Fitted to",
                display.joined(
                    display.stamp(version.fit_end), "refitted on all rows" if version.refitted else "not refitted"
                ),
            ),
            ("Rows", display.number(version.rows)),
            ("Registered", display.instant(version.created_at)),
            ("Note", version.note or display.NOTHING),
        ]
    }


def scores(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return each metric of the version beside that of seasonal naive on the same points."""
    card = version.scorecard
    rows = [
        _score(name, value, card.baseline.get(name), card.reasons.get(name, ""))
        for name, value in sorted(card.metrics.items())
    ]
    completeness = "" if card.completeness is None else f", {card.completeness:.0%} of the expected stamps present"
    span = f" from {card.test_start} to {card.test_end}" if card.test_start else ""
    return {
        "rows": rows,
        "note": f"{card.points} points in {card.windows} windows{span}{completeness}, before any refit.",
    }


def _score(name: str, value: float | None, baseline: float | None, reason: str) -> dict[str, Any]:
    change = display.NOTHING
    if value is not None and baseline and _has_scale(name):
        change = f"{100 * (value - baseline) / abs(baseline):+.1f} %"
    better = display.NOTHING
    if value is not None and baseline is not None and name in metrics.BUILT_IN:
        better = (
            "this version" if metrics.is_better(name, value, baseline) else "neither" if value == baseline else "naive"
        )
    return {"name": name, "value": value, "baseline": baseline, "reason": reason, "change": change, "better": better}


def _has_scale(name: str) -> bool:
    return name not in metrics.BUILT_IN or metrics.direction(name) is not metrics.Direction.ZERO


def gate_report(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return the newest gate report of the ledger about this version."""
    events = Event.objects.filter(
        registered_model=version.registered_model_id, to_version=version, report__isnull=False
    )
    event = events.order_by("-count").first()
    return {"report": event.report if event else None, "empty": "The ledger has no gate report about this version."}


def recipe(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return how it was made, enough to make it again."""
    return {
        "rows": [
            ("Parameters", display.shown(version.params)),
            ("Features", display.shown(list(version.features))),
            ("Seed", display.code(version.seed)),
            ("Snapshot", display.code(version.snapshot_digest)),
            ("Libraries", display.shown(version.library_versions)),
            ("Extra", display.shown(version.extra)),
        ]
    }


def artifact(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return where the bytes are known from."""
    return {
        "rows": [
            ("SHA-256", display.code(version.artifact_digest)),
            ("Size", display.size(version.artifact_size)),
            ("Format", version.artifact_format),
            ("Signed with key", display.code(version.artifact_key_id)),
        ],
        "note": "Digest and signature are checked on the very bytes that are loaded, each time.",
    }


def holds(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return who needs this version kept."""
    rows = [
        (each.get_placed_by_display(), each.reason, display.instant(each.until))
        for each in version.holds.order_by("pk")
    ]
    return {
        "heads": ("Placed by", "Reason", "Until"),
        "rows": rows,
        "empty": "Nobody holds it: retention may let it go.",
    }


OWN_PANELS = (
    Panel(title="Version", template="registry/admin/facts.html", build=identity),
    Panel(title="Scorecard", template="registry/admin/scorecard.html", build=scores),
    Panel(title="Gate report", template="registry/admin/gate_report.html", build=gate_report, wide=True),
)
LAST_PANELS = (
    Panel(title="Recipe", template="registry/admin/facts.html", build=recipe),
    Panel(title="Artifact", template="registry/admin/facts.html", build=artifact),
    Panel(title="Holds", template="registry/admin/table.html", build=holds),
)


@admin.register(ModelVersion)
class ModelVersionAdmin(base.ScopedAdmin):
    """One trained result."""

    tenant_path = "registered_model__fleet__tenant"
    always_readonly = True
    list_display = ("name", "place", "trainer", "mae", "relative", "rows", "created")
    list_filter = (filters.fleet_through("registered_model__fleet"), "state", "trainer")
    list_select_related = ("registered_model__fleet",)
    search_fields = ("label", "registered_model__entity_key")
    ordering = ("-id",)
    hidden_details = ("scorecard", "params", "library_versions", "extra")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("registered_model__fleet", "registered_model__champion")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "registered_model__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        return (*OWN_PANELS, *extensions.VERSION_PANELS, *LAST_PANELS)

    def get_page_actions(self) -> Iterable[Action]:
        return (placing.PROMOTE,)

    @column(description="version", ordering="id")
    def name(self, version: ModelVersion) -> Any:
        return f"{version.registered_model} v{version.number}"

    @column(description="place")
    def place(self, version: ModelVersion) -> Any:
        return place_of(version.registered_model, version)

    @column(description="MAE")
    def mae(self, version: ModelVersion) -> Any:
        return display.number(metric(version, "mae"))

    @column(description="relative MAE")
    def relative(self, version: ModelVersion) -> Any:
        return display.number(metric(version, "relative_mae"))

    @column(description="registered", ordering="created_at")
    def created(self, version: ModelVersion) -> Any:
        return display.instant(version.created_at)


@admin.register(Hold)
class HoldAdmin(base.ScopedAdmin):
    """A reason to keep a version; one placed here is placed by a user."""

    tenant_path = "version__registered_model__fleet__tenant"
    list_display = ("version", "placed_by", "reason", "until", "created_at")
    list_filter = ("placed_by",)
    list_select_related = ("version__registered_model__fleet",)
    search_fields = ("reason", "version__label", "version__registered_model__entity_key")
    fields = ("version", "reason", "until")
    fixed_fields = ("version",)
    autocomplete_fields = ("version",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.placed_by = Hold.PlacedBy.USER
        super().save_model(request, obj, form, change)
