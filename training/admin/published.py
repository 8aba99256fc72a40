"""The card of what a model's champion published; where nothing is, why not, and what a program loads instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html

from registry import display, timestamps
from registry.admin import charts
from registry.models import Fleet, RegisteredModel
from training import publishing
from training.admin import retrain


def card(request: HttpRequest, model: RegisteredModel) -> dict[str, Any]:
    """Return the published forecast of the champion, as chart and table; without one, why, and what to do instead."""
    found = publishing.published(model)
    if found is None:
        return _unpublished(model)
    daily = all(each.hour == each.minute == 0 for each in found.time)
    labels = [f"{each:%d %b}" if daily else f"{each:%d %b %H:%M}" for each in found.time]
    ends = list(zip(found.lower, found.upper, strict=True))
    texts = [
        f"{label}: {display.number(value)}{_between(*end)}"
        for label, value, end in zip(labels, found.yhat, ends, strict=True)
    ]
    chart = charts.lines(
        labels=labels,
        band=_band(ends),
        description=f"Published forecast of {model}",
        wide=True,
        series=[
            charts.Series(
                name=f"forecast{f', {model.fleet.unit}' if model.fleet.unit else ''}", values=found.yhat, texts=texts
            )
        ],
    )
    age = display.span(timestamps.utc_now() - found.published_at)
    rows = [
        (label, display.number(value), _between(*end))
        for label, value, end in zip(labels, found.yhat, ends, strict=True)
    ]
    return {
        "chart": chart,
        "heads": ("For", "Forecast", "Interval"),
        "rows": rows,
        "note": display.joined(
            f"By v{found.version.number}, knowing data to",
            display.stamp(found.cutoff),
            f"· published {age} ago",
            "· the band is the forecast's interval" if _band(ends) else "· this trainer gives no interval",
        ),
    }


def _unpublished(model: RegisteredModel) -> dict[str, Any]:
    """Return why nothing is published, and where predictions come from instead."""
    if model.fleet.kind == Fleet.Kind.REGRESSION:
        told = "Nothing is published for a regression: a prediction needs the features of its row."
        return {"title": "Predictions", "empty": display.joined(told, _loaded(model))}
    if not retrain.is_governed(model.fleet):
        told = "No forecast is published: a retraining does that, and nothing here retrains this model."
        return {"empty": display.joined(told, _loaded(model))}
    return {"empty": "No forecast is published yet: a retraining publishes that of the champion that it leaves."}


def _loaded(model: RegisteredModel) -> Any:
    """Return what a program loads to predict by itself; empty while nothing serves."""
    if model.champion is None:
        return ""
    page = display.link(model.champion, f"the bundle of v{model.champion.number}")
    export = ", or the folder of its export" if model.fleet.export.enabled else ""
    return display.joined("To predict, load", format_html("{}{}.", page, export))


def _band(ends: Sequence[tuple[float | None, float | None]]) -> tuple[list[float], list[float]] | None:
    lower, upper = ([value for value in side if value is not None] for side in zip(*ends, strict=True))
    return (lower, upper) if len(lower) == len(upper) == len(ends) else None


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({display.number(low)} to {display.number(high)})"
