"""Versions from elsewhere over HTTP: one by bundle or parts, one that another installation sealed, many by lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request

from registry import conf, enrolment, errors, timestamps
from registry.exchange import intake, reading
from registry.exchange.deliveries import Delivery
from registry.exchange.intake import Parcel
from registry.models import Fleet, ModelVersion, RegisteredModel
from registry.rest_api import shapes, texts, versions
from registry.rest_base import idempotency, parsing, scope, uploads, views
from registry.rest_base.uploads import Lines

REFUSED = "the bundle, its format or its seal is refused"
SEALED = frozenset({"bundle"})
BINARY = {"type": "string", "format": "binary"}
_SAID = "what `docs/registering.md` names, such as format, params, metrics, features, fit_end, note, tags, version_id"


def _request(files: dict[str, str], said: str) -> dict[str, Any]:
    """Return how a body looks, in parts and (small, in base64) in JSON."""
    parts = {name: {**BINARY, "description": told} for name, told in files.items()}
    texts = {name: {"type": "string", "format": "byte", "description": told} for name, told in files.items()}
    metadata = {"type": "object", "description": said}
    return {
        "multipart/form-data": {"type": "object", "properties": {**parts, "metadata": metadata}},
        "application/json": {"type": "object", "properties": texts, "additionalProperties": True, "description": said},
    }


class DeliveryQuery(scope.TenantQuery):
    """Where a version from elsewhere goes."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the switch whose name every serializer has for itself."""
        told = "enrol the entity where the fleet does not know it"
        return {**super().get_fields(), "create": serializers.BooleanField(default=False, help_text=told)}


class DeliveredSerializer(serializers.Serializer[Any]):
    """What became of one line: a version, or why there is none."""

    line = serializers.IntegerField()
    entity = serializers.CharField(required=False)
    id = serializers.UUIDField(required=False)
    number = serializers.IntegerField(required=False)
    state = serializers.CharField(required=False)
    code = serializers.CharField(required=False, help_text="why there is no version, for programs")
    detail = serializers.CharField(required=False)
    next_step = serializers.CharField(required=False)


class ManyDeliveredSerializer(serializers.Serializer[Any]):
    """What became of every line."""

    registered = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = DeliveredSerializer(many=True)


class ModelVersions(uploads.UploadView, versions.VersionList):
    """The versions of a model, and one more from elsewhere."""

    required = {"GET": "viewer", "POST": "operator"}
    parser_classes = [parsing.StrictJSONParser, uploads.PartsParser]

    @extend_schema(
        operation_id="model_version_register",
        parameters=[DeliveryQuery, idempotency.HEADER],
        request=_request({"bundle": "a packed bundle", "forecaster": "or the bytes of a forecaster"}, _SAID),
        responses={201: shapes.VersionSerializer},
    )
    def post(self, request: Request, fleet: str, entity: str) -> HttpResponse:
        """Register a version that was trained elsewhere, by your word: a bundle, or a forecaster and its metadata.

        It is `pending` until a worker has read the forecaster, then `ready` or `quarantined`. Nothing is executed.
        """
        given = parsing.query(request, DeliveryQuery)
        owner = _owner(request, fleet, entity, create=given["create"])
        sent = uploads.parts(request, files=reading.FILES)
        delivery = Delivery(entity=entity, said=sent.said, **sent.files)
        return _register_one(request, owner, delivery, cause=intake.REGISTRATION)


class Imports(uploads.UploadView):
    """Takes what another installation sealed."""

    required = {"POST": "operator"}
    parser_classes = [parsing.StrictJSONParser, uploads.PartsParser]

    @extend_schema(
        operation_id="model_version_import",
        parameters=[DeliveryQuery, idempotency.HEADER],
        request=_request({"bundle": "the bundle, byte for byte"}, "seal (required), signed_by, note, tags"),
        responses={201: shapes.VersionSerializer},
    )
    def post(self, request: Request, fleet: str, entity: str) -> HttpResponse:
        """Import a bundle that another installation exported, where its key is set here; the version keeps its id.

        `seal` is the header `Perennial-Seal` of the download, `signed_by` the name of the key here where it differs.
        """
        given = parsing.query(request, DeliveryQuery)
        owner = _owner(request, fleet, entity, create=given["create"])
        sent = uploads.parts(request, files=SEALED)
        said = dict(sent.said)
        seal, signed_by = _text(said, "seal"), _text(said, "signed_by")
        if unknown := sorted(said.keys() - {"note", "tags"}):
            raise exceptions.ValidationError(
                {unknown[0]: ["The seal vouches for the bundle alone: say note and tags."]}
            )
        content = sent.files.get("bundle", b"")
        delivery = intake.unseal(seal, content, entity=entity, signed_by=signed_by, said=said)
        return _register_one(request, owner, delivery, cause=intake.IMPORT)


