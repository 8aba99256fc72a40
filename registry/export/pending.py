"""Owns which models the events that were not read yet concern: who is to use another version, and what files show."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models import F, Max, Q

from registry import history
from registry.export import choosing, files
from registry.export.choosing import Choice
from registry.models import Event, Fleet, ModelVersion, RegisteredModel

MOVED_AT_ONCE = 500
# What changes which version is to be used.
MOVES = (*history.CHAMPION_KINDS, "registry.version.quarantined", "registry.version.released")
# What changes these fields of a version and nothing else.
_SHOWN: Mapping[str, Collection[str]] = {
    "registry.version.tagged": ("tags", "note"),
    "registry.version.held": (),
    "registry.version.hold_lifted": (),
    "registry.model.enrolled": (),
    "registry.model.tagged": (),
    "registry.model.paused": (),
    "registry.model.resumed": (),
}


class Pending:
    """What is to be done for these fleets."""

    def __init__(self, *, fleets: Mapping[int, Fleet]) -> None:
        self._wanted = {pk: set(fleet.export.metadata or files.FIELDS) for pk, fleet in fleets.items()}

    def moved(self, after: history.Cursor) -> dict[int, int]:
        """Return models, some at a time, that are to use another version than the one recorded as exported.

        Each comes with the last of its events that said so. What failed is left out: it has a time of its own when it
        is tried again.
        """
        events = Event.objects.filter(fleet__in=self._wanted, kind__in=MOVES, txid__gte=after.txid)
        events = events.filter(Q(txid__gt=after.txid) | Q(id__gt=after.id))
        models = RegisteredModel.objects.filter(pk__in=events.values("registered_model"))
        models = models.exclude(export__failures__gt=0)
        models = models.exclude(export__version=F("champion"), champion__state=ModelVersion.State.READY)
        found = models.select_related("fleet", "champion", "export").order_by("pk")[:MOVED_AT_ONCE]
        moved = [each.pk for each in found if not is_known(choosing.choose(each))]
        last = events.filter(registered_model__in=moved).values_list("registered_model").annotate(Max("id"))
        return dict(last.order_by("registered_model"))

    def shows(self, event: Event) -> bool:
        """Whether the folder of the event's model can be another one after it."""
        wanted = self._wanted.get(event.fleet_id or 0)
        shown = _SHOWN.get(event.kind)
        return wanted is not None and (shown is None or not wanted.isdisjoint(shown))


def is_known(choice: Choice) -> bool:
    """Whether the pointer was written as it should be, as far as this installation knows."""
    row = getattr(choice.model, "export", None)
    return row is not None and row.version_id == (choice.use and choice.use.pk)
