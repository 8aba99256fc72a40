"""What happened, line by line, and when each periodic job last ran."""

from __future__ import annotations

from django.db import models
from django.db.models import Func, Q

from registry.fields import TypedJSONField
from registry.models.fleets import Fleet, RegisteredModel
from registry.models.versions import ModelVersion
from registry.reports import GateReport

# The id of the transaction that writes the row, so that readers can leave out what is not yet committed, and what
# `manage.py after_restore` adds where a younger server counts from a lower one. A bare `Func`, so that the migration
# which sets it as default imports no code of this app.
TRANSACTION_ID = Func(
    template="(pg_current_xact_id()::text::bigint + registry_txid_offset())", output_field=models.BigIntegerField()
)


class Event(models.Model):
    """One line of the ledger: append-only, held by a trigger of the database and by a chain of hashes."""

    # The indexes below begin with each of these two: one of its own would only cost writes.
    registered_model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, null=True, related_name="events", db_index=False
    )
    fleet = models.ForeignKey(Fleet, on_delete=models.PROTECT, null=True, related_name="events", db_index=False)
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
            # What happened rarely is found among very many lines.
            models.Index(fields=["kind", "-id"], name="event_of_kind"),
            models.Index(fields=["cause", "-id"], name="event_of_cause"),
        ]
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} #{self.count}"


class Tick(models.Model):
    """When a periodic job last ran; beat writes nothing itself, so this is how a silent beat shows."""

    name = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Bookmark(models.Model):
    """How far a reader of the ledger has read: the cursor of `registry.history`, kept between its runs.

    A job that goes through other rows in several runs keeps its place in `event_id` alone. A note, of a look at a store
    or of a try that began, has its name and its time.
    """

    name = models.CharField(max_length=64, primary_key=True)
    txid = models.BigIntegerField(default=0)
    event_id = models.BigIntegerField(default=0)
    at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
