"""What every admin page shares: tenants, panels, read-only rules, bounded lists. Refuses rows of foreign tenants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.options import InlineModelAdmin
from django.contrib.postgres.fields import ArrayField
from django.db.models import ForeignKey, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from registry import errors, permissions
from registry.admin import confirmation, details, paging
from registry.admin.extensions import Action, Column, Panel
from registry.admin.json_fields import TypedJSONFormField
from registry.fields import TypedJSONField

__all__ = ["ScopedAdmin", "TabularInline", "scoped", "tenants"]
LIVE_SECONDS = 2


class ScopedAdmin(ModelAdmin):  # type: ignore[misc]  # Unfold publishes no types
    """A table whose rows belong to tenants; `tenant_path` leads to the tenant, empty: rows of the installation."""

    tenant_path = "fleet__tenant"
    always_readonly = False
    fixed_fields: tuple[str, ...] = ()
    """Read-only once the row exists."""
    panels: Sequence[Panel] = ()
    page_actions: Sequence[Action] = ()
    hidden_details: tuple[str, ...] = ()
    """Columns that the card of all fields leaves out, mostly because a panel shows them."""

    paginator = paging.BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 200
    show_facets = 0  # facets count every filter over the whole table
    change_form_outer_before_template: str | None = "registry/admin/panels.html"
    change_form_template = "registry/admin/change_form.html"
    change_form_show_cancel_button = True
    compressed_fields = True
    warn_unsaved_form = True
    save_on_top = False

    # -- whose rows

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return scoped(rows, request, self.tenant_path)

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        remote = self.admin_site._registry.get(db_field.remote_field.model)
        if isinstance(remote, ScopedAdmin):
            kwargs.setdefault("queryset", remote.get_queryset(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "tenant" and not request.user.is_superuser:
            choices = [(name, name) for name in sorted(tenants(request))]
            return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget())
        if isinstance(db_field, ArrayField):
            kwargs.setdefault("widget", UnfoldAdminTextInputWidget())
            kwargs.setdefault("help_text", "Divided by commas.")
        if isinstance(db_field, TypedJSONField):
            return TypedJSONFormField(
                db_field,
                label=db_field.verbose_name.capitalize(),
                help_text=db_field.help_text,
                required=False,
                initial=db_field.get_default,
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        # Django would redirect with a message; a foreign row must answer as one that does not exist.
        raise Http404(f"No {opts.verbose_name} with this id.")

    # -- what may be changed

    def has_add_permission(self, request: HttpRequest) -> bool:
        return not self.always_readonly and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.always_readonly or _managed_by(obj):
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.always_readonly or _managed_by(obj):
            return False
        return bool(super().has_delete_permission(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = self.fixed_fields if obj is not None else ()
        return (*super().get_readonly_fields(request, obj), *fixed)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        # What nobody may edit is read in panels; a form of greyed fields would only repeat them.
        if obj is not None and not self.has_change_permission(request, obj):
            return ()
        sets = super().get_fieldsets(request, obj)
        if obj is None or self.change_form_outer_before_template is None:
            return sets
        # Below panels a form needs a heading, and repeats nothing that cannot be changed.
        return [
            (name or "Settings", {**options, "fields": self._open_fields(options["fields"])}) for name, options in sets
        ]

    def _open_fields(self, names: Iterable[Any]) -> list[Any]:
        return [name for name in names if name not in self.fixed_fields]

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[InlineModelAdmin[Any, Any]]:
        return list(super().get_inline_instances(request, obj)) if obj is not None else []

    # -- panels

    def get_panels(self, request: HttpRequest, obj: Any) -> Iterable[Panel]:
        """Return the cards of the page of this row, in order."""
        return self.panels

    def is_live(self, obj: Any) -> bool:
        """Whether the panels are fetched again every two seconds."""
        return False

    def build_panels(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        built = [(panel, panel.build(request, obj)) for panel in self.get_panels(request, obj)]
        cards = [
            {"title": data.get("title", panel.title), "template": panel.template, "wide": panel.wide, "data": data}
            for panel, data in built
            if data is not None
        ]
        return {
            "panels": cards,
            "facts": details.facts(obj, hidden=self.hidden_details),
            "live_address": self.page_address("live", obj.pk) if self.is_live(obj) else "",
            "live_seconds": LIVE_SECONDS,
            "managed_by": _managed_by(obj),
        }

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = kwargs.get("obj")
        if obj is not None:
            context.update(self.build_panels(request, obj))
            context["actions_detail"] = self._buttons(request, obj)
            context["title"] = f"{self.opts.verbose_name.capitalize()} {obj}"
            context["show_save_and_add_another"] = False
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer the form; what is refused after its values had passed, because others acted too, is told there."""
        try:
            answer: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except errors.PerennialError as refusal:
            messages.error(request, str(refusal))
            return HttpResponseRedirect(request.get_full_path())
        return answer

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Answer the panels alone; once the row rests, tell the page to load itself anew."""
        obj = self.visible_or_404(request, object_id)
        if not self.is_live(obj):
            return HttpResponse(headers={"HX-Refresh": "true"})
        return TemplateResponse(request, "registry/admin/panels.html", self.build_panels(request, obj))

    def visible_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row where this user may see it. Raises Http404, also for rows of foreign tenants."""
        obj = self.get_object(request, object_id)
        if obj is None or not self.has_view_permission(request, obj):
            raise Http404(f"No {self.opts.verbose_name} with this id.")
        return obj

    # -- actions

    def get_page_actions(self) -> Iterable[Action]:
        """Return the actions of this table's pages, in order; the first is the primary one."""
        return self.page_actions

    def _buttons(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        offered = [
            each for each in self.get_page_actions() if each.applies(obj) and request.user.has_perm(each.permission)
        ]
        return [
            {
                "title": each.title,
                "icon": each.icon,
                "variant": each.variant,
                "attrs": {},
                "dialog": None,
                "path": self.page_address("act", obj.pk, each.name),
            }
            for each in offered
        ]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        offered = [each for each in self.get_page_actions() if each.bulk and request.user.has_perm(each.permission)]
        bulk = {each.name: (confirmation.of_many(each), each.name, each.title) for each in offered}
        return {**super().get_actions(request), **bulk}

    def find_action(self, name: str) -> Action:
        """Return a declared action. Raises Http404."""
        found = next((each for each in self.get_page_actions() if each.name == name), None)
        if found is None:
            raise Http404(f"No action {name!r} here.")
        return found

    def act_view(self, request: HttpRequest, name: str, object_id: str | None = None) -> HttpResponse:
        """Ask for a reason, then carry the action out. Answers 403 without the right to it, 404 for foreign rows."""
        return confirmation.confirm(self, request, self.find_action(name), object_id)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("act/<slug:name>/", wrap(self.act_view), name=self._route("act_many")),
            path("<path:object_id>/act/<slug:name>/", wrap(self.act_view), name=self._route("act")),
            path("<path:object_id>/live/", wrap(self.live_view), name=self._route("live")),
        ]
        return [*own, *super().get_urls()]

    def _route(self, what: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{what}"

    def page_address(self, what: str, *args: Any) -> str:
        """Return the address of one of this table's pages: changelist, change, act, act_many, live."""
        return reverse(f"admin:{self._route(what)}", args=args)

    # -- lists

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return paging.changelist(super().get_changelist(request, **kwargs))

    # -- columns that upper apps add

    def get_extra_columns(self) -> Iterable[Column]:
        """Return the columns that upper apps put on this table's list."""
        return ()

    def get_list_display(self, request: HttpRequest) -> Any:
        return (*super().get_list_display(request), *(_reader(column) for column in self.get_extra_columns()))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        for column in self.get_extra_columns():
            values = column.values(list(found.result_list))
            for row in found.result_list:
                setattr(row, f"column_{column.name}", values.get(row.pk))
        return found


def _managed_by(obj: Any) -> str:
    return str(getattr(obj, "managed_by", ""))


def _reader(column: Column) -> Any:
    def read(row: Model) -> Any:
        return getattr(row, f"column_{column.name}", None)

    read.short_description = column.title  # type: ignore[attr-defined]  # how Django's admin learns a heading
    read.__name__ = column.name
    return read


def tenants(request: HttpRequest) -> frozenset[str]:
    """Return the tenants that this user may see, asked once for each request."""
    if not hasattr(request, "visible_tenants"):
        request.visible_tenants = permissions.tenants_of(request.user)  # type: ignore[attr-defined]  # one query a request
    found: frozenset[str] = request.visible_tenants  # type: ignore[attr-defined]
    return found


def scoped(rows: QuerySet[Any], request: HttpRequest, tenant_path: str) -> QuerySet[Any]:
    """Return the rows of the tenants that this user may see."""
    return permissions.visible(rows, tenants=tenants(request), through=tenant_path) if tenant_path else rows
