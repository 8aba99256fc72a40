"""Owns what the ledger says of versions from elsewhere: which no trainer has read, and which one read and refused.

What was refused is never released. What nobody has read is never made ready but by the trainer that reads it.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from registry import errors
from registry.models import Event

REGISTERED = "registry.version.registered"
ADMITTED = "registry.version.admitted"
QUARANTINED = "registry.version.quarantined"
ANEW = RELEASED, RESTORED = ("registry.version.released", "registry.version.restored")
"""Kinds in the ledger by which somebody asks for a version again."""
FROM_ELSEWHERE = REGISTRATION, IMPORT = ("registration", "import")
"""The causes in the ledger under which versions are registered that wait for a trainer; no other registers such."""
INSPECTION = "inspection"
"""The cause in the ledger of what a trainer decided about a version from elsewhere."""
UNREAD = "unread"
"""The cause of a quarantine of what could not be read, for want of time or memory, as often as it was tried."""


class ForecasterUnreadable(errors.Conflict):
    """A trainer refused the forecaster when it came, and its bytes are the same since."""

    code = "forecaster_unreadable"
    next_step = "Export the forecaster again and register it as a new version."


def refused(version_ids: Collection[UUID]) -> dict[UUID, errors.PerennialError]:
    """Return why those of these versions can never be used that a trainer has read and refused."""
    lines = Event.objects.filter(to_version__in=list(version_ids), kind=QUARANTINED, cause=INSPECTION)
    return {
        line.to_version_id: ForecasterUnreadable(
            f"The forecaster of version {line.to_version_id} was refused: {line.reason}"
        )
        for line in lines
        if line.to_version_id is not None
    }


def unread(version_ids: Collection[UUID]) -> set[UUID]:
    """Return those of these versions that came from elsewhere and that no trainer has read."""
    lines = Event.objects.filter(to_version__in=list(version_ids)).order_by()
    came = lines.filter(kind=REGISTERED, cause__in=FROM_ELSEWHERE).values_list("to_version", flat=True)
    read = lines.filter(kind=ADMITTED).values_list("to_version", flat=True)
    return set(came.difference(read))
