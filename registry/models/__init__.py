"""The tables of what exists."""

from registry.models.access import ApiToken, IdempotencyKey, Standing, TenantMembership
from registry.models.exports import Export
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
from registry.models.versions import SEARCHED_METRICS, Hold, ModelVersion, metric_value

__all__ = [
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
