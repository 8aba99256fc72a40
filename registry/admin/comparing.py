"""The page that sets two versions against each other, and the ways that lead to it. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from registry import comparison, display, errors, metrics
from registry.admin import base, charts
from registry.admin.extensions import Panel
from registry.comparison import Comparison, Dimension, Score
from registry.lifecycle import VersionUnknown
from registry.models import ModelVersion, RegisteredModel
from registry.rest_base import scope

MOST_BARS = 8
WORDS = {
    "recipe": "Recipe",
    "data": "Data and windows",
    "parameters": "Parameters",
    "features": "Features",
    "tags": "Tags",
    "libraries": "Library versions",
    "extra": "Further metadata",
}


class ReferenceMissing(errors.Invalid):
    """The page needs two versions."""

    code = "reference_missing"
    next_step = "Name two: a number, a label, an id, champion, challenger or latest."


@admin.action(description="Compare two versions", permissions=["view"])
def compare_selected(table: Any, request: HttpRequest, rows: Any) -> HttpResponse | None:
    """Lead two selected versions to their comparison, the older one first."""
    ids = [str(each) for each in rows.order_by("created_at", "id").values_list("pk", flat=True)[:3]]
    if len(ids) != 2:
        messages.error(request, "Select exactly two versions to compare.")
        return None
    return HttpResponseRedirect(address(first=ids[0], second=ids[1]))


def address(**parameters: object) -> str:
    """Return the address of the page for two references."""
    return f"{reverse('admin:registry_modelversion_compare')}?{urlencode(parameters)}"


def page(table: Any, request: HttpRequest) -> HttpResponse:
    """Show the comparison that the address asks for; a refusal is shown whole, beside the form."""
    if not table.has_view_permission(request):
        raise Http404("Nothing to compare.")
    model = _model(request)
    context = {**table.admin_site.each_context(request), "opts": table.opts, "form": _form(request.GET, model)}
    try:
        context |= _told(comparison.compare(*(_version(table, request, model, name) for name in ("first", "second"))))
    except errors.PerennialError as refusal:
        context |= {"title": "Compare two versions", "refusal": refusal}
        return TemplateResponse(request, "registry/admin/compare.html", context, status=refusal.status)
    return TemplateResponse(request, "registry/admin/compare.html", context)


def _model(request: HttpRequest) -> RegisteredModel | None:
    key = request.GET.get("model", "")
    if not key:
        return None
    rows = base.scoped(RegisteredModel.objects.select_related("fleet"), request, "fleet__tenant")
    found: RegisteredModel | None = rows.filter(pk=int(key)).first() if key.isdecimal() and len(key) < 19 else None
    if found is None:
        raise Http404("No registered model with this id.")
    return found


def _version(table: Any, request: HttpRequest, model: RegisteredModel | None, which: str) -> ModelVersion:
    reference = request.GET.get(which, "").strip()
    if not reference:
        raise ReferenceMissing(f"The {which} version is not named.")
    if model is not None:
        return _of(model, reference)
    found: ModelVersion | None = table.get_queryset(request).filter(pk=scope.identifier(reference)).first()
    if found is None:
        raise VersionUnknown(f"There is no version {reference}.", next_step="Choose it from the list of versions.")
    return found


def _of(model: RegisteredModel, reference: str) -> ModelVersion:
    try:
        return scope.version_of(model, reference)
    except VersionUnknown as error:
        told = f"Its versions go from 1 to {model.last_number}."
        raise VersionUnknown(error.sentence, next_step=told) from error


def _form(given: Mapping[str, str], model: RegisteredModel | None) -> dict[str, Any]:
    first, second = given.get("first", ""), given.get("second", "")
    swapped = {"first": second, "second": first} | ({"model": model.pk} if model else {})
    return {"first": first, "second": second, "model": model, "swapped": address(**swapped)}


def _told(found: Comparison) -> dict[str, Any]:
    names = _names(found)
    return {
        "title": f"Compare {found.first} with {names[1]}",
        "first": found.first,
        "second": found.second,
        "names": names,
        "heads": [display.link(each, name) for each, name in zip((found.first, found.second), names, strict=True)],
        "places": [_place(each) for each in (found.first, found.second)],
        "warnings": found.warnings,
        "scores": [_row(each, names) for each in found.metrics],
        "chart": _chart(found, names),
        "dimensions": [_card(each) for each in found.dimensions],
        "features_added": found.features_added,
        "features_removed": found.features_removed,
    }


def _names(found: Comparison) -> tuple[str, str]:
    both = (found.first, found.second)
    if found.first.registered_model_id == found.second.registered_model_id:
        return f"v{both[0].number}", f"v{both[1].number}"
    return str(both[0]), str(both[1])


def _place(version: ModelVersion) -> Any:
    placed = [name for name in version.pointers if name != "anchor"]
    return display.badge(placed[0] if placed else version.state)


def _row(score: Score, names: tuple[str, str]) -> dict[str, Any]:
    better = {"first": names[0], "second": names[1]}.get(score.winner, "")
    return {
        "score": score,
        "difference": f"{score.difference:+.4g}" if score.difference is not None else display.NOTHING,
        "relative": f"{score.relative:+.1%}" if score.relative is not None else display.NOTHING,
        "better": display.badge("passed", better) if better else score.winner,
    }


def _chart(found: Comparison, names: tuple[str, str]) -> charts.Chart | None:
    """Return by how much each metric is better in the second, as a share of the first; None where none differs."""
    gains = {each.name: -_sign(each) * 100 * each.relative for each in found.metrics if each.relative and _sign(each)}
    shown = dict(list(gains.items())[:MOST_BARS])
    if not shown:
        return None
    return charts.gains(
        labels=list(shown),
        values=list(shown.values()),
        names=(f"{names[1]} better", f"{names[0]} better"),
        description=f"By how many percent each metric is better or worse in {names[1]} than in {names[0]}",
    )


def _sign(score: Score) -> int:
    if score.direction is metrics.Direction.LOWER:
        return 1
    return -1 if score.direction is metrics.Direction.HIGHER else 0


def _card(dimension: Dimension) -> dict[str, Any]:
    rows = [
        {"name": each.name.replace("_", " "), "first": _shown(each.first), "second": _shown(each.second),
         "differs": each.differs}
        for each in dimension.pairs
    ]  # fmt: skip
    differing = [each for each in rows if each["differs"]]
    equal = [each for each in rows if not each["differs"]]
    return {"title": WORDS[dimension.name], "differing": differing, "equal": equal}


def _shown(value: object) -> Any:
    # Two digests differ in their first figures, or not at all.
    return display.code(f"{value[:12]}…") if isinstance(value, str) and len(value) == 64 else display.shown(value)


def _of_version(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    model = version.registered_model
    other = "champion" if model.champion_id and model.champion_id != version.pk else "latest"
    return {"action": address().rstrip("?"), "model": model, "first": other, "second": version.number, "fixed": True}


def _of_model(request: HttpRequest, model: RegisteredModel) -> dict[str, Any] | None:
    if model.last_number < 2:
        return None
    return {"action": address().rstrip("?"), "model": model, "first": "champion", "second": "latest"}


VERSION_PANEL = Panel(title="Compare", template="registry/admin/compare_form.html", build=_of_version, wide=True)
MODEL_PANEL = Panel(
    title="Compare two versions", template="registry/admin/compare_form.html", build=_of_model, wide=True
)
