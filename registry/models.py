"""The tables of what exists: fleets, registered models, versions, holds, the ledger, and who may touch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now
from knox.models import AbstractAuthToken

from registry import identifiers
from registry.fields import TypedJSONField
from registry.reports import GateReport, Scorecard

ENTITY_KEY = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
SLUG = r"[a-z0-9][a-z0-9_-]{0,62}"
slug_validator = RegexValidator(
    rf"\A{SLUG}\Z", "Small letters, digits, - and _, at most 63, beginning with a letter or digit."
)
entity_validator = RegexValidator(
    rf"\A{ENTITY_KEY}\Z", "Letters, digits and . _ : -, at most 128, beginning with a letter or digit."
)


# The id of the transaction that writes the row, so that readers can leave out what is not yet committed. A bare `Func`,
# so that the migration which sets it as default imports no code of this app.
TRANSACTION_ID = Func(template="(pg_current_xact_id()::text::bigint)", output_field=models.BigIntegerField())


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What a fleet keeps; None means the installation's default."""

    keep: int | None = None
    younger_than_days: int | None = None


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """How a fleet reads its metrics."""

    primary: str = "mae"
    zero_below: float = 0.0
    """Actuals of at most this size are left out of MAPE, in the fleet's unit."""


class Fleet(models.Model):
    """Models that are managed alike."""

    class Kind(models.TextChoices):
        FORECAST = "forecast"
        REGRESSION = "regression"

    tenant = models.CharField(max_length=63, validators=[slug_validator])
    name = models.CharField(max_length=63, validators=[slug_validator])
    kind = models.CharField(max_length=16, choices=Kind)
    frequency = models.CharField(max_length=16, help_text="pandas offset alias, such as D, h or 15min")
    horizon = models.PositiveIntegerField(default=1, help_text="steps ahead", validators=[MinValueValidator(1)])
    season_length = models.PositiveIntegerField(default=1, help_text="steps", validators=[MinValueValidator(1)])
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="IANA name; local wall time of finer than daily series"
    )
    unit = models.CharField(max_length=32, blank=True)
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    paused = models.BooleanField(default=False)
    retention = TypedJSONField(Retention, default=Retention)
    metric_settings = TypedJSONField(MetricSettings, default=MetricSettings)
    managed_by = models.CharField(max_length=64, blank=True, help_text="digest of the fleet file that made it")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="fleet_name_is_unique_in_tenant"),
            models.CheckConstraint(condition=Q(kind__in=["forecast", "regression"]), name="fleet_kind_is_known"),
            models.CheckConstraint(condition=Q(horizon__gte=1, season_length__gte=1), name="fleet_steps_are_positive"),
        ]
        indexes = [GinIndex(fields=["tags"], name="fleet_tags")]
        ordering = ["tenant", "name"]

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}"


class RegisteredModel(models.Model):
    """One entity of one fleet; its pointers move only through `registry.lifecycle`."""

    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        RETIRED = "retired"

    fleet = models.ForeignKey(Fleet, on_delete=models.PROTECT, related_name="registered_models")
    entity_key = models.CharField(max_length=128, validators=[entity_validator])
    state = models.CharField(max_length=16, choices=State, default=State.ACTIVE)
    champion = models.ForeignKey("ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    challenger = models.ForeignKey("ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    anchor = models.ForeignKey("ModelVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    last_number = models.PositiveIntegerField(default=0, editable=False)
    last_version_at = models.DateTimeField(null=True, blank=True, editable=False)
    fence = models.BigIntegerField(default=0, editable=False, help_text="grows with every pointer move")
    ledger_hash = models.CharField(max_length=64, blank=True, editable=False)
    ledger_count = models.PositiveIntegerField(default=0, editable=False)
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["fleet", "entity_key"], name="entity_is_unique_in_fleet"),
            models.CheckConstraint(
                condition=Q(state__in=["active", "paused", "retired"]), name="registered_model_state_is_known"
            ),
        ]
        indexes = [GinIndex(fields=["tags"], name="registered_model_tags")]
        ordering = ["fleet", "entity_key"]
        permissions = [("rollback_registeredmodel", "Can roll a registered model back")]

    def __str__(self) -> str:
        return f"{self.fleet.name}/{self.entity_key}"


