"""Fleets and the models in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from registry import identifiers
from registry.fields import TypedJSONField
from registry.metrics import Direction

slug_validator = RegexValidator(
    rf"\A{identifiers.SLUG}\Z", "Small letters, digits, - and _, at most 63, beginning with a letter or digit."
)
entity_validator = RegexValidator(
    rf"\A{identifiers.ENTITY_KEY}\Z", "Letters, digits and . _ : -, at most 128, beginning with a letter or digit."
)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What a fleet keeps; None means the installation's default."""

    keep: int | None = None
    """The newest ready versions of each model that stay."""
    champions: int | None = None
    """The last ready versions that were champion, the present one counted, that stay."""
    younger_than_days: int | None = None
    """Versions registered less than this many days ago stay."""
    served_within_days: int | None = None
    """Versions that were champion less than this many days ago stay."""
    grace_days: int | None = None
    """Days between the mark and the sweep, in which a version can be restored."""


# Larger numbers mean nothing and would overflow dates of the database.
RETENTION_BOUNDS = {
    "keep": (1, 10_000),
    "champions": (0, 10_000),
    "younger_than_days": (0, 36_500),
    "served_within_days": (0, 36_500),
    "grace_days": (0, 3_650),
}


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """How a fleet reads its metrics."""

    primary: str = "mae"
    zero_below: float = 0.0
    """Actuals of at most this size are left out of MAPE, in the fleet's unit."""
    directions: Mapping[str, Direction] = field(default_factory=dict)
    """Metrics of this fleet that no catalogue knows, and which way each gets better."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What of a fleet is written out as folders, for consumers that only read files."""

    enabled: bool = False
    """Whether a sweep keeps the folders current."""
    versions: int = 1
    """The newest ready versions of each model that are written beside its champion."""
    metadata: tuple[str, ...] = ()
    """The fields of metadata.json; empty: all."""


EXPORT_BOUNDS = {"versions": (0, 1000)}


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
    export = TypedJSONField(ExportSettings, default=ExportSettings)
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
        permissions = [("pause_fleet", "Can pause a fleet and its models")]

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}"

    def clean(self) -> None:
        """Refuse numbers that no retention and no export can mean. Raises ValidationError naming each."""
        refused = {
            column: [
                f"{name}: {least} to {most}."
                for name, (least, most) in bounds.items()
                if _beyond(held, name, least, most)
            ]
            for column, held, bounds in (
                ("retention", self.retention, RETENTION_BOUNDS),
                ("export", self.export, EXPORT_BOUNDS),
            )
        }
        if any(refused.values()):
            raise ValidationError({column: said for column, said in refused.items() if said})


def _beyond(held: object, name: str, least: int, most: int) -> bool:
    value = getattr(held, name, None)
    return value is not None and not least <= value <= most


POINTERS = ("champion", "challenger", "anchor")
"""What leads from a model to a version of it, by the words that people use."""


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
    previous_champion = models.ForeignKey(
        "ModelVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        help_text="where a roll back goes, and what serves when the champion's file is damaged",
    )
    last_number = models.PositiveIntegerField(default=0, editable=False)
    last_version_at = models.DateTimeField(null=True, blank=True, editable=False)
    fence = models.BigIntegerField(default=0, editable=False, help_text="grows with every pointer move")
    ledger_hash = models.CharField(max_length=64, blank=True, editable=False)
    ledger_count = models.PositiveIntegerField(default=0, editable=False)
    ledger_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="time of the newest line")
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    latest: ClassVar[Any] = None
    """The newest ready version where `registry.comparison.latest` read the model; it leaves what has none as it is."""

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
