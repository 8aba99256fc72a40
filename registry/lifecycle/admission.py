"""Owns what the ledger says of versions from elsewhere: which no trainer has read, and which one read and refused.

What was refused is never released. What nobody has read is never made ready but by the trainer that reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from registry import errors, reasons
from registry.models import Event, ModelVersion

REGISTERED = "registry.version.registered"
ADMITTED = "registry.version.admitted"
QUARANTINED = "registry.version.quarantined"
ANEW = RELEASED, RESTORED = ("registry.version.released", "registry.version.restored")
"""Kinds in the ledger by which somebody asks for a version again."""
REGISTRATION, IMPORT = "registration", "import"
"""The causes in the ledger under which versions from elsewhere are registered."""
FITTED_HERE = ("retrain", "manual")
"""The causes under which versions are registered that were fitted here. Under any other, also that of a door to come, a
trainer has yet to read them: who forgets a cause here makes versions wait, not serve unread."""
INSPECTION = "inspection"
"""The cause in the ledger of what a trainer decided about a version from elsewhere."""
UNREAD = "unread"
"""The cause of a quarantine of what could not be read in all its tries: time or memory ran out, or our code failed."""


class ForecasterUnreadable(errors.Conflict):
    """A trainer refused the forecaster when it came, and its bytes are the same since."""

    code = "forecaster_unreadable"
    next_step = "Export the forecaster again and register it as a new version; docs/registering.md names the formats."


_WAYS_OUT: Mapping[str, str] = {
    INSPECTION: ForecasterUnreadable.next_step,
    UNREAD: "Give the workers more memory or time, then release it: it waits to be read again.",
}
_WAY_OUT = (
    "Where its file is damaged or missing put it back from a backup; then release it: its bytes are verified first."
)


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """Why a version is quarantined, as the ledger has it."""

    since: datetime
    actor: str
    cause: str
    reason: str

    @property
    def next_step(self) -> str:
        """What can be done about it."""
        return _WAYS_OUT.get(self.cause, _WAY_OUT)


def quarantine_of(version: ModelVersion) -> Quarantine | None:
    """Return why a version is quarantined; None where it is not, or where the ledger says nothing of it."""
    if version.state != ModelVersion.State.QUARANTINED:
        return None
    of_it = Event.objects.filter(registered_model=version.registered_model_id, to_version=version.pk)
    line = of_it.filter(kind=QUARANTINED).order_by("-count").first()
    if line is None:
        return None
    return Quarantine(since=line.at, actor=line.actor, cause=line.cause, reason=line.reason)


def refused(version_ids: Collection[UUID]) -> dict[UUID, errors.PerennialError]:
    """Return why those of these versions can never be used that a trainer has read and refused."""
    lines = Event.objects.filter(to_version__in=list(version_ids), kind=QUARANTINED, cause=INSPECTION)
    return {
        line.to_version_id: ForecasterUnreadable(
            f"The forecaster of version {line.to_version_id} was refused: {reasons.ended(line.reason)}"
        )
        for line in lines
        if line.to_version_id is not None
    }


def unread(version_ids: Collection[UUID]) -> set[UUID]:
    """Return those of these versions that were not fitted here and that no trainer has read."""
    lines = Event.objects.filter(to_version__in=list(version_ids)).order_by()
    came = lines.filter(kind=REGISTERED).exclude(cause__in=FITTED_HERE).values_list("to_version", flat=True)
    read = lines.filter(kind=ADMITTED).values_list("to_version", flat=True)
    return set(came.difference(read))