class FleetVersions(views.ApiView):
    """Takes many versions at once."""

    required = {"POST": "operator"}
    parser_classes = [uploads.LinesParser]

    @extend_schema(
        operation_id="fleet_versions_register",
        parameters=[DeliveryQuery, idempotency.HEADER],
        request={
            "application/x-ndjson": {"type": "string", "description": f"entity, bundle or forecaster, and {_SAID}"}
        },
        responses={200: ManyDeliveredSerializer},
    )
    def post(self, request: Request, fleet: str) -> HttpResponse:
        """Register many versions trained elsewhere: a JSON object a line, files in base64; one result for each line.

        What is refused leaves the others be. At most 5000 lines, 64 MiB, and 512 MiB unpacked at once.
        """
        given = parsing.query(request, DeliveryQuery)
        owner = scope.fleet(request, fleet)
        # Without a body nothing is parsed, and the data is an empty dict.
        lines = cast(Lines, request.data or Lines(body=b""))
        if lines.count() > (most := conf.current().bulk_items) + 1:
            raise parsing.BodyTooLarge(f"These are more than {most} lines. Send them in several calls.")
        named: list[dict[str, Any]] = []

        def prepare() -> list[Parcel | errors.PerennialError]:
            unpacked_bytes = conf.current().bulk_unpacked_bytes
            return intake.store(owner, _deliveries(lines, named), unpacked_bytes=unpacked_bytes)

        def work(stored: list[Parcel | errors.PerennialError]) -> idempotency.Answer:
            results = intake.register(
                owner,
                stored,
                actor=views.actor(request),
                at=timestamps.utc_now(),
                create=given["create"],
            )
            return idempotency.Answer(status=200, data=_told(named, results))

        return idempotency.after(request, prepare, work).response()


def _owner(request: Request, fleet: str, entity: str, *, create: bool) -> RegisteredModel | Fleet:
    """Return the model that the version is of, or its fleet where the model may have to be made first."""
    if not create:
        return _known(request, fleet, entity)
    owner = scope.fleet(request, fleet)
    enrolment.check(entity)
    return owner


def _known(request: Request, fleet: str, entity: str) -> RegisteredModel:
    try:
        return scope.registered_model(request, fleet, entity)
    except enrolment.ModelUnknown as error:
        raise enrolment.ModelUnknown(error.sentence, next_step=intake.CREATE) from error


def _register_one(request: Request, owner: RegisteredModel | Fleet, delivery: Delivery, *, cause: str) -> HttpResponse:
    fleet = owner if isinstance(owner, Fleet) else owner.fleet

    def prepare() -> Parcel:
        [parcel] = intake.store(fleet, [delivery])
        if isinstance(parcel, errors.PerennialError):
            raise parcel
        return parcel

    def work(parcel: Parcel) -> idempotency.Answer:
        said: dict[str, Any] = {"actor": views.actor(request), "at": timestamps.utc_now(), "cause": cause}
        if isinstance(owner, Fleet):
            version, shown = intake.only(intake.register(owner, [parcel], create=True, **said)), None
        else:
            version, shown = intake.register_one(owner, parcel, shown=texts.written(), **said)
        [text] = shown or [texts.version(version.pk)]
        return idempotency.Answer(status=201, text=text, headers={"Location": texts.address(version.pk)})

    return idempotency.after(request, prepare, work).response()


def _text(said: dict[str, Any], name: str) -> str:
    value = said.pop(name, "")
    if not isinstance(value, str):
        raise exceptions.ValidationError({name: ["This is no text."]})
    return value


def _deliveries(lines: Lines, named: list[dict[str, Any]]) -> Iterator[Delivery | errors.PerennialError]:
    """Yield what the lines hold, one at a time, and put down of each which line it was and of what entity."""
    for number, line in lines:
        each = reading.delivery(line)
        entity = {"entity": each.entity[:128]} if isinstance(each, Delivery) else {}
        named.append({"line": number, **entity})
        yield each


def _told(named: Sequence[dict[str, Any]], results: Sequence[ModelVersion | errors.PerennialError]) -> dict[str, Any]:
    told = [{**each, **_result(result)} for each, result in zip(named, results, strict=True)]
    registered = sum(isinstance(result, ModelVersion) for result in results)
    return {"registered": registered, "refused": len(results) - registered, "results": told}


def _result(result: ModelVersion | errors.PerennialError) -> dict[str, Any]:
    if isinstance(result, ModelVersion):
        return {"id": str(result.pk), "number": result.number, "state": result.state}
    return {"code": result.code, "detail": result.sentence, "next_step": result.next_step}
