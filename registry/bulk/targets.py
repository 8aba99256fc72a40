"""Owns which models a call for many means: by entity, beginning, tag, or how their champion came to serve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, QuerySet, Subquery

from registry import errors, history
from registry.models import Event, Fleet, RegisteredModel

MODELS_AT_ONCE = 1000


class NothingWanted(errors.Invalid):
    """A call for many that names nothing would mean the whole fleet by accident."""

    code = "filter_missing"
    next_step = "Name entities, a tag, a time or a cause; say `all` for the whole fleet."


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What models have to be; what is empty asks for nothing."""

    entities: tuple[str, ...] = ()
    prefix: str = ""
    """What the key of the entity begins with."""
    tags: tuple[str, ...] = ()
    """All of them, on the model."""
    promoted_since: datetime | None = None
    """The present champion was promoted then or later."""
    cause: str = ""
    """Of the move that made the present champion, such as `gate`."""
    all: bool = False
    """The whole fleet, said on purpose."""

    def __bool__(self) -> bool:
        return bool(self.entities or self.prefix or self.tags or self.promoted_since or self.cause or self.all)


def models(fleet: Fleet, wanted: Wanted) -> QuerySet[RegisteredModel]:
    """Return the models of a fleet that are meant, with fleet and champion, in the order of their ids.

    Raises NothingWanted.
    """
    if not wanted:
        raise NothingWanted(f"Nothing says which models of {fleet.name} are meant.", field="filter")
    rows = RegisteredModel.objects.filter(fleet=fleet).select_related("fleet", "champion").order_by("pk")
    if wanted.entities:
        rows = rows.filter(entity_key__in=wanted.entities)
    if wanted.prefix:
        rows = rows.filter(entity_key__startswith=wanted.prefix)
    if wanted.tags:
        rows = rows.filter(tags__contains=list(wanted.tags))
    if wanted.promoted_since is not None:
        rows = rows.filter(champion__promoted_at__gte=wanted.promoted_since)
    return _by_cause(rows, wanted.cause) if wanted.cause else rows


def walk(rows: QuerySet[RegisteredModel]) -> Iterator[list[RegisteredModel]]:
    """Yield all of them, `MODELS_AT_ONCE` at a time; what changes meanwhile is left out or comes once."""
    after = 0
    while batch := list(rows.filter(pk__gt=after)[:MODELS_AT_ONCE]):
        yield batch
        after = batch[-1].pk


def _by_cause(rows: QuerySet[RegisteredModel], cause: str) -> QuerySet[RegisteredModel]:
    moves = Event.objects.filter(registered_model=OuterRef("pk"), kind__in=history.CHAMPION_KINDS).order_by("-count")
    return rows.alias(last_cause=Subquery(moves.values("cause")[:1])).filter(last_cause=cause)