class ModelVersion(models.Model):
    """One trained result, immutable but for its state; its id is that of the run that made it."""

    class State(models.TextChoices):
        PENDING = "pending"
        READY = "ready"
        QUARANTINED = "quarantined"
        ARCHIVED = "archived"
        DELETED = "deleted"

    id = models.UUIDField(primary_key=True, default=identifiers.uuid7, editable=False)
    registered_model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=40)
    state = models.CharField(max_length=16, choices=State, default=State.READY)
    trainer = models.CharField(max_length=64)
    params = models.JSONField(default=dict, blank=True)
    scorecard = TypedJSONField(Scorecard, default=Scorecard)
    data_start = models.DateTimeField(null=True, blank=True)
    train_end = models.DateTimeField(
        null=True, blank=True, help_text="last stamp that the scored forecaster was fitted on"
    )
    fit_end = models.DateTimeField(
        null=True, blank=True, help_text="last stamp that the stored forecaster was fitted on"
    )
    rows = models.PositiveIntegerField(default=0)
    features = ArrayField(models.CharField(max_length=128), default=list, blank=True)
    snapshot_digest = models.CharField(max_length=64, blank=True)
    seed = models.BigIntegerField(default=0)
    library_versions = models.JSONField(default=dict, blank=True)
    refitted = models.BooleanField(default=False)
    artifact_digest = models.CharField(max_length=64, help_text="SHA-256 of the stored bytes")
    artifact_size = models.PositiveBigIntegerField(help_text="bytes")
    artifact_format = models.CharField(max_length=32)
    artifact_key_id = models.CharField(max_length=64)
    artifact_signature = models.CharField(max_length=64, help_text="HMAC-SHA-256")
    artifact_container = models.CharField(
        max_length=64, blank=True, help_text="digest of the object that holds it; empty: its own"
    )
    artifact_offset = models.PositiveBigIntegerField(default=0, help_text="bytes from the start of the container")
    note = models.TextField(blank=True)
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    extra = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(help_text="when it was registered; never earlier than the version before it")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["registered_model", "number"], name="number_is_unique_in_registered_model"),
            models.UniqueConstraint(fields=["registered_model", "label"], name="label_is_unique_in_registered_model"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "ready", "quarantined", "archived", "deleted"]),
                name="version_state_is_known",
            ),
        ]
        indexes = [models.Index(fields=["artifact_digest"], name="version_artifact_digest")]
        ordering = ["registered_model", "-number"]
        permissions = [("promote_modelversion", "Can promote a model version")]

    def __str__(self) -> str:
        return f"{self.registered_model} v{self.number}"


class Hold(models.Model):
    """A reason to keep a version; retention looks at nothing else."""

    class PlacedBy(models.TextChoices):
        USER = "user"
        AB_TEST = "ab-test"
        AUDIT = "audit"

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="holds")
    placed_by = models.CharField(max_length=16, choices=PlacedBy)
    reason = models.CharField(max_length=500)
    until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"{self.placed_by}: {self.reason}"


class Event(models.Model):
    """One line of the ledger: append-only, held by a trigger of the database and by a chain of hashes."""

    registered_model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, null=True, related_name="events")
    fleet = models.ForeignKey(Fleet, on_delete=models.PROTECT, null=True, related_name="events")
    kind = models.CharField(max_length=64)
    from_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    to_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    actor = models.CharField(max_length=150)
    cause = models.CharField(max_length=32)
    reason = models.TextField(blank=True)
    report = TypedJSONField[GateReport | None](GateReport, null=True)
    fence = models.BigIntegerField(default=0)
    at = models.DateTimeField()
    count = models.PositiveIntegerField(default=0, help_text="place in the chain of its registered model, from 1")
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64, blank=True)
    txid = models.BigIntegerField(db_default=TRANSACTION_ID, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["registered_model", "count"],
                condition=Q(registered_model__isnull=False),
                name="event_place_is_unique_in_chain",
            ),
            models.CheckConstraint(
                condition=Q(registered_model__isnull=False) | Q(fleet__isnull=False), name="event_names_its_subject"
            ),
        ]
        indexes = [
            models.Index(fields=["txid", "id"], name="event_cursor"),
            models.Index(fields=["registered_model", "at"], name="event_of_model_at"),
            models.Index(fields=["fleet", "-id"], name="event_of_fleet"),
        ]
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} #{self.count}"


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox has no types
    """A hashed token: a subset of its user's rights and tenants, until it expires."""

    class Scope(models.TextChoices):
        VIEWER = "viewer"
        OPERATOR = "operator"
        APPROVER = "approver"
        ADMIN = "admin"

    label = models.CharField(max_length=100)
    scope = models.CharField(
        max_length=16, choices=Scope, default=Scope.VIEWER, help_text="the highest role it may act as"
    )
    tenants = ArrayField(
        models.CharField(max_length=63), default=list, blank=True, help_text="empty: all of its user's"
    )
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.label} ({self.token_key}…)"


class TenantMembership(models.Model):
    """A user may see the fleets of a tenant; what the user may do there is decided by groups."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tenant_memberships")
    tenant = models.CharField(max_length=63, validators=[slug_validator])

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "tenant"], name="membership_is_unique")]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"


class IdempotencyKey(models.Model):
    """The answer given to a key, so that a repeated request gets the same one and starts nothing."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=128)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body: models.JSONField[Mapping[str, Any] | None, Mapping[str, Any] | None] = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_is_unique")]

    def __str__(self) -> str:
        return self.key


class Tick(models.Model):
    """When a periodic job last ran; beat writes nothing itself, so this is how a silent beat shows."""

    name = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
