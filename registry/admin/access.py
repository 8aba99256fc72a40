"""Who may enter: users, groups, memberships, tokens. Only superusers change them; a token's text is shown once."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin import display as column
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from registry import conf, display, errors, timestamps
from registry.admin import base
from registry.models import ApiToken, TenantMembership
from registry.rest_base import tokens


class SuperusersOnly:
    """Rights to rights: whoever may change them could give themselves all."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)


class MembershipInline(base.TabularInline):  # type: ignore[misc]  # Unfold publishes no types
    """The tenants of a user."""

    model = TenantMembership
    extra = 0


class UserAdmin(SuperusersOnly, DjangoUserAdmin, base.ScopedAdmin):  # type: ignore[misc, type-arg]  # generic in stubs only
    """Users; their groups are their roles."""

    tenant_path = ""
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    inlines = (MembershipInline,)
    change_form_outer_before_template = None
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    compressed_fields = False


class GroupAdmin(SuperusersOnly, DjangoGroupAdmin, base.ScopedAdmin):  # type: ignore[misc]  # two admins, by design of Unfold
    """Groups; viewer, operator, approver and admin are the roles."""

    tenant_path = ""
    change_form_outer_before_template = None


@admin.register(TenantMembership)
class TenantMembershipAdmin(SuperusersOnly, base.ScopedAdmin):
    """Which user sees which tenant."""

    tenant_path = ""
    list_display = ("user", "tenant")
    list_filter = ("tenant",)
    list_select_related = ("user",)
    search_fields = ("user__username", "tenant")
    autocomplete_fields = ("user",)


class TokenForm(forms.Form):
    """What a new token may do, and for how long."""

    label = forms.CharField(
        max_length=100, widget=UnfoldAdminTextInputWidget, help_text="What it is for; seen in lists."
    )
    scope = forms.ChoiceField(
        choices=ApiToken.Scope.choices,
        widget=UnfoldAdminSelectWidget,
        help_text="The highest role that it may act as, never more than yours.",
    )
    tenants = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Divided by commas; empty: all of yours, also later ones.",
    )
    days = forms.IntegerField(
        min_value=1,
        max_value=tokens.MAX_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="After these days it expires.",
    )


@admin.register(ApiToken)
class ApiTokenAdmin(base.ScopedAdmin):
    """Tokens: each user's own; a superuser sees all. Revoking is deleting."""

    tenant_path = ""
    list_display = ("label", "key", "user", "scope", "tenant_list", "created_at", "expires", "last_used")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("label", "user__username")
    ordering = ("-created",)
    hidden_details = ("digest",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.filter(user=request.user.pk)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a token with wider rights is another token

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TokenForm(
            request.POST or None, initial={"days": conf.current().token_days, "scope": ApiToken.Scope.VIEWER}
        )
        text = self._issue(request, form) if request.method == "POST" and form.is_valid() else None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "New API token",
            "form": form,
            "token": text,
            "back": self.page_address("changelist"),
        }
        return TemplateResponse(request, "registry/admin/token.html", context)

    def _issue(self, request: HttpRequest, form: TokenForm) -> str | None:
        wanted = form.cleaned_data
        named = [each.strip() for each in wanted["tenants"].split(",") if each.strip()]
        foreign = [each for each in named if each not in base.tenants(request)]
        if foreign:
            form.add_error("tenants", f"{foreign[0]!r} is not one of your tenants.")
            return None
        try:
            owner = cast(User, request.user)
            _, text = tokens.issue(
                user=owner, label=wanted["label"], scope=wanted["scope"], tenants=named, days=wanted["days"]
            )
        except errors.Invalid as error:
            form.add_error(None, str(error))
            return None
        return text

    @column(description="begins with")
    def key(self, token: ApiToken) -> Any:
        return display.code(f"{token.token_key}…")

    @column(description="tenants")
    def tenant_list(self, token: ApiToken) -> str:
        return ", ".join(token.tenants) or "all of the user's"

    @column(description="created", ordering="created")
    def created_at(self, token: ApiToken) -> Any:
        return display.instant(token.created)

    @column(description="expires", ordering="expiry")
    def expires(self, token: ApiToken) -> Any:
        expired = token.expiry is not None and token.expiry <= timestamps.utc_now()
        return display.badge("failed", "expired") if expired else display.instant(token.expiry)

    @column(description="last used", ordering="last_used_at")
    def last_used(self, token: ApiToken) -> Any:
        return display.instant(token.last_used_at)


admin.site.unregister(User)
admin.site.unregister(Group)
admin.site.register(User, UserAdmin)
admin.site.register(Group, GroupAdmin)
