"""Keyset pages: an opaque cursor, a hard cap, stable while rows are added. Refuses offsets and counts of everything."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import cache, reduce
from operator import or_
from typing import Any

from django.core import exceptions as django_exceptions
from django.db.models import Expression, Model, Q, QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import conf
from registry.rest_base import parsing, problems, views

CURSOR_LENGTH = 600
NO_CURSOR = "This is no cursor of this list. Send `next_cursor` unchanged."


class PageQuery(parsing.StrictSerializer):
    """The parameters that every list takes."""

    limit = serializers.IntegerField(
        required=False, min_value=1, help_text="rows on a page; the default is 50, the most 200"
    )
    cursor = serializers.CharField(
        required=False, max_length=CURSOR_LENGTH, help_text="`next_cursor` of the page before"
    )

    def validate_limit(self, limit: int) -> int:
        """Hold the hard cap of the installation. Raises ValidationError."""
        most = conf.current().page_size_max
        if limit > most:
            raise serializers.ValidationError(f"A page has at most {most} rows.")
        return limit


class CursorMalformed(problems.QueryInvalid):
    """The cursor was not made by this list."""

    def __init__(self) -> None:
        super().__init__({"cursor": [NO_CURSOR]})


class KeysetPagination:
    """Pages through a queryset in the order of fields that together are unique; a leading `-` means newest first."""

    def __init__(self, *order: str) -> None:
        self.order = order

    def respond(
        self,
        request: Request,
        queryset: QuerySet[Any],
        shape: type[serializers.BaseSerializer[Any]],
        given: dict[str, Any],
    ) -> Response:
        """Return one page, written by `shape`, and the address of the next."""
        rows, following = self.page(queryset, limit=given.get("limit"), cursor=given.get("cursor"))
        return listing(request, shape(rows, many=True, context={"request": request}).data, following)

    def written(
        self, request: Request, queryset: QuerySet[Any], text: Expression, given: dict[str, Any]
    ) -> HttpResponse:
        """Return one page whose rows the database writes as JSON, and the address of the next."""
        size = given.get("limit") or conf.current().page_size
        names = [_path(name) for name in self.order]
        found = self._after_cursor(queryset, given.get("cursor")).values_list(text, *names)[: size + 1]
        return self.told(request, list(found), size=size)

    def told(self, request: Request, found: Sequence[tuple[Any, ...]], *, size: int) -> HttpResponse:
        """Return one page of rows that are a JSON text and the values of the order each, one row more where more are.

        The text of the last row is not shown.
        """
        following = encode([str(each) for each in found[size - 1][1:]]) if len(found) > size else None
        ends = json.dumps({"next_cursor": following, "next": _address(request, following)})
        content = f'{{"results":[{",".join(row[0] for row in found[:size])}],{ends[1:]}'
        return views.text(content)

    def after(self, model: type[Model], cursor: str) -> list[Any]:
        """Return the values of the order behind which a page begins. Raises CursorMalformed."""
        texts = _decode(cursor)
        if len(texts) != len(self.order):
            raise CursorMalformed
        return [_value(model, _path(name), text) for name, text in zip(self.order, texts, strict=True)]

    def page(
        self, queryset: QuerySet[Any], *, limit: int | None = None, cursor: str | None = None
    ) -> tuple[list[Any], str | None]:
        """Return the rows after the cursor, and the next cursor (None on the last page). Raises CursorMalformed."""
        size = limit or conf.current().page_size
        rows = list(self._after_cursor(queryset, cursor)[: size + 1])
        following = self._cursor(rows[size - 1]) if len(rows) > size else None
        return rows[:size], following

    def _after_cursor(self, queryset: QuerySet[Any], cursor: str | None) -> QuerySet[Any]:
        if cursor:
            queryset = queryset.filter(self._beyond_all(self.after(queryset.model, cursor)))
        return queryset.order_by(*self.order)

    def _cursor(self, row: Any) -> str:
        return encode([str(reduce(getattr, _path(name).split("__"), row)) for name in self.order])

    def _beyond_all(self, values: Sequence[Any]) -> Q:
        # The bound on the first field alone says nothing new, but an index can start there, however deep the page.
        leading = Q(**{f"{_path(self.order[0])}__{'lte' if self.order[0].startswith('-') else 'gte'}": values[0]})
        return leading & reduce(or_, (self._beyond(place, values) for place in range(len(values))))

    def _beyond(self, place: int, values: Sequence[Any]) -> Q:
        equal = {_path(name): value for name, value in zip(self.order[:place], values, strict=False)}
        name = self.order[place]
        return Q(**equal, **{f"{_path(name)}__{'lt' if name.startswith('-') else 'gt'}": values[place]})


def default_size() -> int:
    """Return the rows on a page when the caller says nothing."""
    return conf.current().page_size


def listing(request: Request, rows: Sequence[Any], following: str | None) -> Response:
    """Return a page of a list."""
    return Response({"results": rows, "next_cursor": following, "next": _address(request, following)})


@cache
def shape_of(shape: type[serializers.BaseSerializer[Any]]) -> serializers.Serializer[Any]:
    """Return how a page of these rows looks, for the OpenAPI document."""
    return inline_serializer(
        name=f"{shape.__name__.removesuffix('Serializer')}Page",
        fields={
            "results": shape(many=True),
            "next_cursor": serializers.CharField(allow_null=True, help_text="null on the last page"),
            "next": serializers.CharField(allow_null=True, help_text="address of the next page"),
        },
    )


def encode(values: Sequence[Any]) -> str:
    """Return an opaque cursor that holds these values."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(cursor: str) -> list[Any]:
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError) as error:
        raise CursorMalformed from error
    if not isinstance(values, list):
        raise CursorMalformed
    return values


def decode(cursor: str, kinds: Sequence[type]) -> list[Any]:
    """Return the values of a cursor. Raises CursorMalformed where their number or kinds differ."""
    values = _decode(cursor)
    if len(values) != len(kinds) or any(type(value) is not kind for value, kind in zip(values, kinds, strict=True)):
        raise CursorMalformed
    return values


def _value(model: type[Model], path: str, text: Any) -> Any:
    *relations, name = path.split("__")
    owner: Any = model
    for relation in relations:
        owner = owner._meta.get_field(relation).related_model
    try:
        if not isinstance(text, str) or "\0" in text:
            raise CursorMalformed
        text.encode()
        return owner._meta.get_field(name).to_python(text)
    except (django_exceptions.ValidationError, ValueError) as error:
        raise CursorMalformed from error


def _path(name: str) -> str:
    return name.removeprefix("-")


def _address(request: Request, following: str | None) -> str | None:
    if following is None:
        return None
    parameters = request.query_params.copy()
    parameters["cursor"] = following
    return f"{request.path}?{parameters.urlencode()}"
