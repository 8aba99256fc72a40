"""Strict input: bounded JSON (`registry.strict_json`), declared fields only. Refuses unknown and repeated names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import IO, Any, ClassVar

from rest_framework import exceptions, parsers, serializers
from rest_framework.request import Request

from registry import strict_json
from registry.rest_base import problems

MAX_BODY_BYTES = 1024**2  # no request of this API comes near it; data and artifacts have doors of their own


class BodyTooLarge(exceptions.APIException):
    """The body is longer than any request of this API needs."""

    status_code = 413
    default_detail = f"The body is larger than {MAX_BODY_BYTES} bytes."
    default_code = "body_too_large"


class StrictJSONParser(parsers.BaseParser):
    """Reads JSON in UTF-8 of bounded size and depth."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the value. Raises Malformed (400) or BodyTooLarge (413)."""
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
        return strict_json.read(body)


class StrictSerializer(serializers.Serializer[Any]):
    """Input with declared fields; any other field is refused by name."""

    repeatable: ClassVar[frozenset[str]] = frozenset()
    """Parameters of a query that may stand several times; their fields are lists."""
    further: ClassVar[tuple[str, ...]] = ()
    """What is known besides the fields that are worth a line each, in words."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields; those with choices name them where they refuse one."""
        fields = super().get_fields()
        for field in fields.values():
            _name_choices(getattr(field, "child", field))
        return fields

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields. Raises ValidationError."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            known = ", ".join([*self._declared_fields, *self.further]) or "none"
            raise serializers.ValidationError(
                {name: [f"This field is not known here. Known are: {known}."] for name in unknown}
            )
        return super().to_internal_value(data)


def _name_choices(field: serializers.Field[Any, Any, Any, Any]) -> None:
    if isinstance(field, serializers.ChoiceField):
        known = ", ".join(map(str, field.choices))
        field.error_messages["invalid_choice"] = f'"{{input}}" is not a valid choice. Known are: {known}.'


def body(request: Request, kind: type[StrictSerializer]) -> dict[str, Any]:
    """Return the validated body. Raises ValidationError naming each field that was refused."""
    validated: dict[str, Any] = _reader(kind, None).run_validation(request.data)
    return validated


def query(request: Request, kind: type[StrictSerializer]) -> dict[str, Any]:
    """Return the validated parameters of the query. Raises QueryInvalid: a misspelt filter must not show everything."""
    sent = dict(request.query_params.lists())
    repeated = [name for name, values in sent.items() if len(values) > 1 and name not in kind.repeatable]
    if repeated:
        raise problems.QueryInvalid({name: ["Give this parameter once."] for name in repeated})
    given = {name: values if name in kind.repeatable else values[-1] for name, values in sent.items()}
    try:
        validated: dict[str, Any] = _reader(kind, _declared(kind).intersection(given)).run_validation(given)
    except serializers.ValidationError as error:
        raise problems.QueryInvalid(error.detail) from error
    return validated


@lru_cache(maxsize=256)
def _declared(kind: type[StrictSerializer]) -> frozenset[str]:
    # Whatever else a caller names fills no memory.
    return frozenset(_reader(kind, None).fields)


@lru_cache(maxsize=512)  # kinds are few, but for fleets with metrics of their own, and what is asked for repeats
def _reader(kind: type[StrictSerializer], names: frozenset[str] | None) -> StrictSerializer:
    """Return what reads input of a kind; of its fields those that are named or say something without being named.

    A list has fifty filters, of which a request names one or two. None: all.
    """
    # Making one copies every field that it declares; reading with it changes nothing in it.
    made = kind()
    for name in () if names is None else made.fields.keys() - names:
        if not made.fields[name].required and made.fields[name].default is serializers.empty:
            del made.fields[name]
    return made
