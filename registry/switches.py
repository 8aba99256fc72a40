"""Owns the pause switches of fleets and models, which fleet files never touch; each turn is announced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from registry import history
from registry.models import Fleet, RegisteredModel

FLEET_PAUSED, FLEET_RESUMED = "registry.fleet.paused", "registry.fleet.resumed"
MODEL_PAUSED, MODEL_RESUMED = "registry.model.paused", "registry.model.resumed"


@transaction.atomic
def set_fleets(fleets: Sequence[Fleet], *, paused: bool, actor: str, reason: str, at: datetime) -> int:
    """Pause or resume fleets and return how many changed; those already so are left out of the ledger too."""
    turned = [
        fleet.pk
        for fleet in Fleet.objects.select_for_update(no_key=True)
        .filter(pk__in=[each.pk for each in fleets])
        .order_by("pk")
        if fleet.paused != paused
    ]
    Fleet.objects.filter(pk__in=turned).update(paused=paused)
    kind = FLEET_PAUSED if paused else FLEET_RESUMED
    history.announce(
        [history.Line(kind=kind, fleet_id=each, actor=actor, cause="manual", reason=reason, at=at) for each in turned]
    )
    return len(turned)


@transaction.atomic
def set_models(models: Sequence[RegisteredModel], *, paused: bool, actor: str, reason: str, at: datetime) -> int:
    """Pause active models or resume paused ones and return how many changed; a retired one is never touched."""
    before, after = ("active", "paused") if paused else ("paused", "active")
    locked = history.lock([each.pk for each in models])
    turned = [each.pk for each in locked.values() if each.state == before]
    RegisteredModel.objects.filter(pk__in=turned).update(state=after)
    kind = MODEL_PAUSED if paused else MODEL_RESUMED
    history.announce(
        [
            history.Line(kind=kind, registered_model_id=each, actor=actor, cause="manual", reason=reason, at=at)
            for each in turned
        ]
    )
    return len(turned)
