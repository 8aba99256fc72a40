"""How the rows of training look on the wire. Output alone; names every field, so that a new column stays inside."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.rest_api.shapes import PlainField, model_address
from training.models import Batch, RetrainingPolicy, RunLog, Snapshot, Source, TrainingRun

LOG_LINES = 500


class RunSerializer(serializers.ModelSerializer[TrainingRun]):
    """One attempt for one model."""

    tenant = serializers.CharField(source="registered_model.fleet.tenant", read_only=True)
    fleet = serializers.CharField(source="registered_model.fleet.name", read_only=True)
    entity = serializers.CharField(source="registered_model.entity_key", read_only=True)
    url = serializers.SerializerMethodField()
    model_url = serializers.SerializerMethodField()
    batch = serializers.UUIDField(source="batch_id", read_only=True)
    policy = serializers.CharField(source="policy.name", read_only=True, default=None, allow_null=True)
    version = serializers.UUIDField(source="version_id", read_only=True, allow_null=True)
    joined = serializers.UUIDField(
        source="joined_id", read_only=True, allow_null=True, help_text="the open run that this request met"
    )
    reasons = PlainField(read_only=True)
    detail = serializers.CharField(source="sentence", read_only=True, help_text="what happened, where it says `code`")

    class Meta:
        model = TrainingRun
        fields = [
            "id",
            "url",
            "kind",
            "tenant",
            "fleet",
            "entity",
            "model_url",
            "batch",
            "policy",
            "reasons",
            "queue",
            "state",
            "phase",
            "percent",
            "attempt",
            "verdict",
            "version",
            "joined",
            "code",
            "detail",
            "next_step",
            "not_before",
            "requested_at",
            "dispatched_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields

    def get_url(self, run: TrainingRun) -> str:
        """Return its address."""
        return reverse("run", args=[run.pk])

    def get_model_url(self, run: TrainingRun) -> str:
        """Return the address of its model."""
        return model_address(run.registered_model)


class LogLineSerializer(serializers.ModelSerializer[RunLog]):
    """A line that a run wrote."""

    class Meta:
        model = RunLog
        fields = ["at", "level", "message"]


class RunDetailSerializer(RunSerializer):
    """One attempt with the report of its gate, what it used and found, and its log."""

    report = PlainField(read_only=True, allow_null=True)
    details = PlainField(read_only=True)
    log = serializers.SerializerMethodField(help_text=f"its last {LOG_LINES} lines")

    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "report", "details", "log"]
        read_only_fields = fields

    @extend_schema_field(LogLineSerializer(many=True))
    def get_log(self, run: TrainingRun) -> Any:
        """Return the last lines, the oldest first."""
        newest_first = list(run.log_lines.order_by("-id")[:LOG_LINES])
        return LogLineSerializer(newest_first[::-1], many=True).data


class BatchSerializer(serializers.ModelSerializer[Batch]):
    """One firing of a policy, or one request; `counts` as last counted."""

    tenant = serializers.CharField(source="fleet.tenant", read_only=True)
    fleet = serializers.CharField(source="fleet.name", read_only=True)
    url = serializers.SerializerMethodField()
    runs_url = serializers.SerializerMethodField()
    policy = serializers.CharField(source="policy.name", read_only=True, default=None, allow_null=True)
    reason = PlainField(read_only=True)
    counts = PlainField(read_only=True, help_text="runs by state")
    detail = serializers.CharField(source="sentence", read_only=True, help_text="what happened, where it says `code`")

    class Meta:
        model = Batch
        fields = [
            "id",
            "url",
            "runs_url",
            "tenant",
            "fleet",
            "policy",
            "slot",
            "kind",
            "queue",
            "reason",
            "look_back_days",
            "state",
            "expected",
            "counts",
            "halted",
            "code",
            "detail",
            "next_step",
            "requested_at",
            "finished_at",
        ]
        read_only_fields = fields

    def get_url(self, batch: Batch) -> str:
        """Return its address."""
        return reverse("batch", args=[batch.pk])

    def get_runs_url(self, batch: Batch) -> str:
        """Return the address of its runs."""
        return f"{reverse('runs')}?{urlencode({'batch': batch.pk})}"


class ProgressSerializer(serializers.Serializer[Any]):
    """How far a batch is, counted now."""

    expected = serializers.IntegerField()
    counts = PlainField()
    percent = serializers.IntegerField(help_text="share of the runs that have ended")
    state = serializers.CharField()


class BatchDetailSerializer(serializers.Serializer[Any]):
    """A batch and how far it is."""

    batch = BatchSerializer()
    progress = ProgressSerializer()


class RequestedSerializer(BatchDetailSerializer):
    """What a request for runs made; a whole fleet's runs appear once its source is read."""

    runs = RunSerializer(many=True, help_text="the first page of them")


