"""How calls for many look: which versions or models are meant, and what became of each."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from registry import bulk
from registry.bulk import targets
from registry.models import ModelVersion
from registry.rest_api.versions import ANY
from registry.rest_base import parsing
from registry.rest_base.fields import InstantField


class ManyFilter(parsing.StrictSerializer):
    """Which entities of a fleet are meant; all that is given has to hold."""

    entities = serializers.ListField(
        required=False, child=serializers.CharField(max_length=128), min_length=1, help_text="these alone"
    )
    entity_prefix = serializers.CharField(required=False, max_length=128, help_text="those whose key begins with it")
    all = serializers.BooleanField(required=False, default=False, help_text="the whole fleet, said on purpose")


class VersionsFilter(ManyFilter):
    """Which versions are meant, where they are not named; `fleet` alone means none: say `all`, or which."""

    fleet = serializers.CharField(max_length=63)
    tenant = serializers.CharField(required=False, max_length=63)
    trainer = serializers.CharField(required=False, max_length=64)
    state = serializers.ListField(
        required=False,
        child=serializers.ChoiceField(choices=[*ModelVersion.State.choices, *ANY]),
        help_text="without it all but archived and deleted",
    )
    tag = serializers.ListField(required=False, child=serializers.CharField(max_length=64), help_text="all of them")
    since = InstantField(required=False, help_text="registered then or later")
    until = InstantField(required=False, help_text="registered before")


class TagsBody(parsing.StrictSerializer):
    """Which tags are added and removed."""

    add = serializers.ListField(required=False, default=list, child=serializers.CharField(max_length=64), max_length=20)
    remove = serializers.ListField(
        required=False, default=list, child=serializers.CharField(max_length=64), max_length=20
    )


class BulkBody(parsing.StrictSerializer):
    """What is to be done to which versions, and why."""

    action = serializers.ChoiceField(
        choices=sorted(bulk.ROLES), help_text="`tag` needs the role operator, the others approver"
    )
    versions = serializers.ListField(
        required=False, child=serializers.UUIDField(), min_length=1, help_text="ids, at most 5000; or `filter`"
    )
    filter = VersionsFilter(required=False)
    reason = serializers.CharField(
        required=False, max_length=500, default="", allow_blank=True, help_text="required but for tags"
    )
    tags = TagsBody(required=False)
    dry_run = serializers.BooleanField(required=False, default=False, help_text="say what it would do, change nothing")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask for one way to name versions, and for tags where they are meant. Raises ValidationError."""
        if ("versions" in attrs) == ("filter" in attrs):
            raise serializers.ValidationError({"versions": ["Send either versions or filter."]})
        if ("tags" in attrs) != (attrs["action"] == bulk.TAG):
            raise serializers.ValidationError({"tags": ["Tags go with the action tag, and with it alone."]})
        return attrs


class WhySerializer(serializers.Serializer[Any]):
    """Why something was refused, where it was."""

    code = serializers.CharField(required=False, help_text="why it was refused, for programs")
    detail = serializers.CharField(required=False)
    next_step = serializers.CharField(required=False)


class CountsSerializer(serializers.Serializer[Any]):
    """How many of them changed."""

    dry_run = serializers.BooleanField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    refused = serializers.IntegerField()


class BulkItemSerializer(WhySerializer):
    """What became of one version."""

    id = serializers.UUIDField()
    outcome = serializers.ChoiceField(
        choices=["changed", "unchanged", "refused"], help_text="`unchanged`: so already, also the champion to promote"
    )


class BulkSerializer(CountsSerializer):
    """What became of every version."""

    action = serializers.CharField()
    results = BulkItemSerializer(many=True)


class ModelsFilter(ManyFilter):
    """Which models are meant; all that is given has to hold."""

    tag = serializers.ListField(required=False, child=serializers.CharField(max_length=64), help_text="all of them")
    promoted_since = InstantField(required=False, help_text="the present champion was promoted then or later")
    cause = serializers.CharField(
        required=False, max_length=32, help_text=f"of that promotion: {', '.join(targets.CAUSES)}"
    )


class TagModelsBody(parsing.StrictSerializer):
    """Which models get and lose which tags."""

    filter = ModelsFilter()
    tags = TagsBody()
    reason = serializers.CharField(required=False, max_length=500, default="", allow_blank=True)
    dry_run = serializers.BooleanField(required=False, default=False, help_text="say what it would do, change nothing")


class TaggedModelSerializer(WhySerializer):
    """What became of the tags of one model."""

    entity = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["changed", "unchanged", "refused"])
    tags = serializers.ListField(child=serializers.CharField(), help_text="as they are now, or would be")


class TagModelsSerializer(CountsSerializer):
    """What became of every model."""

    results = TaggedModelSerializer(many=True)


class RollBackManyBody(parsing.StrictSerializer):
    """Which models go back to the champion before, and why."""

    filter = ModelsFilter()
    reason = serializers.CharField(required=False, max_length=500, default="", allow_blank=True)
    dry_run = serializers.BooleanField(required=False, default=False, help_text="say where each would go, move nothing")
    again = serializers.BooleanField(
        required=False, default=False, help_text="also models that a roll back moved last: one champion further back"
    )


class StepVersionSerializer(serializers.Serializer[Any]):
    """A version by its names."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the label, whose name every serializer has for itself."""
        return {**super().get_fields(), "label": serializers.CharField()}


class StepSerializer(WhySerializer):
    """What became of one model."""

    entity = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["rolled_back", "refused"])
    before = StepVersionSerializer(required=False, allow_null=True, help_text="the champion that was found")
    to = StepVersionSerializer(required=False)


class RollBackManySerializer(serializers.Serializer[Any]):
    """What became of every model."""

    dry_run = serializers.BooleanField()
    rolled_back = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = StepSerializer(many=True)
