"""Who carries work out."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Worker(models.Model):
    """One process start of a worker, as it reports itself; a name is never reused."""

    name = models.CharField(max_length=160, unique=True)
    host = models.CharField(max_length=128)
    pid = models.PositiveIntegerField()
    queues = ArrayField(models.CharField(max_length=32))
    slots = models.PositiveSmallIntegerField(default=1)
    version = models.CharField(max_length=32, blank=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return self.name
