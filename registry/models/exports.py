"""What stands in the export folder of each model, and what went wrong there last."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.fleets import RegisteredModel
from registry.models.versions import ModelVersion


class Export(models.Model):
    """The folder of one registered model below the export root of the installation."""

    registered_model = models.OneToOneField(
        RegisteredModel, on_delete=models.CASCADE, primary_key=True, related_name="export"
    )
    version = models.ForeignKey(
        ModelVersion,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="that the pointer file names; empty: none",
    )
    moved_at = models.DateTimeField(null=True, help_text="when the pointer file last moved")
    due_at = models.DateTimeField(
        null=True, help_text="when it is looked at again without an event: a failure, or old folders to remove"
    )
    failures = models.PositiveIntegerField(default=0, help_text="in a row")
    code = models.CharField(max_length=64, blank=True, help_text="of the last failure; empty after a success")
    sentence = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="export_due")]

    def __str__(self) -> str:
        return f"Export of {self.registered_model}"
