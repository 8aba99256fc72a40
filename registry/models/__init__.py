"""The tables of what exists."""

from registry.models.access import ApiToken, IdempotencyKey, TenantMembership
from registry.models.fleets import (
    ExportSettings,
    Fleet,
    MetricSettings,
    RegisteredModel,
    Retention,
    entity_validator,
    slug_validator,
)
from registry.models.ledger import TRANSACTION_ID, Bookmark, Event, Tick
from registry.models.versions import Hold, ModelVersion

__all__ = [
    "TRANSACTION_ID",
    "ApiToken",
    "Bookmark",
    "Event",
    "ExportSettings",
    "Fleet",
    "Hold",
    "IdempotencyKey",
    "MetricSettings",
    "ModelVersion",
    "RegisteredModel",
    "Retention",
    "TenantMembership",
    "Tick",
    "entity_validator",
    "slug_validator",
]
