"""The base of every REST view: roles by method, strict headers, conditional answers. Denies what is not declared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from django.http import HttpResponse, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

JSON = "application/json"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
}


class ApiView(APIView):
    """A view whose `required` names the role for each method; a method without an entry is refused."""

    required: ClassVar[Mapping[str, str]] = {}

    def check_permissions(self, request: Request) -> None:
        """Refuse a method that the view has not before one that the caller's role has not: no role would help.

        Raises MethodNotAllowed, for callers who are known; whoever is not is asked for a token first.
        """
        if request.user.is_authenticated and request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)
        super().check_permissions(request)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the headers that every answer carries."""
        final = super().finalize_response(request, response, *args, **kwargs)
        for name, value in HEADERS.items():
            final.headers.setdefault(name, value)
        return final


def conditional(request: Request, data: Mapping[str, Any], *, apart_from: Collection[str] = ()) -> Response:
    """Return the data with an ETag, or 304 where the caller has it; `apart_from` names what only time changes."""
    lasting = {name: value for name, value in data.items() if name not in apart_from}
    text = json.dumps(lasting, sort_keys=True, cls=JSONEncoder)
    tag = f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    if tag.removeprefix("W/") in _known(request):
        return Response(status=304, headers={"ETag": tag})
    return Response(data, headers={"ETag": tag})


def conditional_text(request: Request, content: str) -> HttpResponse:
    """Return JSON that is written already, with an ETag, or 304 where the caller has it."""
    tag = f'W/"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'
    if tag.removeprefix("W/") in _known(request):
        return HttpResponse(status=304, headers={"ETag": tag})
    response = text(content)
    response.headers["ETag"] = tag
    return response


def text(content: str) -> HttpResponse:
    """Return JSON that is written already."""
    return HttpResponse(content.encode(), content_type=JSON)


def attachment(pieces: Iterable[str], *, name: str, ending: str) -> StreamingHttpResponse:
    """Return a file that is streamed as it is made; `ending` is csv or jsonl."""
    kinds = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
    return StreamingHttpResponse(
        (piece.encode() for piece in pieces),
        content_type=kinds[ending],
        headers={"Content-Disposition": f'attachment; filename="{name}.{ending}"'},
    )


def has(request: Request, tag: str) -> bool:
    """Whether the caller has what this ETag stands for."""
    return tag.removeprefix("W/") in _known(request)


def _known(request: Request) -> set[str]:
    tags = request.headers.get("If-None-Match", "").split(",")
    return {tag.strip().removeprefix("W/") for tag in tags}


def actor(request: Request) -> str:
    """Return the name that the ledger gets for what this caller does."""
    return request.user.get_username()
