"""Brings entities into a fleet as registered models; the only writer of new ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from registry import errors, history, identifiers
from registry.models import Fleet, RegisteredModel

SHOWN_CHARACTERS = 200
ENROLLED = "registry.model.enrolled"
_PATTERN = re.compile(rf"\A{identifiers.ENTITY_KEY}\Z")


class EntityInvalid(errors.Invalid):
    """The key cannot name an entity."""

    code = "entity_invalid"
    next_step = (
        "Use letters, digits and . _ : -, at most 128, beginning with a letter or digit; or map it in the source."
    )


class ModelUnknown(errors.NotFound):
    """The fleet has no registered model for that entity."""

    code = "model_unknown"
    next_step = "GET /api/v1/models/{fleet} and `manage.py models FLEET` list the models of a fleet."


def check(key: str) -> None:
    """Refuse what cannot name an entity. Raises EntityInvalid."""
    if not _PATTERN.match(key):
        raise EntityInvalid(f"{key[:SHOWN_CHARACTERS]!r} is not an entity key.", field="entity")


@transaction.atomic
def enroll(
    *, fleet: Fleet, entity_keys: Sequence[str], actor: str, at: datetime, cause: str = "discovery"
) -> list[RegisteredModel]:
    """Register those of the entities that the fleet does not have yet, and return the new models.

    Safe to run twice at once: of two callers each new entity is returned to one. Raises EntityInvalid.
    """
    for key in entity_keys:
        check(key)
    # The fleet's row is the lock: ON CONFLICT alone would not say which rows are ours.
    Fleet.objects.select_for_update(no_key=True).get(pk=fleet.pk)
    there = RegisteredModel.objects.filter(fleet=fleet, entity_key__in=entity_keys)
    known = set(there.values_list("entity_key", flat=True))
    fresh = [RegisteredModel(fleet=fleet, entity_key=key) for key in sorted(set(entity_keys) - known)]
    made = RegisteredModel.objects.bulk_create(fresh, batch_size=history.BATCH_ROWS)
    history.announce(
        [
            history.Line(
                kind=ENROLLED, actor=actor, cause=cause, at=at, registered_model_id=model.pk, fleet_id=fleet.pk
            )
            for model in made
        ]
    )
    return made
