"""How the REST API documents itself: problems for every call, the role that each needs, and the token."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from registry.rest_base import problems

ALWAYS = {
    "400": "a value is refused or malformed",
    "401": "no token, or one that is not valid",
    "403": "the role or the token does not allow it",
    "503": "a part that is needed does not answer",
}
UNKNOWN = {"404": "unknown, or not yours"}
CHANGED = {
    "409": "the state of the thing does not allow it now",
    "413": "the body is too large",
    "415": "the body is not JSON",
}


class ProblemSchema(AutoSchema):
    """Adds to each operation its role and the problems that it may answer with."""

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's, which takes nothing
        """Return the docstring of the handler and the role that it needs."""
        role = getattr(self.view, "required", {}).get(self.method)
        said = super().get_description() or ""
        return f"{said}\n\nRole: {role}." if role else said

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        for status, description in self._problems().items():
            written = self._get_response_for_code(  # type: ignore[no-untyped-call]
                problems.ProblemSerializer, status, [problems.MEDIA_TYPE], direction
            )
            bodies.setdefault(status, {**written, "description": description})
        return bodies

    def _problems(self) -> dict[str, str]:
        unknown = UNKNOWN if "{" in self.path or self.method == "POST" else {}
        changed = CHANGED if self.method not in ("GET", "HEAD") else {}
        return {**ALWAYS, **unknown, **changed}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The bearer token of `manage.py token`."""

    target_class = "registry.rest_base.tokens.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "`manage.py token <user> --label <label>` makes one.",
        }
