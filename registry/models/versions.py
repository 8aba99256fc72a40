"""Trained results, and reasons to keep them."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, FloatField, Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Now

from registry import identifiers
from registry.fields import TypedJSONField
from registry.models.fleets import POINTERS, Fleet, RegisteredModel
from registry.reports import Scorecard

# The metrics that `version_search` holds: a search by one of them reads the index alone. With the five columns before
# them they are as many as an index can have; a metric outside is read from the rows, about ten times slower.
_SEARCHED = (
    "mae rmse bias mape smape wape mase rmsse r_squared coverage relative_mae pinball wql winkler stability "
    "direction_accuracy profit_factor sharpe_ratio annual_return total_return win_rate max_drawdown volatility "
    "precision recall f1_score data_completeness"
)
SEARCHED_METRICS = tuple(_SEARCHED.split())


def metric_value(name: str) -> Cast:
    """Return the metric of a version as an expression, exactly as the index spells it; null where it has none."""
    return Cast(KeyTextTransform(name, KeyTransform("metrics", "scorecard")), FloatField())


class ModelVersion(models.Model):
    """One trained result, immutable but for its state; its id is that of the run that made it."""

    class State(models.TextChoices):
        PENDING = "pending"
        READY = "ready"
        QUARANTINED = "quarantined"
        ARCHIVED = "archived"
        DELETED = "deleted"

    id = models.UUIDField(primary_key=True, default=identifiers.uuid7, editable=False)
    # The unique numbers and places of a model begin with it: an index of its own would only cost writes.
    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="versions", db_index=False
    )
    fleet = models.ForeignKey(
        Fleet,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="that of its registered model, for searches",
    )
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=40)
    state = models.CharField(max_length=16, choices=State, default=State.READY)
    sweep_after = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="when retention lets an archived version go; empty: never"
    )
    promoted_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="when it last became champion")
    served_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="when it last ceased to be champion; empty while it is"
    )
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
        indexes = [
            models.Index(fields=["artifact_digest"], name="version_artifact_digest"),
            models.Index(fields=["snapshot_digest"], name="version_snapshot"),
            models.Index(fields=["artifact_container"], condition=~Q(artifact_container=""), name="version_container"),
            # The newest of a fleet, of everything, and of what is not simply ready.
            models.Index(fields=["fleet", "-created_at", "-id"], name="version_of_fleet_newest"),
            models.Index(fields=["-created_at", "-id"], name="version_newest"),
            models.Index(
                fields=["fleet", "state", "-created_at", "-id"], condition=~Q(state="ready"), name="version_unready"
            ),
            models.Index(
                fields=["state", "-created_at", "-id"], condition=~Q(state="ready"), name="version_unready_newest"
            ),
            # What came from elsewhere and waits for its trainer, the oldest first.
            models.Index(fields=["created_at", "id"], condition=Q(state="pending"), name="version_pending"),
            models.Index(fields=["sweep_after", "id"], condition=Q(state="archived"), name="version_to_sweep"),
            models.Index(
                fields=["fleet", "sweep_after", "id"], condition=Q(state="archived"), name="version_to_sweep_of_fleet"
            ),
            # A search reads it in the order of the list and leaves the rows alone that do not answer.
            models.Index(
                F("fleet"),
                F("created_at").desc(),
                F("id").desc(),
                F("state"),
                F("trainer"),
                *(metric_value(each) for each in SEARCHED_METRICS),
                name="version_search",
            ),
            # Few of very many: the search above would be read whole for them. Of other metrics it is.
            models.Index(metric_value("mae"), F("fleet"), name="version_mae"),
            GinIndex(fields=["tags"], name="version_tags", fastupdate=False),
        ]
        ordering = ["registered_model", "-number"]
        permissions = [
            ("promote_modelversion", "Can promote a model version"),
            ("tag_modelversion", "Can tag versions and models"),
        ]

    def __str__(self) -> str:
        return f"{self.registered_model} v{self.number}"

    @property
    def pointers(self) -> list[str]:
        """The pointers of its model that lead to it."""
        return [name for name in POINTERS if getattr(self.registered_model, f"{name}_id") == self.pk]


class Hold(models.Model):
    """A reason to keep a version; retention looks at nothing else."""

    class PlacedBy(models.TextChoices):
        USER = "user"
        AB_TEST = "ab-test"
        AUDIT = "audit"

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="holds")
    placed_by = models.CharField(max_length=16, choices=PlacedBy)
    actor = models.CharField(max_length=150, blank=True, default="", db_default="")
    reason = models.CharField(max_length=500)
    until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.reason

    @property
    def holder(self) -> str:
        """Who holds, as people read it: the person, or what else placed it and who had it done."""
        if self.placed_by == self.PlacedBy.USER:
            return self.actor or "a user"
        return f"{self.placed_by} ({self.actor})" if self.actor else self.placed_by
