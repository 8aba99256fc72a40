"""Finds what an address names, within the tenants of the caller. The foreign looks like the unknown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.request import Request

from registry import errors, identifiers, permissions, rows
from registry.enrolment import ModelUnknown
from registry.lifecycle import VersionUnknown
from registry.lifecycle.succession import NoChampion
from registry.models import POINTERS, Fleet, ModelVersion, RegisteredModel
from registry.rest_base import parsing

Row = TypeVar("Row", bound=Model)

NUMBER = re.compile(r"[1-9][0-9]{0,8}")
LABEL = re.compile(r"[0-9]{8}_[0-9]{6}_[A-Za-z0-9]{1,20}")
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
# One row, or two where the name is ambiguous; a fleet without the model has null for every column of it.
_MODEL = """
SELECT {fleet}, {model} FROM registry_fleet AS f
LEFT JOIN registry_registeredmodel AS m ON m.fleet_id = f.id AND m.entity_key = %s
WHERE f.name = %s AND (%s::text IS NULL OR f.tenant = %s) AND (%s::text[] IS NULL OR f.tenant = ANY(%s::text[]))
ORDER BY f.tenant LIMIT 2
"""
_VERSION = "SELECT {version} FROM registry_modelversion AS v WHERE v.registered_model_id = %s AND v.{column} = %s"
WORDS = (*POINTERS, "latest")
REFERENCE = f"id, number, label, {', '.join(WORDS[:-1])} or {WORDS[-1]} (the newest ready one)"


class Malformed(errors.Invalid):
    """A part of the address cannot be the name of anything."""

    code = "malformed"
    next_step = "Correct the address."


class FleetUnknown(errors.NotFound):
    """The caller may see no fleet of that name."""

    code = "fleet_unknown"
    next_step = "GET /api/v1/fleets lists the fleets that you may see."


class FleetAmbiguous(errors.Conflict):
    """Several tenants of the caller have a fleet of that name."""

    code = "fleet_ambiguous"


class TenantQuery(parsing.StrictSerializer):
    """What every address below the name of a fleet takes."""

    tenant = serializers.CharField(
        required=False, max_length=63, help_text="where several of your tenants have one of that name"
    )


def visible(request: Request, queryset: QuerySet[Row], path: str) -> QuerySet[Row]:
    """Return the rows whose tenant, found at `path`, the caller may see."""
    return permissions.visible(queryset, tenants=tenants(request), through=path)


def tenants(request: Request) -> frozenset[str]:
    """Return the tenants of the caller, cut down to those of its token."""
    return permissions.tenants_of(request.user, request.auth)


def fleet(request: Request, name: str, *, tenant: str | None = None) -> Fleet:
    """Return the caller's fleet of that name. Raises Malformed, FleetUnknown, FleetAmbiguous."""
    named = Fleet.objects.filter(name=slug(name, "fleet"))
    wanted = slug(tenant, "tenant") if tenant else _wanted_tenant(request)
    if wanted is not None:
        named = named.filter(tenant=wanted)
    found = list(visible(request, named, "tenant").order_by("tenant")[:2])
    if len(found) != 1:
        raise _no_fleet(name, found)
    return found[0]


def _wanted_tenant(request: Request) -> str | None:
    wanted = request.query_params.get("tenant")
    return None if wanted is None else slug(wanted, "tenant")


def _no_fleet(name: str, found: Sequence[Fleet]) -> errors.PerennialError:
    if not found:
        return FleetUnknown(f"There is no fleet {name!r}.")
    examples = " or ".join(f"?tenant={each.tenant}" for each in found)
    return FleetAmbiguous(
        f"Several of your tenants have a fleet {name!r}.", next_step=f"Add {examples} to the address."
    )


def registered_model(request: Request, fleet_name: str, entity: str) -> RegisteredModel:
    """Return the model of an entity, with its fleet. Raises what `fleet` raises, and ModelUnknown."""
    name, key = slug(fleet_name, "fleet"), _matching(identifiers.ENTITY_KEY, entity, "entity")
    found = _models(name, key, tenant=_wanted_tenant(request), tenants=tenants(request))
    if len(found) != 1:
        raise _no_fleet(name, [owner for owner, _ in found])
    [(owner, model)] = found
    if model is None:
        raise ModelUnknown(f"Fleet {owner.name} has no model for entity {entity!r}.")
    return model


