"""When models are retrained, how, and what follows."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from registry.fields import TypedJSONField
from registry.models import Fleet, slug_validator
from training import policy_terms
from training.gate import GateLimits
from training.models.sources import Source


class RetrainingPolicy(models.Model):
    """When models of a fleet are retrained, how, and what follows."""

    class Misfire(models.TextChoices):
        SKIP = "skip"
        RUN_LATEST = "run_latest"
        RUN_ALL = "run_all"

    class Strategy(models.TextChoices):
        SAME = "same", "same parameters"
        RETUNE = "retune"

    class Action(models.TextChoices):
        REGISTER = "register", "register only"
        CHALLENGE = "challenge", "make it challenger"
        PROMOTE = "promote", "promote through the gate"

    class PromoteMode(models.TextChoices):
        AUTOMATIC = "automatic"
        MANUAL = "manual", "by an approver"
        SHADOW = "shadow", "after a shadow test"

    fleet = models.ForeignKey(Fleet, on_delete=models.CASCADE, related_name="policies")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="policies")
    name = models.CharField(max_length=63, validators=[slug_validator])
    selector = TypedJSONField(policy_terms.Selector, default=policy_terms.Selector)
    trainers = TypedJSONField(tuple[policy_terms.TrainerChoice, ...], default=tuple)
    triggers = TypedJSONField(policy_terms.Triggers, default=policy_terms.Triggers)
    cron = models.CharField(max_length=100, default="30 18 * * *", help_text="five fields, in the policy's zone")
    time_zone = models.CharField(max_length=64, default="UTC")
    misfire = models.CharField(max_length=16, choices=Misfire, default=Misfire.RUN_LATEST)
    misfire_limit = models.PositiveSmallIntegerField(
        default=3, validators=[MinValueValidator(1)], help_text="most slots that run_all catches up"
    )
    jitter_seconds = models.PositiveIntegerField(
        default=0, help_text="runs of a slot spread over this many seconds, each entity always by the same delay"
    )
    look_back_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="days before the newest observation; empty: the default of the frequency"
    )
    strategy = models.CharField(max_length=16, choices=Strategy, default=Strategy.SAME)
    action = models.CharField(max_length=16, choices=Action, default=Action.PROMOTE)
    promote_mode = models.CharField(max_length=16, choices=PromoteMode, default=PromoteMode.AUTOMATIC)
    refit = models.BooleanField(
        null=True,
        blank=True,
        help_text="refit an accepted candidate on all rows; empty: yes for forecasts, no for regressions",
    )
    expectations = TypedJSONField(policy_terms.Expectations, default=policy_terms.Expectations)
    gate_limits = TypedJSONField(GateLimits, default=GateLimits)
    tuning = TypedJSONField(policy_terms.Tuning, default=policy_terms.Tuning)
    caps = TypedJSONField(policy_terms.Caps, default=policy_terms.Caps)
    enabled = models.BooleanField(default=True)
    paused = models.BooleanField(default=False, help_text="set by people; a fleet file never touches it")
    next_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_slot = models.DateTimeField(null=True, blank=True, editable=False)
    managed_by = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["fleet", "name"], name="policy_name_is_unique_in_fleet"),
            models.CheckConstraint(condition=Q(misfire_limit__gte=1), name="misfire_limit_is_positive"),
        ]
        indexes = [models.Index(fields=["next_due_at"], name="policy_next_due")]
        ordering = ["fleet", "name"]
        verbose_name_plural = "retraining policies"
        permissions = [("pause_retrainingpolicy", "Can pause a retraining policy")]

    def __str__(self) -> str:
        return f"{self.fleet.name}/{self.name}"
