"""Owns how versions are found: by fleet, model, trainer, state, tag, time, metric. Reads no row to leave it out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any, Literal

from django.db.models import Q, QuerySet

from registry import errors, permissions
from registry.comparison.newest import IN_USE
from registry.models import Fleet, ModelVersion, RegisteredModel, metric_value

State = ModelVersion.State
HIDDEN = (State.ARCHIVED, State.DELETED)
"""States that a search shows only where it names them."""
# Named one by one, never `NOT IN`: so the index answers.
SHOWN = tuple(each for each in State if each not in HIDDEN)
ANY = "any"
LABEL_BEGINS = re.compile(r"[0-9]{8}(_[0-9]{0,6}(_[A-Za-z0-9]{0,20})?)?")


class SearchInvalid(errors.Invalid):
    """What is searched for contradicts itself."""

    code = "search_invalid"


@dataclass(frozen=True, kw_only=True)
class Search:
    """What versions have to be; whatever is empty asks for nothing."""

    fleet: Fleet | None = None
    registered_model: RegisteredModel | None = None
    entities: tuple[str, ...] = ()
    """The models of these entities alone."""
    entity_prefix: str = ""
    """What the key of the entity begins with."""
    model_tags: tuple[str, ...] = ()
    """All of them, on the model."""
    model_states: tuple[str, ...] = ()
    """Empty: models that are not retired, or the one that is named; `any`: all."""
    states: tuple[str, ...] = ()
    """Empty: all but archived and deleted; `any`: all."""
    trainer: str = ""
    tags: tuple[str, ...] = ()
    """All of them, on the version."""
    since: datetime | None = None
    """Registered then or later."""
    until: datetime | None = None
    """Registered before."""
    minimum: Mapping[str, float] = field(default_factory=dict)
    """By metric, included; a version without the metric is left out."""
    maximum: Mapping[str, float] = field(default_factory=dict)
    pointer: Literal["", "champion", "challenger"] = ""
    """Versions that this pointer of their model leads to."""
    text: str = ""
    """Part of the entity's key, or the beginning of the label."""


def search(query: Search, *, tenants: frozenset[str] = permissions.ALL) -> QuerySet[ModelVersion]:
    """Return the versions of these tenants that answer, the newest first, each with its model and its fleet.

    Raises SearchInvalid where nothing could ever answer.
    """
    _check(query)
    rows = ModelVersion.objects.filter(_where(query, tenants) & _what(query))
    rows = _within(rows, query)
    if query.text:
        rows = rows.filter(named(query.text))
    return rows.select_related("registered_model__fleet").order_by("-created_at", "-id")


def _check(query: Search) -> None:
    if query.since is not None and query.until is not None and query.since >= query.until:
        told = f"No version is registered from {query.since.isoformat()} on and before {query.until.isoformat()}."
        raise SearchInvalid(told, next_step="Give an end that is later than the beginning.")
    for name in sorted(query.minimum.keys() & query.maximum.keys()):
        low, high = query.minimum[name], query.maximum[name]
        if low > high:
            told = f"No version has a {name} of at least {low:g} and at most {high:g}."
            raise SearchInvalid(told, next_step="Exchange the two bounds.")


def _where(query: Search, tenants: frozenset[str]) -> Q:
    """Return the condition on fleet and model."""
    wanted = _fleets(query, tenants)
    if query.registered_model is not None:
        wanted &= Q(registered_model=query.registered_model)
    if query.entities:
        wanted &= Q(registered_model__entity_key__in=query.entities)
    if query.entity_prefix:
        wanted &= Q(registered_model__entity_key__startswith=query.entity_prefix)
    if query.model_tags:
        wanted &= Q(registered_model__tags__contains=list(query.model_tags))
    return wanted & _model_states(query)


def _fleets(query: Search, tenants: frozenset[str]) -> Q:
    if query.fleet is not None:
        return Q(fleet=query.fleet if query.fleet.tenant in tenants else None)
    if tenants is permissions.ALL:
        return Q()
    # Numbers and no join: the database then knows how many versions they have, and takes the right index.
    return Q(fleet_id__in=list(Fleet.objects.filter(tenant__in=sorted(tenants)).values_list("pk", flat=True)))


def _model_states(query: Search) -> Q:
    if ANY in query.model_states or (query.registered_model is not None and not query.model_states):
        return Q()
    return Q(registered_model__state__in=list(query.model_states or IN_USE))


def _what(query: Search) -> Q:
    """Return the condition on the version itself."""
    return reduce(and_, _conditions(query), Q())


def _conditions(query: Search) -> Iterator[Q]:
    if ANY not in query.states:
        yield Q(state__in=list(query.states or SHOWN))
    if query.trainer:
        yield Q(trainer=query.trainer)
    if query.tags:
        yield Q(tags__contains=list(query.tags))
    if query.since is not None:
        yield Q(created_at__gte=query.since)
    if query.until is not None:
        yield Q(created_at__lt=query.until)
    if query.pointer:
        yield Q(pk__in=_pointed(query))


def _pointed(query: Search) -> QuerySet[RegisteredModel, dict[str, Any]]:
    rows = RegisteredModel.objects.filter(**{f"{query.pointer}__isnull": False})
    if query.fleet is not None:
        rows = rows.filter(fleet=query.fleet)
    found: QuerySet[RegisteredModel, dict[str, Any]] = rows.values(f"{query.pointer}_id")
    return found


def _within(rows: QuerySet[ModelVersion], query: Search) -> QuerySet[ModelVersion]:
    for place, name in enumerate(sorted(query.minimum.keys() | query.maximum.keys())):
        rows = rows.alias(**{f"metric_{place}": metric_value(name)})
        for bounds, lookup in ((query.minimum, "gte"), (query.maximum, "lte")):
            if name in bounds:
                rows = rows.filter(**{f"metric_{place}__{lookup}": bounds[name]})
    return rows


def named(text: str) -> Q:
    """Return the condition of a text on versions: part of the entity's key, or the beginning of the label.

    A label is looked for among the versions of its day alone, for it has no index of its own.
    """
    return labelled(text) or Q(registered_model__entity_key__icontains=text)


def labelled(text: str) -> Q | None:
    """Return the condition of the beginning of a label; None where a text is none."""
    if LABEL_BEGINS.fullmatch(text) and (day := _day(text[:8])) is not None:
        return Q(label__startswith=text, created_at__gte=day, created_at__lt=day + timedelta(days=1))
    return None


def _day(digits: str) -> datetime | None:
    try:
        return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None
