"""How the rows of the registry look on the wire. Output alone; names every field, so that a new column stays inside."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from pydantic_core import to_jsonable_python
from rest_framework import serializers

from registry.lifecycle import admission
from registry.models import Event, Fleet, ModelVersion, RegisteredModel


@extend_schema_field(OpenApiTypes.OBJECT)
class PlainField(serializers.Field[Any, Any, Any, Any]):
    """A dataclass or a mapping as a JSON object."""

    def to_representation(self, value: Any) -> Any:
        """Return it as plain JSON values."""
        return to_jsonable_python(value)


def model_address(model: RegisteredModel) -> str:
    """Return the address of a model, with its tenant, so that it leads there for every caller."""
    where = reverse("model", args=[model.fleet.name, model.entity_key])
    return f"{where}?{urlencode({'tenant': model.fleet.tenant})}"


def version_address(version_id: UUID) -> str:
    """Return the address of a version."""
    return reverse("version", args=[version_id])


class FleetSerializer(serializers.ModelSerializer[Fleet]):
    """A fleet."""

    url = serializers.SerializerMethodField()
    models = serializers.IntegerField(read_only=True, help_text="registered models that are not retired")

    class Meta:
        model = Fleet
        fields = [
            "tenant",
            "name",
            "url",
            "kind",
            "frequency",
            "horizon",
            "season_length",
            "time_zone",
            "unit",
            "tags",
            "paused",
            "models",
            "managed_by",
            "created_at",
        ]
        read_only_fields = fields

    def get_url(self, fleet: Fleet) -> str:
        """Return its address."""
        return f"{reverse('fleet', args=[fleet.name])}?{urlencode({'tenant': fleet.tenant})}"


class PointedSerializer(serializers.ModelSerializer[ModelVersion]):
    """A version that a pointer of a model leads to, with its numbers."""

    metrics = PlainField(source="scorecard.metrics", read_only=True)
    baseline = PlainField(source="scorecard.baseline", read_only=True, help_text="seasonal naive on the same points")
    url = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = ["id", "number", "label", "url", "state", "trainer", "metrics", "baseline", "created_at"]
        read_only_fields = fields

    def get_url(self, version: ModelVersion) -> str:
        """Return its address."""
        return reverse("version", args=[version.pk])


class RegisteredModelSerializer(serializers.ModelSerializer[RegisteredModel]):
    """One entity of a fleet and the versions that its pointers lead to."""

    tenant = serializers.CharField(source="fleet.tenant", read_only=True)
    fleet = serializers.CharField(source="fleet.name", read_only=True)
    entity = serializers.CharField(source="entity_key", read_only=True)
    url = serializers.SerializerMethodField()
    champion = PointedSerializer(read_only=True, allow_null=True)
    challenger = PointedSerializer(read_only=True, allow_null=True)
    anchor = PointedSerializer(read_only=True, allow_null=True)
    versions = serializers.IntegerField(source="last_number", read_only=True, help_text="registered so far")

    class Meta:
        model = RegisteredModel
        fields = [
            "tenant",
            "fleet",
            "entity",
            "url",
            "state",
            "champion",
            "challenger",
            "anchor",
            "versions",
            "fence",
            "tags",
            "created_at",
        ]
        read_only_fields = fields

    def get_url(self, model: RegisteredModel) -> str:
        """Return its address."""
        return model_address(model)


class NewestSerializer(serializers.ModelSerializer[RegisteredModel]):
    """One entity of a fleet, its newest ready version, and what its pointers lead to."""

    entity = serializers.CharField(source="entity_key", read_only=True)
    url = serializers.SerializerMethodField()
    latest = PointedSerializer(read_only=True, allow_null=True, help_text="newest ready; not taken for serving")
    champion = PointedSerializer(read_only=True, allow_null=True)
    challenger = PointedSerializer(read_only=True, allow_null=True)

    class Meta:
        model = RegisteredModel
        fields = ["entity", "url", "state", "tags", "latest", "champion", "challenger"]
        read_only_fields = fields

    def get_url(self, model: RegisteredModel) -> str:
        """Return its address."""
        return model_address(model)


class ArtifactSerializer(serializers.ModelSerializer[ModelVersion]):
    """What is stored of a version."""

    digest = serializers.CharField(source="artifact_digest", read_only=True, help_text="SHA-256 of the stored bytes")
    size = serializers.IntegerField(source="artifact_size", read_only=True, help_text="bytes")
    format = serializers.CharField(source="artifact_format", read_only=True)
    key_id = serializers.CharField(source="artifact_key_id", read_only=True, help_text="key that signed it")

    class Meta:
        model = ModelVersion
        fields = ["digest", "size", "format", "key_id"]


class QuarantineSerializer(serializers.Serializer[admission.Quarantine]):
    """Why a version is quarantined, as the ledger has it."""

    reason = serializers.CharField(help_text="why it is neither loaded nor placed")
    cause = serializers.CharField(help_text="what found it, such as `manual` or `inspection`")
    actor = serializers.CharField()
    at = serializers.DateTimeField(source="since")


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """All that is known of a version, apart from its bytes."""

    tenant = serializers.CharField(source="registered_model.fleet.tenant", read_only=True)
    fleet = serializers.CharField(source="registered_model.fleet.name", read_only=True)
    entity = serializers.CharField(source="registered_model.entity_key", read_only=True)
    url = serializers.SerializerMethodField()
    quarantined = serializers.SerializerMethodField(help_text="why it is quarantined; null where it is not")
    pointers = serializers.SerializerMethodField(help_text="which of champion, challenger and anchor lead to it")
    promoted_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="when it last became champion")
    params = PlainField(read_only=True)
    scorecard = PlainField(read_only=True)
    library_versions = PlainField(read_only=True)
    extra = PlainField(read_only=True)
    artifact = ArtifactSerializer(source="*", read_only=True)

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "number",
            "label",
            "tenant",
            "fleet",
            "entity",
            "url",
            "state",
            "quarantined",
            "pointers",
            "promoted_at",
            "trainer",
            "params",
            "scorecard",
            "data_start",
            "train_end",
            "fit_end",
            "rows",
            "features",
            "snapshot_digest",
            "seed",
            "library_versions",
            "refitted",
            "artifact",
            "note",
            "tags",
            "extra",
            "created_at",
        ]
        read_only_fields = fields

    def get_url(self, version: ModelVersion) -> str:
        """Return its address."""
        return reverse("version", args=[version.pk])

    @extend_schema_field(QuarantineSerializer(allow_null=True))
    def get_quarantined(self, version: ModelVersion) -> dict[str, Any] | None:
        """Return why it is quarantined."""
        return quarantine(version)

    def get_pointers(self, version: ModelVersion) -> list[str]:
        """Return the pointers that lead to it."""
        return version.pointers


def quarantine(version: ModelVersion) -> dict[str, Any] | None:
    """Return why a version is quarantined, as QuarantineSerializer writes it; None where it is not."""
    known = admission.quarantine_of(version)
    return QuarantineSerializer(known).data if known else None


def event(line: Event) -> dict[str, Any]:
    """Return one line of the ledger as EventSerializer writes it."""
    written: dict[str, Any] = _event_shape().to_representation(line)
    return written


@cache
def _event_shape() -> EventSerializer:
    # Making one looks at every column of the table; writing with it changes nothing in it.
    return EventSerializer()


class EventSerializer(serializers.ModelSerializer[Event]):
    """One line of the ledger."""

    tenant = serializers.CharField(source="fleet.tenant", read_only=True)
    fleet = serializers.CharField(source="fleet.name", read_only=True)
    entity = serializers.CharField(source="registered_model.entity_key", read_only=True, default=None, allow_null=True)
    from_version = serializers.UUIDField(source="from_version_id", read_only=True, allow_null=True)
    to_version = serializers.UUIDField(source="to_version_id", read_only=True, allow_null=True)
    report = PlainField(read_only=True, allow_null=True)

    class Meta:
        model = Event
        fields = [
            "id",
            "kind",
            "tenant",
            "fleet",
            "entity",
            "from_version",
            "to_version",
            "actor",
            "cause",
            "reason",
            "report",
            "fence",
            "at",
            "count",
            "previous_hash",
            "hash",
        ]
        read_only_fields = fields
