"""The addresses of the product, and a bare authenticated view that fetches one row: what any read costs at least."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import include, path
from rest_framework import permissions, renderers, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry.models import ModelVersion
from registry.rest_base.tokens import TokenAuthentication


class BareSerializer(serializers.Serializer[Any]):
    """A few columns of one row."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    state = serializers.CharField()
    trainer = serializers.CharField()
    created_at = serializers.DateTimeField()


class Bare(APIView):
    """One row by its primary key, for whoever has a token."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [permissions.IsAuthenticated]
    renderer_classes = [renderers.JSONRenderer]

    def get(self, request: Request, version: UUID) -> Response:
        """Show the row."""
        return Response(BareSerializer(ModelVersion.objects.get(pk=version)).data)


urlpatterns = [path("bare/<uuid:version>", Bare.as_view(), name="bare"), path("", include("config.urls"))]
handler400 = "registry.rest_base.problems.bad_request"
handler404 = "registry.rest_base.problems.page_not_found"
handler500 = "registry.rest_base.problems.server_error"
