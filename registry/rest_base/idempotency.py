"""Idempotency-Key: a repeated request gets the first answer. Refuses the same key for another request."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.encoding import force_str
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from registry import errors, timestamps
from registry.models import IdempotencyKey

Prepared = TypeVar("Prepared")

KEY = re.compile(r"[\x21-\x7e]{1,128}")
KEPT = timedelta(days=1)  # longer than any client retries

HEADER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=False,
    description="1 to 128 printable characters; a request that is repeated with its key starts nothing",
)


class KeyReused(errors.Conflict):
    """The key already belongs to a request with another body or address."""

    code = "idempotency_key_reused"
    next_step = "Use a new key for a new request; repeat an old one with exactly the same body."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request that starts work answers."""

    status: int
    data: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    """The data, where they are written as JSON already."""
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False

    def response(self) -> HttpResponse:
        """Return it as a response."""
        headers = {**self.headers, **({"Idempotency-Replayed": "true"} if self.replayed else {})}
        if self.text:
            return HttpResponse(self.text, content_type="application/json", status=self.status, headers=headers)
        return Response(self.data, status=self.status, headers=headers)


def once(request: Request, work: Callable[[], Answer]) -> Answer:
    """Do the work and keep its answer under the request's key, in one transaction; without a key just do it.

    A second request with the key waits for the first to commit, then gets its answer. Work that raises keeps nothing.
    Raises Invalid, KeyReused.
    """
    key = _key(request)
    if key is None:
        return work()
    digest = _digest(request)
    with transaction.atomic():
        row = _claim(request, key, digest)
        return _replayed(row) if row.status is not None else _kept(row, work())


def after(request: Request, prepare: Callable[[], Prepared], work: Callable[[Prepared], Answer]) -> Answer:
    """Prepare, outside of any transaction, what takes time or reads files, then do the work with it as `once` does.

    A request that was answered already prepares nothing. Raises as `once` does.
    """
    kept = _answered(request)
    return kept if kept is not None else once(request, partial(work, prepare()))


def _answered(request: Request) -> Answer | None:
    if (key := _key(request)) is None:
        return None
    row = _owned(request).filter(key=key, created_at__gte=timestamps.utc_now() - KEPT).first()
    return _replayed(_same(row, _digest(request))) if row is not None and row.status is not None else None


def _owned(request: Request) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(user=request.user)  # type: ignore[misc]  # a permitted caller is never anonymous


def _key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        raise errors.Invalid("Idempotency-Key has 1 to 128 printable characters without spaces.")
    return key


def _same(row: IdempotencyKey, digest: str) -> IdempotencyKey:
    if row.request_hash != digest:
        raise KeyReused(f"Idempotency-Key {row.key} was used for another request.")
    return row


def _claim(request: Request, key: str, digest: str) -> IdempotencyKey:
    oldest = timestamps.utc_now() - KEPT
    owned = _owned(request)
    owned.filter(created_at__lt=oldest).delete()
    mine = IdempotencyKey(user=request.user, key=key, request_hash=digest)  # type: ignore[misc]
    # The unique constraint is the lock: a second insert waits until the first one's transaction has ended.
    IdempotencyKey.objects.bulk_create([mine], ignore_conflicts=True)
    return _same(owned.select_for_update().get(key=key), digest)


def _kept(row: IdempotencyKey, answer: Answer) -> Answer:
    data = json.loads(answer.text) if answer.text else answer.data
    plain = json.loads(json.dumps({"data": data, "headers": dict(answer.headers)}, cls=JSONEncoder))
    row.status, row.body = answer.status, plain
    row.save(update_fields=["status", "body"])
    return answer


def _replayed(row: IdempotencyKey) -> Answer:
    kept: Mapping[str, Any] = row.body or {}
    return Answer(status=row.status or 200, data=kept["data"], headers=kept["headers"], replayed=True)


def _digest(request: Request) -> str:
    # The token is part of it: two tokens of one user may see different tenants.
    token = getattr(request.auth, "pk", "session")
    said = [request.method, request.get_full_path(), request.data, token]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=force_str).encode()).hexdigest()
