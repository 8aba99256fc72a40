"""The card of a fleet's export: where its folders are, how many stand, and what could not be written and why."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html_join

from registry import counting, display, export
from registry.admin.extensions import Panel
from registry.models import Export, Fleet

FAILURES_SHOWN = 5


def card(request: HttpRequest, fleet: Fleet) -> dict[str, Any] | None:
    """Return how the export stands; no card where the fleet has none and never had."""
    rows = Export.objects.filter(registered_model__fleet=fleet)
    # What failed is due again, which an index knows.
    failed = rows.filter(failures__gt=0, due_at__isnull=False)
    counts = {"written": counting.of(rows.filter(version__isnull=False)), "failed": counting.of(failed)}
    if not fleet.export.enabled and not any(each.number for each in counts.values()):
        return None
    facts = [
        ("State", display.badge("active" if fleet.export.enabled else "off")),
        ("Folder", display.code(str(export.root() / fleet.tenant / fleet.name))),
        ("Models written", str(counts["written"])),
        ("Beside the champion", f"{fleet.export.versions} newest ready"),
        ("Metadata", ", ".join(fleet.export.metadata) or "all fields"),
        ("Failed", display.badge("failed", f"{counts['failed']} failed") if counts["failed"].number else 0),
    ]
    first = failed.select_related("registered_model__fleet").order_by("due_at", "pk")
    return {
        "rows": [*facts, *((display.link(each.registered_model), _failure(each)) for each in first[:FAILURES_SHOWN])]
    }


def _failure(row: Export) -> Any:
    told = (display.code(row.code), row.sentence, "Next try", display.instant(row.due_at, seconds=True))
    return format_html_join(" ", "{}", ((part,) for part in told))


PANEL = Panel(title="Export", template="registry/admin/facts.html", build=card)
