"""Owns which models or versions of a fleet a call for many means. Refuses to mean a whole fleet by accident."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from django.db.models import OuterRef, QuerySet, Subquery

from registry import comparison, enrolment, errors, history
from registry.comparison import Search
from registry.models import Event, Fleet, ModelVersion, RegisteredModel

Row = TypeVar("Row")
MODELS_AT_ONCE = 1000
CAUSES = ("gate", "floor", "manual", "rollback")
"""How a version becomes champion: through the gate, as the first that beats nothing, by hand, back by hand."""


class NothingWanted(errors.Invalid):
    """A call for many that names nothing would mean the whole fleet by accident."""

    code = "filter_missing"
    next_step = "Name entities, what their keys begin with, a tag or a time; say `all` for the whole fleet."


class CauseUnknown(errors.Invalid):
    """No champion comes so."""

    code = "cause_unknown"
    next_step = f"Known are {', '.join(CAUSES)}."


class FilterContradicts(errors.Invalid):
    """The whole fleet, and at the same time only a part of it."""

    code = "filter_contradicts"
    next_step = "Say `all` alone, or leave it out."


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What models have to be; what is empty asks for nothing."""

    entities: tuple[str, ...] = ()
    entity_prefix: str = ""
    """What the key of the entity begins with."""
    tags: tuple[str, ...] = ()
    """All of them, on the model."""
    promoted_since: datetime | None = None
    """The present champion was promoted then or later."""
    cause: str = ""
    """Of the move that made the present champion: one of `CAUSES`."""
    all: bool = False
    """The whole fleet, said on purpose."""

    @property
    def narrows(self) -> bool:
        """Whether it asks for a part of the fleet."""
        return self != Wanted(all=self.all)

    def __bool__(self) -> bool:
        return self.narrows or self.all


def models(fleet: Fleet, wanted: Wanted) -> QuerySet[RegisteredModel]:
    """Return the models of a fleet that are meant, with fleet and champion, in the order of their entities.

    Raises NothingWanted, FilterContradicts, CauseUnknown, enrolment.ModelUnknown.
    """
    if wanted.cause and wanted.cause not in CAUSES:
        raise CauseUnknown(f"No champion comes by the cause {wanted.cause!r}.", field="filter/cause")
    _check(fleet, entities=wanted.entities, narrows=wanted.narrows, all=wanted.all)
    rows = RegisteredModel.objects.filter(fleet=fleet).select_related("fleet", "champion").order_by("entity_key")
    if wanted.entities:
        rows = rows.filter(entity_key__in=wanted.entities)
    if wanted.entity_prefix:
        rows = rows.filter(entity_key__startswith=wanted.entity_prefix)
    if wanted.tags:
        rows = rows.filter(tags__contains=list(wanted.tags))
    if wanted.promoted_since is not None:
        rows = rows.filter(champion__promoted_at__gte=wanted.promoted_since)
    return _by_cause(rows, wanted.cause) if wanted.cause else rows


def versions(fleet: Fleet, search: Search, *, all: bool, tenants: frozenset[str]) -> QuerySet[ModelVersion]:
    """Return the versions of a fleet that are meant; `all` goes with states alone, and says the whole fleet.

    Raises NothingWanted, FilterContradicts, enrolment.ModelUnknown, comparison.SearchInvalid.
    """
    narrows = replace(search, states=(), fleet=None) != Search()
    names_states = bool(search.states) and comparison.ANY not in search.states
    _check(fleet, entities=search.entities, narrows=narrows or (names_states and not all), all=all)
    return comparison.search(replace(search, fleet=fleet), tenants=tenants)


def _check(fleet: Fleet, *, entities: Sequence[str], narrows: bool, all: bool) -> None:
    if not narrows and not all:
        raise NothingWanted(f"Nothing says what of {fleet.name} is meant.", field="filter")
    if narrows and all:
        raise FilterContradicts(f"The whole of {fleet.name} is meant, and a part of it.", field="filter/all")
    known = RegisteredModel.objects.filter(fleet=fleet, entity_key__in=entities).values_list("entity_key", flat=True)
    if unknown := sorted({*entities} - {*known}):
        others = f", and {len(unknown) - 1} more that are named" if len(unknown) > 1 else ""
        raise enrolment.ModelUnknown(f"Fleet {fleet.name} has no model for entity {unknown[0]!r}{others}.")


def walk(rows: QuerySet[RegisteredModel]) -> Iterator[list[RegisteredModel]]:
    """Yield all of them, `MODELS_AT_ONCE` at a time; what changes meanwhile is left out or comes once."""
    after = ""
    while batch := list(rows.filter(entity_key__gt=after)[:MODELS_AT_ONCE]):
        yield batch
        after = batch[-1].entity_key


def as_given(rows: Iterable[Row], *, entities: Sequence[str], entity: Callable[[Row], str]) -> list[Row]:
    """Return rows in the order in which their entities were given; where none were, as they come."""
    places = {key: place for place, key in enumerate(dict.fromkeys(entities))}
    return sorted(rows, key=lambda row: places.get(entity(row), 0))


def _by_cause(rows: QuerySet[RegisteredModel], cause: str) -> QuerySet[RegisteredModel]:
    moves = Event.objects.filter(registered_model=OuterRef("pk"), kind__in=history.CHAMPION_KINDS).order_by("-count")
    return rows.alias(last_cause=Subquery(moves.values("cause")[:1])).filter(last_cause=cause)
