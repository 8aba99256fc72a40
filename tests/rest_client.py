"""A caller of the REST API in tests: a user with a role, a token of a scope, and JSON both ways."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from tests import factories

PREFIX = "/api/v1"


class Caller:
    """Calls the API with a token; without one as nobody."""

    def __init__(self, secret: str | None = None) -> None:
        self.http = Client(headers={"Authorization": f"Bearer {secret}"} if secret else {})

    def get(self, path: str, *, headers: dict[str, str] | None = None, **parameters: Any) -> Any:
        """Read an address below /api/v1, or a whole one."""
        return self.http.get(_whole(path), parameters, headers=headers)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Send JSON."""
        return self.raw("POST", path, json.dumps({} if body is None else body), key=key)

    def delete(self, path: str) -> Any:
        """Delete."""
        return self.http.delete(_whole(path))

    def raw(self, method: str, path: str, body: str | bytes, *, key: str | None = None, **values: Any) -> Any:
        """Send any bytes as JSON."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.generic(method, _whole(path), body, "application/json", headers=headers, **values)


def caller(*, role: str = "admin", tenants: tuple[str, ...] = ("acme",), scope: str | None = None) -> Caller:
    """A caller with a new user of that role; needs the fixture `roles`."""
    return as_user(factories.user(role=role, tenants=tenants), scope=scope or role)


def as_user(user: User, *, scope: str = "admin", tenants: tuple[str, ...] = ()) -> Caller:
    """A caller with a new token of an existing user."""
    return Caller(factories.token(user=user, scope=scope, tenants=tenants)[1])


def problem(response: Any, *, status: int, code: str) -> dict[str, Any]:
    """Return the problem that an answer carries, after looking at its form."""
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert response.headers["Content-Type"] == "application/problem+json"
    assert body["status"] == status
    assert body["type"] == f"urn:perennial:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["next_step"]
    assert isinstance(body["errors"], list)
    return body


def _whole(path: str) -> str:
    return path if path.startswith("/") else f"{PREFIX}/{path}"
