"""Which installation this is."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.db.models import Q


class Installation(models.Model):
    """The one row that tells this installation from others; a copy of the database is the same one."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    is_only = models.BooleanField(default=True, unique=True, editable=False)
    artifact_url = models.TextField(blank=True, editable=False, help_text="where the artifact store was last marked")
    backup_url = models.TextField(blank=True, editable=False, help_text="where the backup store was last marked")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(is_only=True), name="installation_is_only_one")]

    def __str__(self) -> str:
        return str(self.id)
