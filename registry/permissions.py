"""Owns who may do what: four roles (Django groups of the same names), tenants, and what of both a token leaves."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group
from django.db.models import Model, QuerySet
from rest_framework.permissions import BasePermission

from registry.models import ApiToken, TenantMembership

if TYPE_CHECKING:
    # The framework imports this module while it makes its views.
    from rest_framework.request import Request
    from rest_framework.views import APIView

Row = TypeVar("Row", bound=Model)


class Role(StrEnum):
    """The roles, each with all that the ones before it may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


RANKS = {role: rank for rank, role in enumerate(Role)}


class _Everything(frozenset[str]):
    """The set of all tenants, also those that do not exist yet."""

    def __contains__(self, tenant: object) -> bool:
        return True


ALL: frozenset[str] = _Everything()


class RolePermission(BasePermission):
    """Let a request pass when its user's role reaches what the view declares for the method; deny by default.

    A view declares `required = {"GET": "viewer", "POST": "operator"}`; HEAD and OPTIONS count as GET. A method that is
    not declared is denied to everybody.
    """

    message = "Your role does not allow this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the role of user and token together reaches the declared one."""
        declared: dict[str, str] = getattr(view, "required", {})
        method = "GET" if request.method in {"HEAD", "OPTIONS"} else request.method
        needed = declared.get(method or "")
        if needed is None:
            return False
        self.message = f"This needs the role {needed}. Ask an administrator, or use a token of that scope."
        return allows(request.user, request.auth, role=Role(needed))


def allows(user: AbstractBaseUser | AnonymousUser, auth: Any = None, *, role: Role | str) -> bool:
    """Whether user, and token where there is one, act at least as `role`."""
    held = role_of(user, auth)
    return held is not None and RANKS[held] >= RANKS[Role(role)]


def role_of(user: AbstractBaseUser | AnonymousUser, auth: Any = None) -> Role | None:
    """Return the highest role of the user, at most the token's scope; None for nobody and for the inactive."""
    held = _held(user, auth)
    if held is None or not isinstance(auth, ApiToken):
        return held
    return min(held, Role(auth.scope), key=RANKS.__getitem__)


def tenants_of(user: AbstractBaseUser | AnonymousUser, auth: Any = None) -> frozenset[str]:
    """Return the tenants that the user may see, narrowed to the token's where it names some; `ALL` for a superuser."""
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    own = ALL if getattr(user, "is_superuser", False) else _memberships(user, auth)
    if not isinstance(auth, ApiToken) or not auth.tenants:
        return own
    return frozenset(tenant for tenant in auth.tenants if tenant in own)


def visible(queryset: QuerySet[Row], *, tenants: frozenset[str], through: str) -> QuerySet[Row]:
    """Return the rows of those tenants alone; `through` leads to the tenant, such as `fleet__tenant`."""
    return queryset if tenants is ALL else queryset.filter(**{f"{through}__in": sorted(tenants)})


def _held(user: AbstractBaseUser | AnonymousUser, auth: Any) -> Role | None:
    if not user.is_authenticated or not user.is_active:
        return None
    if getattr(user, "is_superuser", False):
        return Role.ADMIN
    return max((Role(name) for name in _groups(user, auth)), key=RANKS.__getitem__, default=None)


def _groups(user: AbstractBaseUser | AnonymousUser, auth: Any) -> Iterable[str]:
    if isinstance(auth, ApiToken) and auth.standing is not None:
        return (name for name in auth.standing.groups if name in RANKS)
    return Group.objects.filter(user=user.pk, name__in=list(Role)).values_list("name", flat=True)


def _memberships(user: AbstractBaseUser | AnonymousUser, auth: Any) -> frozenset[str]:
    if isinstance(auth, ApiToken) and auth.standing is not None:
        return auth.standing.tenants
    return frozenset(TenantMembership.objects.filter(user__pk=int(user.pk or 0)).values_list("tenant", flat=True))
