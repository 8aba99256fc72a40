"""The pages of versions, immutable: scores, gate report, parameters, data, artifact and holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin import display as column
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path, reverse

from registry import comparison, display, holding, metrics
from registry.admin import (
    acting,
    base,
    comparing,
    extensions,
    filters,
    finding,
    forgetting,
    importance,
    placing,
    retention,
    searching,
)
from registry.admin.extensions import Action, Panel
from registry.admin.registered_models import metric, place_of
from registry.exchange import handover
from registry.lifecycle import admission
from registry.models import Event, ModelVersion


def identity(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return what this version is and on which data it was fitted."""
    model = version.registered_model
    return {
        "rows": [
            ("Model", display.link(model)),
            ("Place", place_of(model, version)),
            *_kept(version),
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
            ("Deleted from", retention.swept(version)),
            ("Tags", ", ".join(version.tags) or display.NOTHING),
            ("Note", version.note or display.NOTHING),
        ]
    }


def _kept(version: ModelVersion) -> list[tuple[str, Any]]:
    if not version.pointers:
        return []
    return [("Cannot be archived", f"it is the {' and the '.join(version.pointers)} of its model")]


def quarantine(request: HttpRequest, version: ModelVersion) -> dict[str, Any] | None:
    """Return why this version is quarantined, and the way out; no card where it is not."""
    if version.state != ModelVersion.State.QUARANTINED:
        return None
    known = admission.quarantine_of(version)
    if known is None:
        return {"sentence": "The ledger does not say why.", "next_step": ""}
    since = display.joined("Since", display.instant(known.since), f"by {known.actor}, cause {known.cause}")
    return {"sentence": known.reason, "next_step": known.next_step, "since": since}


def scores(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return each metric of the version beside that of seasonal naive on the same points."""
    card, known = version.scorecard, metrics.catalogue_of(version.registered_model.fleet.metric_settings)
    rows = [
        _score(name, value, card.baseline.get(name), card.reasons.get(name, ""), known)
        for name, value in sorted(card.metrics.items())
    ]
    completeness = "" if card.completeness is None else f", {card.completeness:.0%} of the expected stamps present"
    span = f" from {card.test_start} to {card.test_end}" if card.test_start else ""
    return {
        "rows": rows,
        "note": f"{card.points} points in {card.windows} windows{span}{completeness}, before any refit.",
    }


def _score(
    name: str, value: float | None, baseline: float | None, reason: str, known: Mapping[str, metrics.Metric]
) -> dict[str, Any]:
    change = better = display.NOTHING
    zero = name in known and known[name].direction is metrics.Direction.ZERO
    if value is not None and baseline and not zero:
        change = f"{100 * (value - baseline) / abs(baseline):+.1f} %"
    if value is not None and baseline is not None and name in known:
        better = _better(name, value, baseline, known)
    return {"name": name, "value": value, "baseline": baseline, "reason": reason, "change": change, "better": better}


def _better(name: str, value: float, baseline: float, known: Mapping[str, metrics.Metric]) -> str:
    if metrics.is_better(name, value, baseline, among=known):
        return "this version"
    return "naive" if metrics.is_better(name, baseline, value, among=known) else "neither"


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
            *_downloads(version),
        ],
        "note": "Digest and signature are checked on the very bytes that are loaded, each time.",
    }


def _downloads(version: ModelVersion) -> list[tuple[str, Any]]:
    if version.state in (ModelVersion.State.PENDING, ModelVersion.State.QUARANTINED, ModelVersion.State.DELETED):
        return []
    bundle = display.linked("Download bundle", reverse("version-bundle", args=[version.pk]))
    tables = [
        display.linked(f"{part}.csv", f"{reverse('version-predictions-csv', args=[version.pk])}?part={part}")
        for part in handover.PARTS
    ]
    return [("Bundle", bundle), ("Predictions, in full", display.joined(*tables))]


def holds(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    """Return who needs this version kept."""
    rows = [
        (
            display.link(each, each.holder),
            each.reason,
            display.instant(each.created_at),
            display.instant(each.until) if each.until else holding.OPEN,
        )
        for each in version.holds.order_by("pk")
    ]
    return {
        "heads": ("Placed by", "Reason", "Since", "Until"),
        "rows": rows,
        "empty": "Nobody holds it: retention may let it go.",
    }


OWN_PANELS = (
    Panel(title="Quarantined", template="registry/admin/refusal.html", build=quarantine, wide=True),
    Panel(title="Version", template="registry/admin/facts.html", build=identity),
    Panel(title="Scorecard", template="registry/admin/scorecard.html", build=scores),
    Panel(title="Gate report", template="registry/admin/gate_report.html", build=gate_report, wide=True),
)
LAST_PANELS = (
    comparing.VERSION_PANEL,
    Panel(title="Recipe", template="registry/admin/facts.html", build=recipe),
    Panel(title="Artifact", template="registry/admin/facts.html", build=artifact),
    importance.PANEL,
    Panel(title="Holds", template="registry/admin/table.html", build=holds),
)


@admin.register(ModelVersion)
class ModelVersionAdmin(finding.ByEntity, base.ScopedAdmin):
    """One trained result."""

    tenant_path = ""  # `get_queryset` asks more cleverly
    always_readonly = True
    actions = (comparing.compare_selected,)
    list_display = ("name", "place", "trainer", "mae", "relative", "rows", "created")
    list_filter = (
        searching.PrimaryFilter,
        searching.TagFilter,
        searching.StateFilter,
        searching.TrainerFilter,
        filters.FleetFilter,
    )
    list_filter_submit = True
    list_select_related = ("registered_model__fleet",)
    search_fields = ("label", "registered_model__entity_key")
    search_help_text = "Part of an entity, or the beginning of a label"
    ordering = ("-created_at", "-id")
    sortable_by = ("name", "created")  # by an index; by any other column all versions would be sorted
    hidden_details = ("scorecard", "params", "library_versions", "extra")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = searching.of_tenants(super().get_queryset(request), request)
        return rows.select_related("registered_model__fleet", "registered_model__champion")

    def searched(self, term: str, request: HttpRequest, rows: QuerySet[Any]) -> Q:
        return comparison.labelled(term) or super().searched(term, request, rows)

    def get_urls(self) -> list[URLPattern]:
        compare = self.admin_site.admin_view(partial(comparing.page, self))
        return [path("compare/", compare, name=self._route("compare")), *super().get_urls()]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "registered_model__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        return (*OWN_PANELS, *extensions.VERSION_PANELS, *LAST_PANELS)

    def get_page_actions(self) -> Iterable[Action]:
        return (placing.PROMOTE, *acting.VERSION_ACTIONS, forgetting.FORGET)

    @column(description="version", ordering="created_at")
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
