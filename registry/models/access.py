"""Who may see and do what: tokens, memberships, and answers given once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from knox.models import AbstractAuthToken

from registry.models.fleets import slug_validator


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a user is, as it was read in one statement with the token."""

    groups: tuple[str, ...]
    tenants: frozenset[str]


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
    standing: Standing | None = None
    """That of its user at the time of the request that it came with; None where nobody has read it."""

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
