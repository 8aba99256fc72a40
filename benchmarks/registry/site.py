"""Owns our side: a whole installation in a scratch folder, whose web process runs as `manage.py up` runs it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from benchmarks import nodes

OWNER = "bench"
TENANT = "bench"
ROLE = "perennial"
MAIN = "perennial"


@dataclass(frozen=True, kw_only=True)
class Server:
    """The embedded PostgreSQL server of this run, with as many databases as it takes."""

    sockets: Path

    def url(self, database: str) -> str:
        """Return a database's address."""
        return os.environ["DATABASE_URL"].removesuffix(MAIN) + database

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        """Return a connection without deadlines, each statement a transaction of its own."""
        return psycopg.connect(host=str(self.sockets), user=ROLE, dbname=database, autocommit=True)

    def create(self, database: str, *, like: str = "template1") -> None:
        """Make a database, as a copy of another that nobody is connected to."""
        with self.connect("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{like}"'.encode())


def prepare(folder: Path) -> Server:
    """Make the scratch folder this process's installation: servers, settings, tables. Call it once, first."""
    for name in [name for name in os.environ if name.startswith("PERENNIAL_")]:
        del os.environ[name]
    os.environ["PERENNIAL_STATE_DIR"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.registry.settings"
    from local import servers, state

    servers.export(servers.attach())
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    return Server(sockets=state.locate().sockets)


def admit() -> str:
    """Make a user of the tenant who may do everything there, and return a token."""
    from django.contrib.auth.models import Group, User

    from registry.models import ApiToken, TenantMembership
    from registry.rest_base import tokens

    user = User.objects.create_user(OWNER)
    user.groups.add(Group.objects.get(name="admin"))
    TenantMembership.objects.create(user=user, tenant=TENANT)
    return tokens.issue(user=user, label="benchmark", scope=ApiToken.Scope.ADMIN, tenants=[TENANT], days=1)[1]


@contextlib.contextmanager
def running(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a web process and give its address. Raises SiteFailed."""
    command = [*nodes.UP, "--only", "web", "--web-port", "0"]
    own = {"PERENNIAL_STATE_DIR": str(folder), **(environment or {})}
    with nodes.process(command, out=folder / "up.out", environment=own) as up:
        nodes.wait([up], ready=lambda: bool(nodes.said(folder).get("ready")), folder=folder)
        base = urlsplit(nodes.said(folder)["address"])
        yield f"{base.scheme}://{base.netloc}"
