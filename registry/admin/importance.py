"""The card of a version's feature importance, read out of its verified bytes when the page is opened.

Refuses to read what is larger than a page waits for, and to ask a store that the last look found in trouble.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from registry import display, errors, ownership, timestamps
from registry.admin.extensions import Panel
from registry.exchange import handover
from registry.models import ModelVersion
from registry.upkeep import store_watch

SHOWN_FEATURES = 20
# A whole artifact is read and verified for it; larger ones would make the page slow and the web process fat.
READ_BYTES = 16 * 1024**2


def card(request: HttpRequest, version: ModelVersion) -> Mapping[str, Any]:
    """Return the features that weigh most, or the sentence that says why they cannot be shown."""
    whole = display.linked("in full as JSON", reverse("version-importance", args=[version.pk]))
    if version.artifact_size > READ_BYTES:
        told = f"The artifact has {display.size(version.artifact_size)}, more than is read for a page."
        return {"empty": display.joined(told, "Feature importance", whole)}
    if (trouble := _trouble()) is not None:
        return {"empty": f"The artifact is not read now: {trouble}"}
    try:
        weights = handover.importance(version)
    except errors.PerennialError as error:
        return {"empty": str(error)}
    return _table(weights, whole)


def _trouble() -> str | None:
    """Return what the last look found wrong with the store; None where there is no reason not to ask it."""
    found = store_watch.known(now=timestamps.utc_now()).get(ownership.ARTIFACTS)
    if found is None or found.code == store_watch.UNSEEN:
        return None
    return f"{found.sentence} {found.next_step}"


def _table(weights: Mapping[str, float], whole: Any) -> Mapping[str, Any]:
    # As the export orders them: a large negative weight matters as much as a large one.
    ordered = sorted(weights.items(), key=lambda item: (-abs(item[1]), item[0]))
    more = len(ordered) - SHOWN_FEATURES
    rest = f"and {display.counted(more, 'more feature')}, " if more > 0 else ""
    return {
        "heads": ("Feature", "Importance"),
        "rows": [(display.tight(name), display.number(weight)) for name, weight in ordered[:SHOWN_FEATURES]],
        "note": display.joined(rest, whole) if ordered else "",
        "empty": "Its trainer gives none.",
    }


PANEL = Panel(title="Feature importance", template="registry/admin/table.html", build=card)