def _models(
    name: str, key: str, *, tenant: str | None, tenants: frozenset[str]
) -> list[tuple[Fleet, RegisteredModel | None]]:
    """Return the visible fleets of that name, two at most, each with its model of that entity."""
    seen = None if tenants is permissions.ALL else sorted(tenants)
    statement = _MODEL.format(fleet=rows.columns(Fleet, "f"), model=rows.columns(RegisteredModel, "m"))
    return [_with_model(row) for row in rows.found(statement, [key, name, tenant, tenant, seen, seen])]


def _with_model(row: Sequence[Any]) -> tuple[Fleet, RegisteredModel | None]:
    owner, rest = rows.made(Fleet, row[: rows.width(Fleet)]), row[rows.width(Fleet) :]
    if rest[0] is None:
        return owner, None
    model = rows.made(RegisteredModel, rest)
    model.fleet = owner
    return owner, model


def champion_of(model: RegisteredModel) -> ModelVersion:
    """Return the champion. Raises NoChampion."""
    if model.champion is None:
        raise NoChampion(f"{model} has no champion.")
    return model.champion


def version_of(model: RegisteredModel, reference: str) -> ModelVersion:
    """Return a version of this model by id, number, label, or a word: a pointer, or `latest` (newest ready).

    Raises Malformed, VersionUnknown.
    """
    found = _by_word(model, reference) if reference in WORDS else _by_name(model, reference)
    if found is None:
        what = {"latest": "ready version"}.get(reference, reference) if reference in WORDS else f"version {reference!r}"
        raise VersionUnknown(f"{model} has no {what}.")
    # The caller came through its fleet; spare the two look-ups that writing the version down would make.
    found.registered_model = model
    return found


def _by_word(model: RegisteredModel, word: str) -> ModelVersion | None:
    if word != "latest":
        pointed: ModelVersion | None = getattr(model, word)
        return pointed
    return model.versions.filter(state=ModelVersion.State.READY).order_by("-number").first()


def _by_name(model: RegisteredModel, reference: str) -> ModelVersion | None:
    column, value = _named(reference)
    statement = _VERSION.format(version=rows.columns(ModelVersion, "v"), column=column)
    found = rows.found(statement, [model.pk, value])
    return rows.made(ModelVersion, found[0]) if found else None


def _named(reference: str) -> tuple[str, UUID | int | str]:
    """Return the column that a reference is a value of, and the value. Raises Malformed."""
    if UUID_TEXT.fullmatch(reference):
        return "id", UUID(reference)
    if NUMBER.fullmatch(reference):
        return "number", int(reference)
    if LABEL.fullmatch(reference):
        return "label", reference
    raise Malformed(f"{reference!r} is not an id, number or label of a version, nor {', '.join(WORDS)}.")


def version(request: Request, text: str) -> ModelVersion:
    """Return any version that the caller may see by its id. Raises Malformed, VersionUnknown."""
    known = ModelVersion.objects.select_related("registered_model__fleet").filter(id=identifier(text))
    found = visible(request, known, "registered_model__fleet__tenant").first()
    if found is None:
        raise VersionUnknown(f"There is no version {text}.")
    return found


def identifier(text: str) -> UUID:
    """Return the UUID that a part of an address spells. Raises Malformed."""
    if not UUID_TEXT.fullmatch(text):
        raise Malformed(f"{text!r} is not a UUID.")
    return UUID(text)


def slug(text: str, what: str) -> str:
    """Return the name of a fleet, tenant, policy or source. Raises Malformed."""
    return _matching(identifiers.SLUG, text, what)


def _matching(pattern: str, text: str, what: str) -> str:
    if not re.fullmatch(pattern, text):
        raise Malformed(f"{text!r} cannot be the name of a {what}: it has to match {pattern}.")
    return text
