"""Empties the tables after a test that commits: rows are deleted, which takes a twentieth of truncating every table.

What the migrations filled stays: kinds of content, rights, and the groups of the roles.
"""

from __future__ import annotations

from django.db import connection, transaction
from django.test import TransactionTestCase

ROLES = ("viewer", "operator", "approver", "admin")
KEPT = {"django_content_type", "django_migrations", "auth_permission", "auth_group", "auth_group_permissions"}
_others = "group_id NOT IN (SELECT id FROM auth_group WHERE name = ANY(%s))"

_truncate = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]


def empty(case: TransactionTestCase) -> None:
    """Delete every row, in the place of Django's flush; truncate where this user may not pass over triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if not cursor.fetchone()[0]:
            _truncate(case)
            return
        found = connection.introspection.django_table_names(only_existing=True, include_views=False)
        names = [connection.ops.quote_name(name) for name in found if name not in KEPT]
        with transaction.atomic():
            # Neither the order of the tables nor what forbids to delete from them counts here.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(";".join(f"DELETE FROM {name}" for name in names))
            cursor.execute(f"DELETE FROM auth_group_permissions WHERE {_others}", [list(ROLES)])
            cursor.execute("DELETE FROM auth_group WHERE name <> ALL(%s)", [list(ROLES)])
