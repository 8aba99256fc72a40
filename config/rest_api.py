"""Mounts the routes of every app under /api/v1, with health, readiness and the OpenAPI page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from config import checks

# The page brings its own style element; its scripts come from this host alone.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class Docs(SpectacularSwaggerSplitView):
    """The API to read and to try, from this host alone."""

    url_name = "schema"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show the page, or the script that starts it."""
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]  # not typed there
        response.headers["Content-Security-Policy"] = DOCS_POLICY
        return response


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Say that this process answers; asks nobody else."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether this installation can serve, and what is wrong: 503 without database or migrations, else 200."""
    findings = checks.ready()
    status = checks.verdict(findings)
    parts = {each.name: {"status": each.state, "detail": each.sentence, **each.details} for each in findings}
    return JsonResponse({"status": status, "checks": parts}, status=503 if status == "failed" else 200)


urlpatterns = [
    path("api/v1/", include("registry.rest_api")),
    path("api/v1/", include("training.rest_api")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", Docs.as_view(), name="docs"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
