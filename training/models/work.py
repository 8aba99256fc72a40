"""What is asked for and carried out: batches, chunks, runs and their log."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from registry import identifiers, timestamps
from registry.fields import TypedJSONField
from registry.models import Fleet, ModelVersion, RegisteredModel
from registry.reports import GateReport
from training import policy_terms
from training.models.policies import RetrainingPolicy
from training.models.sources import Snapshot


class Batch(models.Model):
    """One firing of a policy, or one request by a person or a service."""

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"

    id = models.UUIDField(primary_key=True, default=identifiers.uuid7, editable=False)
    fleet = models.ForeignKey(Fleet, on_delete=models.PROTECT, related_name="batches")
    policy = models.ForeignKey(RetrainingPolicy, on_delete=models.SET_NULL, null=True, related_name="batches")
    slot = models.DateTimeField(null=True, help_text="the nominal time of the schedule; empty: asked for by hand")
    kind = models.CharField(max_length=16, default="retrain")
    queue = models.CharField(max_length=32, default="training")
    reason = TypedJSONField(policy_terms.Reason)
    look_back_days = models.PositiveIntegerField(null=True)
    discovers = models.BooleanField(default=False, help_text="its first reading registers entities that are new")
    listed = models.BooleanField(default=True, help_text="whether each model that it asks for has its run")
    listed_to = models.CharField(max_length=128, blank=True, help_text="until then: the last entity that has one")
    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, null=True, related_name="batches")
    state = models.CharField(max_length=16, choices=State, default=State.OPEN)
    expected = models.PositiveIntegerField(default=0)
    counts = TypedJSONField(dict[str, int], default=dict)
    counted_at = models.DateTimeField(null=True, help_text="when its runs were last counted")
    halted = models.BooleanField(default=False)
    code = models.CharField(max_length=64, blank=True)
    sentence = models.TextField(blank=True)
    next_step = models.TextField(blank=True)
    requested_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["policy", "slot"], condition=Q(slot__isnull=False), name="slot_fires_once"),
            models.CheckConstraint(condition=Q(state__in=["open", "done"]), name="batch_state_is_known"),
        ]
        indexes = [
            models.Index(fields=["fleet", "-id"], name="batch_of_fleet"),
            models.Index(fields=["id"], condition=Q(state="open"), name="batch_open"),
        ]
        ordering = ["-id"]
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"{self.fleet.name} {timestamps.readable(self.requested_at, seconds=True)}"


class Chunk(models.Model):
    """The runs that one worker takes at once: the only unit of dispatch, claim and heartbeat."""

    class Kind(models.TextChoices):
        PREPARE = "prepare", "read the source and list its entities"
        WORK = "work"

    class State(models.TextChoices):
        QUEUED = "queued"
        DISPATCHED = "dispatched"
        RUNNING = "running"
        DONE = "done"
        LOST = "lost"

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="chunks")
    policy = models.ForeignKey(RetrainingPolicy, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.WORK)
    queue = models.CharField(max_length=32, default="training")
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    worker = models.CharField(max_length=128, blank=True)
    attempt = models.PositiveIntegerField(
        default=0, help_text="times published; a message carries the number it was published with"
    )
    losses = models.PositiveIntegerField(default=0, help_text="of a prepare chunk: workers lost with it")
    size = models.PositiveIntegerField(default=0, help_text="runs that it was formed of")
    expected_seconds = models.FloatField(null=True, help_text="of work, by what its policy's runs took before")
    ended = models.PositiveIntegerField(default=0, help_text="runs that a worker has carried out")
    seconds = models.FloatField(default=0.0, help_text="that they took")
    fence = models.BigIntegerField(default=0, help_text="grows with every claim and every loss")
    not_before = models.DateTimeField(null=True)
    dispatched_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "dispatched", "running", "done", "lost"]), name="chunk_state_is_known"
            )
        ]
        indexes = [
            models.Index(fields=["queue", "id"], condition=Q(state="queued"), name="chunk_queued"),
            models.Index(
                fields=["state", "lease_until"], condition=Q(state__in=["dispatched", "running"]), name="chunk_in_hand"
            ),
            # What its newest chunks took is what a policy's runs are expected to take.
            models.Index(fields=["policy", "-id"], name="chunk_of_policy"),
        ]
        ordering = ["id"]

    def __str__(self) -> str:
        return f"chunk {self.pk}"


class TrainingRun(models.Model):
    """One attempt for one model. A terminal state never changes: a trigger of the database holds it."""

    class Kind(models.TextChoices):
        RETRAIN = "retrain"
        EVALUATE = "evaluate"
        PROMOTE = "promote"

    class State(models.TextChoices):
        QUEUED = "queued"
        DISPATCHED = "dispatched"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        TIMED_OUT = "timed_out"
        CANCELLED = "cancelled"
        SKIPPED = "skipped"
        SUPERSEDED = "superseded"

    OPEN = (State.QUEUED, State.DISPATCHED, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=identifiers.uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.RETRAIN)
    # Found by the indexes below: each one more is paid for by every change of a run's state.
    registered_model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="runs", db_index=False)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="runs", db_index=False)
    chunk = models.ForeignKey(Chunk, on_delete=models.SET_NULL, null=True, related_name="runs")
    policy = models.ForeignKey(RetrainingPolicy, on_delete=models.SET_NULL, null=True, related_name="runs")
    reasons = TypedJSONField(tuple[policy_terms.Reason, ...], default=tuple)
    queue = models.CharField(max_length=32, default="training")
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    phase = models.CharField(max_length=32, blank=True)
    percent = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    attempt = models.PositiveIntegerField(default=0, help_text="times a worker began it")
    losses = models.PositiveIntegerField(default=0, help_text="workers lost with it while it was alone in its chunk")
    fence = models.BigIntegerField(default=0, help_text="fence of the chunk that claimed it")
    joined = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
        help_text="the open run that this request met",
    )
    verdict = models.CharField(max_length=16, blank=True)
    report = TypedJSONField[GateReport | None](GateReport, null=True)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="runs", db_index=False)
    details = TypedJSONField(policy_terms.RunDetails, default=policy_terms.RunDetails)
    code = models.CharField(max_length=64, blank=True)
    sentence = models.TextField(blank=True)
    next_step = models.TextField(blank=True)
    requested_at = models.DateTimeField()
    dispatched_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["registered_model"],
                condition=Q(state__in=["queued", "dispatched", "running"]),
                name="one_open_run_for_a_model",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "queued",
                        "dispatched",
                        "running",
                        "succeeded",
                        "failed",
                        "timed_out",
                        "cancelled",
                        "skipped",
                        "superseded",
                    ]
                ),
                name="run_state_is_known",
            ),
            models.CheckConstraint(condition=Q(percent__lte=100), name="percent_is_at_most_100"),
        ]
        indexes = [
            models.Index(fields=["registered_model", "-id"], name="run_of_model"),
            models.Index(fields=["batch", "state"], name="run_of_batch"),
            models.Index(fields=["state", "-id"], name="run_by_state"),
            models.Index(fields=["joined"], condition=Q(joined__isnull=False), name="run_joined"),
            models.Index(fields=["version"], condition=Q(version__isnull=False), name="run_of_version"),
            # The rare ones, which lists of very many runs are filtered by; the others have no entry.
            models.Index(fields=["verdict", "-id"], condition=Q(verdict__in=["held", "failed"]), name="run_unpromoted"),
            models.Index(fields=["kind", "-id"], condition=~Q(kind="retrain"), name="run_of_other_kind"),
        ]
        ordering = ["-id"]
        permissions = [
            ("trigger_trainingrun", "Can trigger a training run"),
            ("cancel_trainingrun", "Can cancel a training run"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.registered_model}"


class RunLog(models.Model):
    """A line that a run wrote."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="log_lines")
    at = models.DateTimeField()
    level = models.CharField(max_length=16)
    message = models.TextField()

    class Meta:
        indexes = [
            models.Index(fields=["run", "id"], name="log_of_run"),
            models.Index(fields=["level", "-id"], condition=~Q(level="info"), name="log_of_level"),
        ]
        ordering = ["id"]

    def __str__(self) -> str:
        return self.message
