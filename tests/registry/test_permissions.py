"""A role opens what its view declares and nothing else; tenants and tokens only ever narrow."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from registry import permissions
from registry.models import Fleet
from registry.permissions import Role
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


class View(APIView):
    required = {"GET": "viewer", "POST": "operator", "PUT": "approver", "DELETE": "admin"}


def allowed(method: str, *, user: User | AnonymousUser, auth: object = None, view: type[APIView] = View) -> bool:
    request = Request(getattr(APIRequestFactory(), method.lower())("/"))
    request.user, request.auth = user, auth
    return permissions.RolePermission().has_permission(request, view())


METHODS = ("GET", "POST", "PUT", "DELETE")


@pytest.mark.requirement("X04")
@pytest.mark.parametrize(("role", "opened"), [(None, 0), ("viewer", 1), ("operator", 2), ("approver", 3), ("admin", 4)])
def test_a_role_opens_its_own_methods_and_those_of_the_roles_before(role: str | None, opened: int) -> None:
    user = factories.user(role=role)
    assert [allowed(method, user=user) for method in METHODS] == [rank < opened for rank in range(4)]


def test_a_method_or_view_that_declares_nothing_is_denied_to_everybody() -> None:
    root = User.objects.create_superuser("root")
    assert not allowed("PATCH", user=root)
    assert not allowed("GET", user=root, view=APIView)
    assert allowed("HEAD", user=root) and allowed("OPTIONS", user=factories.user(role="viewer"))


def test_nobody_and_the_inactive_are_denied() -> None:
    inactive = factories.user(role="admin", is_active=False)
    for user in (AnonymousUser(), inactive):
        assert not allowed("GET", user=user)
        assert permissions.tenants_of(user) == frozenset()


def test_the_highest_of_several_roles_counts() -> None:
    user = factories.user(role="viewer")
    user.groups.add(Group.objects.get(name="approver"), Group.objects.create(name="bakers"))
    assert permissions.role_of(user) is Role.APPROVER


@pytest.mark.parametrize(
    ("role", "scope", "acts_as"),
    [
        ("admin", "viewer", "viewer"),
        ("viewer", "admin", "viewer"),
        ("approver", "operator", "operator"),
        (None, "admin", None),
    ],
)
def test_a_token_never_acts_above_its_scope_or_its_user(role: str | None, scope: str, acts_as: str | None) -> None:
    user = factories.user(role=role)
    token, _ = factories.token(user=user, scope=scope)
    assert permissions.role_of(user, token) == acts_as


@pytest.mark.requirement("X04")
def test_a_user_sees_the_tenants_of_its_memberships_and_a_token_narrows_them() -> None:
    user = factories.user(role="viewer", tenants=("acme", "bolt"))
    assert permissions.tenants_of(user) == {"acme", "bolt"}
    assert permissions.tenants_of(user, factories.token(user=user)[0]) == {"acme", "bolt"}
    narrow, _ = factories.token(user=user, tenants=("acme", "foreign"))
    assert permissions.tenants_of(user, narrow) == {"acme"}


def test_a_superuser_sees_all_tenants_and_its_token_those_that_it_names() -> None:
    root = User.objects.create_superuser("root")
    assert permissions.tenants_of(root) is permissions.ALL
    assert "any" in permissions.ALL
    assert permissions.tenants_of(root, factories.token(user=root, tenants=("acme",))[0]) == {"acme"}


@pytest.mark.requirement("X04")
def test_only_rows_of_the_tenants_are_visible() -> None:
    own, foreign = factories.fleet(tenant="acme"), factories.fleet(tenant="bolt")
    fleets = Fleet.objects.order_by("pk")
    assert list(permissions.visible(fleets, tenants=frozenset({"acme"}), through="tenant")) == [own]
    assert list(permissions.visible(fleets, tenants=frozenset(), through="tenant")) == []
    assert list(permissions.visible(fleets, tenants=permissions.ALL, through="tenant")) == [own, foreign]


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("viewer", "registry.view_modelversion", "training.trigger_trainingrun"),
        ("operator", "training.cancel_trainingrun", "registry.promote_modelversion"),
        ("operator", "training.pause_retrainingpolicy", "training.change_retrainingpolicy"),
        ("operator", "registry.pause_fleet", "registry.change_fleet"),
        ("approver", "registry.pause_fleet", "registry.change_fleet"),
        ("admin", "registry.pause_fleet", "registry.delete_event"),
        ("viewer", "registry.view_fleet", "registry.pause_fleet"),
        ("approver", "registry.rollback_registeredmodel", "registry.add_fleet"),
        ("approver", "training.delete_trainingrun", "registry.add_apitoken"),
        ("admin", "training.change_retrainingpolicy", "registry.delete_event"),
        ("admin", "registry.promote_modelversion", "registry.change_event"),
    ],
)
def test_a_group_carries_the_permissions_of_its_role(role: str, may: str, may_not: str) -> None:
    user = factories.user(role=role)
    assert user.has_perm(may)
    assert not user.has_perm(may_not)
