"""Sources: where series come from, and what was last read. Reads alone; fleet files make them."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry import errors
from registry.rest_base import paging, parsing, scope, views
from training.models import Source
from training.rest_api import shapes


class SourceUnknown(errors.NotFound):
    """The caller may see no source of that name."""

    code = "source_unknown"
    next_step = "GET /api/v1/sources lists the sources that you may see."


class SourceAmbiguous(errors.Conflict):
    """Several tenants of the caller have a source of that name."""

    code = "source_ambiguous"


class SourceQuery(paging.PageQuery, scope.TenantQuery):
    """Filters of the sources."""


class SourceList(views.ApiView):
    """The sources that the caller may see."""

    required = {"GET": "viewer"}
    pages = paging.KeysetPagination("tenant", "name")

    @extend_schema(
        operation_id="sources_list", parameters=[SourceQuery], responses={200: paging.shape_of(shapes.SourceSerializer)}
    )
    def get(self, request: Request) -> Response:
        """List the sources that you may see, by tenant and name."""
        given = parsing.query(request, SourceQuery)
        rows = scope.visible(request, Source.objects.all(), "tenant")
        if "tenant" in given:
            rows = rows.filter(tenant=given["tenant"])
        return self.pages.respond(request, rows, shapes.SourceSerializer, given)


class SourceDetail(views.ApiView):
    """One source."""

    required = {"GET": "viewer"}

    @extend_schema(
        operation_id="source", parameters=[scope.TenantQuery], responses={200: shapes.SourceDetailSerializer}
    )
    def get(self, request: Request, source: str) -> Response:
        """Show one source and what was last read of it."""
        given = parsing.query(request, scope.TenantQuery)
        rows = scope.visible(request, Source.objects.filter(name=scope.slug(source, "source")), "tenant")
        found = list(rows.filter(**given).order_by("tenant")[:2])
        if not found:
            raise SourceUnknown(f"There is no source {source!r}.")
        if len(found) > 1:
            examples = " or ".join(f"?tenant={each.tenant}" for each in found)
            raise SourceAmbiguous(f"Several of your tenants have a source {source!r}.", next_step=f"Add {examples}.")
        return Response(shapes.SourceDetailSerializer(found[0]).data)
