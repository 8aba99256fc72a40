"""Owns how the newest ready version of every model is read: beside its pointers, in one statement for a whole fleet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import FilteredRelation, OuterRef, Q, QuerySet, Subquery

from registry.models import Fleet, ModelVersion, RegisteredModel

IN_USE = (RegisteredModel.State.ACTIVE, RegisteredModel.State.PAUSED)


def latest(fleet: Fleet, *, states: Sequence[str] = IN_USE) -> QuerySet[RegisteredModel]:
    """Return the models of a fleet by entity, without the retired ones, each with its champion and its challenger.

    The attribute `latest` of each is its newest ready version, or None; what serves is `champion`, never that.
    """
    newest = ModelVersion.objects.filter(registered_model=OuterRef("pk"), state=ModelVersion.State.READY)
    found = Subquery(newest.order_by("-number").values("pk")[:1])
    rows: Any = RegisteredModel.objects.filter(fleet=fleet, state__in=list(states))
    rows = rows.annotate(latest=FilteredRelation("versions", condition=Q(versions__pk=found)))
    beside: QuerySet[RegisteredModel] = rows.select_related("fleet", "champion", "challenger", "latest")
    return beside.order_by("entity_key")
