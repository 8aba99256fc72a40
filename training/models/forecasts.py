"""What versions publish."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from registry.models import ModelVersion


class Forecast(models.Model):
    """What a version published: readers take the newest of the champion pointer's version."""

    # The unique cutoffs of a version begin with it: an index of its own would only cost writes.
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="forecasts", db_index=False)
    cutoff = models.DateTimeField(help_text="last observation that it knew")
    published_at = models.DateTimeField()
    time = ArrayField(models.DateTimeField(), help_text="for a daily or coarser fleet midnight UTC stands for the date")
    yhat = ArrayField(models.FloatField())
    lower = ArrayField(models.FloatField(null=True), help_text="null where the trainer gives no interval")
    upper = ArrayField(models.FloatField(null=True))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "cutoff"], name="forecast_is_unique_for_cutoff")]
        ordering = ["version", "-cutoff"]

    def __str__(self) -> str:
        return f"{self.version} from {self.cutoff:%Y-%m-%d}"
