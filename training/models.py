"""The tables of how versions come to be: sources, snapshots, policies, batches, chunks, runs, forecasts."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from registry import identifiers
from registry.fields import TypedJSONField
from registry.models import Fleet, ModelVersion, RegisteredModel, slug_validator
from registry.reports import GateReport
from training import policy_terms
from training.gate import GateLimits


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """A source of kind `file`: one CSV (also gzip) or Parquet file on a disk that every worker sees."""

    path: str
    format: str = ""
    """`csv` or `parquet`; empty means by the ending of the path."""


@dataclass(frozen=True, kw_only=True)
class Regressor:
    """A column that explains the target; with `known_future` its values are known ahead, as holidays are."""

    name: str
    known_future: bool = False


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column of a source is what."""

    time: str
    target: str
    entity: str = ""
    """Empty: the whole source is one entity, named as the source."""
    features: tuple[str, ...] = ()
    regressors: tuple[Regressor, ...] = ()


class Source(models.Model):
    """Where series come from."""

    class Kind(models.TextChoices):
        FILE = "file"

    class Duplicates(models.TextChoices):
        REFUSE = "refuse"
        FIRST = "first"
        LAST = "last"
        MEAN = "mean"
        SUM = "sum"

    class Gaps(models.TextChoices):
        LEAVE = "leave"
        ZERO = "zero"
        INTERPOLATE = "interpolate"

    tenant = models.CharField(max_length=63, validators=[slug_validator])
    name = models.CharField(max_length=63, validators=[slug_validator])
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.FILE)
    options = TypedJSONField(FileOptions)
    columns = TypedJSONField(Columns)
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="IANA zone of stamps without offset; empty: none declared"
    )
    duplicates = models.CharField(max_length=16, choices=Duplicates, default=Duplicates.REFUSE)
    gaps = models.CharField(max_length=16, choices=Gaps, default=Gaps.LEAVE)
    managed_by = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="source_name_is_unique_in_tenant")]
        ordering = ["tenant", "name"]

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}"


class Snapshot(models.Model):
    """The rows of one reading, kept by digest, so that a run can be repeated on what it saw."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="snapshots")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the stored Parquet")
    window_start = models.DateTimeField(null=True)
    window_end = models.DateTimeField(null=True)
    rows = models.PositiveBigIntegerField()
    entities = models.PositiveIntegerField()
    location = models.CharField(max_length=255, help_text="key in the store")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "digest"], name="snapshot_is_unique_in_source")]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.source.name} {self.digest[:12]}"


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
    misfire_limit = models.PositiveSmallIntegerField(default=3, help_text="most slots that run_all catches up")
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
        constraints = [models.UniqueConstraint(fields=["fleet", "name"], name="policy_name_is_unique_in_fleet")]
        indexes = [models.Index(fields=["next_due_at"], name="policy_next_due")]
        ordering = ["fleet", "name"]
        verbose_name_plural = "retraining policies"
        permissions = [("pause_retrainingpolicy", "Can pause a retraining policy")]

    def __str__(self) -> str:
        return f"{self.fleet.name}/{self.name}"


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
    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, null=True, related_name="batches")
    state = models.CharField(max_length=16, choices=State, default=State.OPEN)
    expected = models.PositiveIntegerField(default=0)
    counts = TypedJSONField(dict[str, int], default=dict)
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
        return f"{self.fleet.name} {self.requested_at:%Y-%m-%d %H:%M:%S}"


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
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.WORK)
    queue = models.CharField(max_length=32, default="training")
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    worker = models.CharField(max_length=128, blank=True)
    attempt = models.PositiveIntegerField(
        default=0, help_text="times published; a message carries the number it was published with"
    )
    losses = models.PositiveIntegerField(default=0, help_text="of a prepare chunk: workers lost with it")
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
    registered_model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="runs")
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="runs")
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
        "self", on_delete=models.SET_NULL, null=True, related_name="+", help_text="the open run that this request met"
    )
    verdict = models.CharField(max_length=16, blank=True)
    report = TypedJSONField[GateReport | None](GateReport, null=True)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="runs")
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
        indexes = [models.Index(fields=["run", "id"], name="log_of_run")]
        ordering = ["id"]

    def __str__(self) -> str:
        return self.message


class Forecast(models.Model):
    """What a version published: readers take the newest of the champion pointer's version."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="forecasts")
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
