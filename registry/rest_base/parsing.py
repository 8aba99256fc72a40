"""Strict input: bounded JSON, declared fields only. Refuses NUL, NaN, repeated and unknown names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import IO, Any, ClassVar

from rest_framework import exceptions, parsers, serializers
from rest_framework.request import Request

from registry.rest_base import problems

MAX_BODY_BYTES = 1024**2  # no request of this API comes near it; data and artifacts have doors of their own
MAX_DEPTH = 20
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class BodyTooLarge(exceptions.APIException):
    """The body is longer than any request of this API needs."""

    status_code = 413
    default_detail = f"The body is larger than {MAX_BODY_BYTES} bytes."
    default_code = "body_too_large"


class StrictJSONParser(parsers.BaseParser):
    """Reads JSON in UTF-8 of bounded size and depth."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the value. Raises ParseError (400) or BodyTooLarge (413)."""
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
        return read_json(body)


def read_json(text: bytes) -> Any:
    """Return the value of JSON in UTF-8 that PostgreSQL can store and a reader can follow. Raises ParseError."""
    try:
        value = json.loads(
            text.decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_without_repetition
        )
    except RecursionError as error:
        raise exceptions.ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from error
    except ValueError as error:
        raise exceptions.ParseError(f"This is not JSON in UTF-8: {_where(error)}") from error
    check(value)
    return value


def _where(error: ValueError) -> str:
    """Return what is wrong; in a text of one line without a number of it: it may be any line of many."""
    if not isinstance(error, json.JSONDecodeError) or "\n" in error.doc.strip():
        return str(error)
    return f"{error.msg}: character {error.pos + 1}"


def check(value: Any) -> None:
    """Refuse what PostgreSQL cannot store or a reader cannot follow. Raises ParseError."""
    waiting = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise exceptions.ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(each, str):
            check_text(each)
        elif isinstance(each, Mapping):
            waiting += [(key, depth) for key in each] + [(item, depth + 1) for item in each.values()]
        elif isinstance(each, list):
            waiting += [(item, depth + 1) for item in each]


def check_text(text: str) -> None:
    """Refuse NUL and halves of surrogate pairs. Raises ParseError."""
    if UNSTORABLE.search(text):
        raise exceptions.ParseError("A text holds a NUL character or half of a surrogate pair.")


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


class StrictSerializer(serializers.Serializer[Any]):
    """Input with declared fields; any other field is refused by name."""

    repeatable: ClassVar[frozenset[str]] = frozenset()
    """Parameters of a query that may stand several times; their fields are lists."""
    further: ClassVar[tuple[str, ...]] = ()
    """What is known besides the fields that are worth a line each, in words."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields. Raises ValidationError."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            known = ", ".join([*self._declared_fields, *self.further]) or "none"
            raise serializers.ValidationError(
                {name: [f"This field is not known here. Known are: {known}."] for name in unknown}
            )
        return super().to_internal_value(data)


def body(request: Request, kind: type[StrictSerializer]) -> dict[str, Any]:
    """Return the validated body. Raises ValidationError naming each field that was refused."""
    validated: dict[str, Any] = _reader(kind).run_validation(request.data)
    return validated


def query(request: Request, kind: type[StrictSerializer]) -> dict[str, Any]:
    """Return the validated parameters of the query. Raises QueryInvalid: a misspelt filter must not show everything."""
    sent = dict(request.query_params.lists())
    repeated = [name for name, values in sent.items() if len(values) > 1 and name not in kind.repeatable]
    if repeated:
        raise problems.QueryInvalid({name: ["Give this parameter once."] for name in repeated})
    given = {name: values if name in kind.repeatable else values[-1] for name, values in sent.items()}
    try:
        validated: dict[str, Any] = _reader(kind).run_validation(given)
    except serializers.ValidationError as error:
        raise problems.QueryInvalid(error.detail) from error
    return validated


@lru_cache(maxsize=256)  # kinds are few, but for fleets with metrics of their own
def _reader(kind: type[StrictSerializer]) -> StrictSerializer:
    # Making one copies every field that it declares; reading with it changes nothing in it.
    return kind()
