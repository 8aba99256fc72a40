"""Finds what an address names, within the tenants of the caller. The foreign looks like the unknown."""

from __future__ import annotations

import re
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request

from registry import errors, identifiers, permissions
from registry.models import Fleet, ModelVersion, RegisteredModel
from registry.rest_base import parsing

Row = TypeVar("Row", bound=Model)

NUMBER = re.compile(r"[1-9][0-9]{0,8}")
LABEL = re.compile(r"[0-9]{8}_[0-9]{6}_[A-Za-z0-9]{1,20}")
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
WORDS = ("champion", "challenger", "anchor", "latest")


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


class ModelUnknown(errors.NotFound):
    """The fleet has no registered model for that entity."""

    code = "model_unknown"
    next_step = "GET /api/v1/models/{fleet} lists the models of the fleet."


class VersionUnknown(errors.NotFound):
    """No version answers to that id, number, label or word."""

    code = "version_unknown"
    next_step = "GET /api/v1/models/{fleet}/{entity}/versions lists the versions of a model."


class NoChampion(errors.NotFound):
    """The model has, or had then, no champion."""

    code = "no_champion"
    next_step = "Retrain it: POST /api/v1/runs. What the gate passes becomes champion."


class TenantQuery(parsing.StrictSerializer):
    """What every address below the name of a fleet takes."""

    tenant = serializers.CharField(
        required=False, max_length=63, help_text="where several of your tenants have one of that name"
    )


def visible(request: Request, rows: QuerySet[Row], path: str) -> QuerySet[Row]:
    """Return the rows whose tenant, found at `path`, the caller may see."""
    return permissions.visible(rows, tenants=tenants(request), through=path)


def tenants(request: Request) -> frozenset[str]:
    """Return the tenants of the caller, cut down to those of its token."""
    return permissions.tenants_of(request.user, request.auth)


def fleet(request: Request, name: str, *, tenant: str | None = None) -> Fleet:
    """Return the caller's fleet of that name. Raises Malformed, FleetUnknown, FleetAmbiguous."""
    wanted = tenant or request.query_params.get("tenant")
    rows = Fleet.objects.filter(name=slug(name, "fleet"))
    if wanted is not None:
        rows = rows.filter(tenant=slug(wanted, "tenant"))
    found = list(visible(request, rows, "tenant").order_by("tenant")[:2])
    if not found:
        raise FleetUnknown(f"There is no fleet {name!r}.")
    if len(found) > 1:
        examples = " or ".join(f"?tenant={each.tenant}" for each in found)
        raise FleetAmbiguous(
            f"Several of your tenants have a fleet {name!r}.", next_step=f"Add {examples} to the address."
        )
    return found[0]


def registered_model(request: Request, fleet_name: str, entity: str) -> RegisteredModel:
    """Return the model of an entity, with fleet and pointers. Raises what `fleet` raises, and ModelUnknown."""
    owner = fleet(request, fleet_name)
    key = _matching(identifiers.ENTITY_KEY, entity, "entity")
    rows = RegisteredModel.objects.select_related("fleet", "champion", "challenger", "anchor")
    found = rows.filter(fleet=owner, entity_key=key).first()
    if found is None:
        raise ModelUnknown(f"Fleet {owner.name} has no model for entity {entity!r}.")
    return found


def champion_of(model: RegisteredModel) -> ModelVersion:
    """Return the champion. Raises NoChampion."""
    if model.champion is None:
        raise NoChampion(f"{model} has no champion.")
    return model.champion


def version_of(model: RegisteredModel, reference: str) -> ModelVersion:
    """Return a version of this model by id, number, label, or a word: a pointer, or `latest` (newest ready).

    Raises Malformed, VersionUnknown.
    """
    found = _by_word(model, reference) if reference in WORDS else model.versions.filter(_by_name(reference)).first()
    if found is None:
        raise VersionUnknown(f"{model} has no version {reference!r}.")
    # The caller came through its fleet; spare the two look-ups that writing the version down would make.
    found.registered_model = model
    return found


def _by_word(model: RegisteredModel, word: str) -> ModelVersion | None:
    if word != "latest":
        pointed: ModelVersion | None = getattr(model, word)
        return pointed
    return model.versions.filter(state=ModelVersion.State.READY).order_by("-number").first()


def _by_name(reference: str) -> Q:
    if UUID_TEXT.fullmatch(reference):
        return Q(id=UUID(reference))
    if NUMBER.fullmatch(reference):
        return Q(number=int(reference))
    if LABEL.fullmatch(reference):
        return Q(label=reference)
    raise Malformed(f"{reference!r} is not an id, number or label of a version, nor {', '.join(WORDS)}.")


def version(request: Request, text: str) -> ModelVersion:
    """Return any version that the caller may see by its id. Raises Malformed, VersionUnknown."""
    rows = ModelVersion.objects.select_related("registered_model__fleet").filter(id=identifier(text))
    found = visible(request, rows, "registered_model__fleet__tenant").first()
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