class PolicySerializer(serializers.ModelSerializer[RetrainingPolicy]):
    """When models of a fleet are retrained, how, and what follows."""

    tenant = serializers.CharField(source="fleet.tenant", read_only=True)
    fleet = serializers.CharField(source="fleet.name", read_only=True)
    url = serializers.SerializerMethodField()
    source = serializers.CharField(source="source.name", read_only=True)  # type: ignore[assignment]  # its wire name
    selector = PlainField(read_only=True)
    trainers = PlainField(read_only=True)
    triggers = PlainField(read_only=True)
    expectations = PlainField(read_only=True)
    gate_limits = PlainField(read_only=True)
    tuning = PlainField(read_only=True)
    caps = PlainField(read_only=True)

    class Meta:
        model = RetrainingPolicy
        fields = [
            "tenant",
            "fleet",
            "name",
            "url",
            "source",
            "selector",
            "trainers",
            "triggers",
            "cron",
            "time_zone",
            "misfire",
            "misfire_limit",
            "jitter_seconds",
            "look_back_days",
            "strategy",
            "action",
            "promote_mode",
            "refit",
            "expectations",
            "gate_limits",
            "tuning",
            "caps",
            "enabled",
            "paused",
            "next_due_at",
            "last_slot",
            "managed_by",
        ]
        read_only_fields = fields

    def get_url(self, policy: RetrainingPolicy) -> str:
        """Return its address, with its tenant, so that it leads there for every caller."""
        where = reverse("policy", args=[policy.fleet.name, policy.name])
        return f"{where}?{urlencode({'tenant': policy.fleet.tenant})}"


class SnapshotSerializer(serializers.ModelSerializer[Snapshot]):
    """The rows of one reading of a source."""

    class Meta:
        model = Snapshot
        fields = ["digest", "window_start", "window_end", "rows", "entities", "created_at"]


class SourceSerializer(serializers.ModelSerializer[Source]):
    """Where series come from; where exactly, and with which rights, stays inside."""

    url = serializers.SerializerMethodField()
    columns = PlainField(read_only=True)

    class Meta:
        model = Source
        fields = [
            "tenant",
            "name",
            "url",
            "kind",
            "columns",
            "time_zone",
            "duplicates",
            "gaps",
            "managed_by",
            "created_at",
        ]
        read_only_fields = fields

    def get_url(self, source: Source) -> str:
        """Return its address, with its tenant, so that it leads there for every caller."""
        return f"{reverse('source', args=[source.name])}?{urlencode({'tenant': source.tenant})}"


class SourceDetailSerializer(SourceSerializer):
    """A source and what was last read of it."""

    snapshot = serializers.SerializerMethodField()

    class Meta(SourceSerializer.Meta):
        fields = [*SourceSerializer.Meta.fields, "snapshot"]
        read_only_fields = fields

    @extend_schema_field(SnapshotSerializer(allow_null=True))
    def get_snapshot(self, source: Source) -> Any:
        """Return the newest snapshot, None where it was never read."""
        newest = source.snapshots.order_by("-id").first()
        return SnapshotSerializer(newest).data if newest else None
