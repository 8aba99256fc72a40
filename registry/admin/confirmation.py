"""The page before every change of state: names what will happen, asks why, shows a refusal whole.

Chosen rows travel in the body, never in the address, which a web server bounds at a few thousand characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse

from registry import conf, errors, timestamps
from registry.admin import choosing
from registry.admin.extensions import Action, Order, ReasonForm

MOST_TOLD = 20  # reasons of rows that an action left; more would hide the page
LISTED = 20
FILTERS = "filters"
"""The field of the form that holds the query of the list which the rows were chosen from."""
FORETOLD = 100  # a preview may read a file for each


class Page(Protocol):
    """What is needed of the admin of a table; `registry.admin.base` has it."""

    admin_site: Any
    opts: Any
    list_select_related: Any

    def get_queryset(self, request: HttpRequest) -> Any: ...
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool: ...
    def visible_or_404(self, request: HttpRequest, object_id: str) -> Any: ...
    def page_address(self, what: str, *args: Any) -> str: ...


def of_many(action: Action) -> Callable[..., HttpResponse | None]:
    """Return the list action that answers with the confirmation page of the chosen rows."""

    def lead(admin: Page, request: HttpRequest, rows: Any) -> HttpResponse | None:
        most = conf.current().bulk_items
        keys = list(rows.select_related(None).values_list("pk", flat=True)[: most + 1])
        if not keys:
            messages.error(request, "None of the chosen rows is left in this list: choose again.")
            return None
        if len(keys) > most:
            messages.error(request, f"At most {most:,} rows at once: narrow the list by a filter, or go step by step.")
            return None
        # By the keys alone: they were found, and are not looked for again.
        plain = admin.get_queryset(request).select_related(*(admin.list_select_related or ()))
        targets = choosing.Chosen(plain, keys)
        return _page(admin, request, action, targets, action.form(), None, filters=request.GET.urlencode())

    return lead


def confirm(admin: Page, request: HttpRequest, action: Action, object_id: str | None) -> HttpResponse:
    """Show the confirmation, or carry the action out on POST. Raises PermissionDenied, Http404."""
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    targets = _targets(admin, request, object_id)
    form = action.form(request.POST or None)
    refusal = None
    filters = request.POST.get(FILTERS, "")
    # Before anything is carried out: too many fields are refused here.
    listing = _filtered(admin.page_address("changelist"), filters)
    if request.method == "POST" and form.is_valid():
        try:
            return _carry_out(admin, request, action, targets, form, listing=listing)
        except errors.PerennialError as error:
            refusal = error
    return _page(admin, request, action, targets, form, refusal, filters=filters)


def _targets(admin: Page, request: HttpRequest, object_id: str | None) -> Sequence[Any]:
    if object_id is not None:
        return [admin.visible_or_404(request, object_id)]
    wanted = [each for each in request.POST.get("ids", "").split(",") if each][: conf.current().bulk_items]
    rows = admin.get_queryset(request)
    try:
        found = list(rows.select_related(*(admin.list_select_related or ())).filter(pk__in=wanted))
    except (ValueError, TypeError, ValidationError) as error:
        raise Http404("No such rows.") from error
    if not found or not admin.has_view_permission(request):
        raise Http404("None of these rows exists.")
    return found


def _carry_out(
    admin: Page, request: HttpRequest, action: Action, targets: Sequence[Any], form: ReasonForm, *, listing: str
) -> HttpResponse:
    fields = {**form.cleaned_data}
    order = Order(
        targets=targets,
        reason=fields.pop("reason"),
        actor=request.user.get_username(),
        at=timestamps.utc_now(),
        fields=fields,
    )
    done = action.perform(order)
    messages.success(request, done.sentence)
    for sentence in done.left[:MOST_TOLD]:
        messages.warning(request, sentence)
    if len(done.left) > MOST_TOLD:
        messages.warning(request, f"{len(done.left) - MOST_TOLD} more were left as they were.")
    if done.address == admin.page_address("changelist"):
        return HttpResponseRedirect(listing)
    return HttpResponseRedirect(done.address or reverse("admin:index"))


def _filtered(listing: str, filters: str) -> str:
    # The query alone comes from the form: whatever stands in it, the address stays that of the list.
    return f"{listing}?{QueryDict(filters).urlencode()}" if filters else listing


def _page(
    admin: Page,
    request: HttpRequest,
    action: Action,
    targets: Sequence[Any],
    form: ReasonForm,
    refusal: errors.PerennialError | None,
    *,
    filters: str,
) -> HttpResponse:
    alone = targets[0] if len(targets) == 1 else None
    listing = _filtered(admin.page_address("changelist"), filters)
    back = admin.page_address("change", alone.pk) if alone is not None else listing
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": action.title,
        "action": action,
        "form": form,
        "refusal": refusal,
        "back": back,
        "filters": filters,
        "question": action.ask(targets),
        "preview": action.preview(targets[:FORETOLD]) if action.preview else None,
        "unforetold": len(targets) - FORETOLD,
        "targets": targets[:LISTED],
        "unlisted": len(targets) - LISTED,
        "ids": ",".join(str(key) for key in choosing.keys_of(targets)) if alone is None else "",
        "address": (
            admin.page_address("act_many", action.name)
            if alone is None
            else admin.page_address("act", alone.pk, action.name)
        ),
    }
    return TemplateResponse(request, "registry/admin/confirm.html", context, status=refusal.status if refusal else 200)
