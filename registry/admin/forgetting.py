"""Giving versions up from their pages and lists, before a sweep would: told beforehand what is lost and what stays.

The door is that of REST (`registry.bulk`): with a backup store set each is copied there first, and what cannot be
copied stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unfold.enums import ActionVariant

from registry import bulk, display, timestamps
from registry.admin import acting
from registry.admin.extensions import Action
from registry.admin.pausing import named
from registry.lifecycle import states
from registry.models import ModelVersion
from registry.retention import backups

LOST = (
    "Forecaster, predictions and feature importance are lost: what is forgotten never serves again, and cannot be "
    "restored, exported or downloaded. No backup store is set, so nothing brings it back. Row, metadata, scores and "
    "ledger stay."
)
COPIED = (
    "Forecaster, predictions and feature importance leave this store: what is forgotten cannot serve, nor be restored, "
    "exported or downloaded. It is copied to the backup store first and read back there, and `manage.py bring_back` "
    "fetches it from there; what cannot be copied stays. Row, metadata, scores and ledger stay."
)


def ask(versions: Sequence[ModelVersion]) -> str:
    """Return the question: what is lost, and from where it could come back."""
    return f"Forget {named(versions)}, without waiting for a sweep? {COPIED if backups.is_kept() else LOST}"


def preview(versions: Sequence[ModelVersion]) -> Mapping[str, Any]:
    """Return what each version holds, and why others stay."""
    found = bulk.carry_out(
        "forget", [each.pk for each in versions], actor="", reason="", at=timestamps.utc_now(), rehearsed=True
    )
    rows = [
        (str(each), display.badge(each.state), display.size(each.artifact_size), str(found.refused.get(each.pk, "")))
        for each in versions
    ]
    return {"heads": ("Version", "State", "Size", "Why not"), "rows": rows}


def _may_be_forgotten(version: ModelVersion) -> bool:
    """Whether a version can be forgotten, as far as its page knows."""
    return version.state in states.FORGET.since and not version.pointers


FORGET = Action(
    name="forget",
    title="Forget",
    icon="delete_forever",
    permission=acting.DELETES,
    variant=ActionVariant.DANGER,
    bulk=True,
    ask=ask,
    perform=acting.on_versions("forget", "Forgotten"),
    applies=_may_be_forgotten,
    preview=preview,
)
