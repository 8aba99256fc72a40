"""The tables of what exists."""

from registry.models.access import ApiToken, IdempotencyKey, Standing, TenantMembership
from registry.models.exports import Export
from registry.models.fleets import (
    POINTERS,
    ExportSettings,
    Fleet,
    MetricSettings,
    RegisteredModel,
    Retention,
    entity_validator,
    slug_validator,
)
from registry.models.installation import Installation
from registry.models.ledger import TRANSACTION_ID, Bookmark, Event, Tick
from registry.models.versions import SEARCHED_METRICS, Hold, ModelVersion, metric_value

__all__ = [
    "POINTERS",
    "SEARCHED_METRICS",
    "TRANSACTION_ID",
    "ApiToken",
    "Bookmark",
    "Event",
    "Export",
    "ExportSettings",
    "Fleet",
    "Hold",
    "IdempotencyKey",
    "Installation",
    "MetricSettings",
    "ModelVersion",
    "RegisteredModel",
    "Retention",
    "Standing",
    "TenantMembership",
    "Tick",
    "entity_validator",
    "metric_value",
    "slug_validator",
]
