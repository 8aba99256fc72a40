"""Fixtures for everybody: a store of the test's own, the roles, the tests' Redis, and a running installation."""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection
from django.test import TransactionTestCase
from pytest_django import DjangoDbBlocker, Settings

from tests import emptying, fleets, object_server
from tests.installation import Installation

ROLE_MIGRATIONS = (
    "registry.migrations.0004_roles",
    "registry.migrations.0005_pause_fleet",
    "registry.migrations.0011_tag_permission",
    "training.migrations.0003_roles",
)


@pytest.fixture(autouse=True)
def artifact_folder(settings: Settings, tmp_path: Path) -> Path:
    """Every test stores its artifacts in a folder of its own."""
    folder = tmp_path / "artifacts-root"
    folder.mkdir()
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "artifact_url": folder.as_uri()}
    return folder


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object_server.ObjectServer]:
    """A real S3 server on loopback."""
    server = object_server.start(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


_buckets = itertools.count(1)


@pytest.fixture
def bucket(
    s3_server: object_server.ObjectServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> object_server.Bucket:
    """An empty bucket, in which this test stores its artifacts instead."""
    made = object_server.Bucket(name=f"bucket-{next(_buckets)}", server=s3_server)
    made.create()
    for name, value in object_server.KEYS.items():
        monkeypatch.setenv(name, value)
    there = {"artifact_url": made.url, "store_endpoint": s3_server.endpoint, "store_seconds": 20.0}
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, **there}
    return made


@pytest.fixture(scope="session", autouse=True)
def quick_emptying() -> Iterator[None]:
    """After a test that commits its rows go as `tests.emptying` says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", emptying.empty)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """As with the tests' PostgreSQL: what is killed here is processes, and the kernel keeps what they wrote."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def width_of_nobody() -> Iterator[None]:
    """Commands write as into a pipe, however wide the terminal is from which the tests were started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture(scope="session")
def granted(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> frozenset[tuple[str, str]]:
    """The groups and what each may do, as the migrations made them."""
    with django_db_blocker.unblock():
        _grant()
        found = _rights()
        connection.close()
    return found


@pytest.fixture
def roles(granted: frozenset[tuple[str, str]], db: None) -> None:
    """The groups, also after a test that took migrations back. Looks first: granting asks a hundred statements."""
    if _rights() != granted:
        _grant()


def _rights() -> frozenset[tuple[str, str]]:
    return frozenset(Group.objects.filter(name__in=emptying.ROLES).values_list("name", "permissions__codename"))


def _grant() -> None:
    for name in ROLE_MIGRATIONS:
        with connection.schema_editor(atomic=False) as editor:
            importlib.import_module(name).grant_roles(apps, editor)


@pytest.fixture
def redis_server(settings: Settings) -> Iterator[redis.Redis]:
    """A client of the Redis that the tests use."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5)
    yield client
    client.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation with a superuser and a token, for flows and faults; each brings its own fleet."""
    installation = Installation(folder=tmp_path_factory.mktemp("site")).start()
    try:
        installation.admit()
        # Due at the next full minute, with nobody asking: a flow looks for its batch while the others run.
        folder = tmp_path_factory.mktemp("minutely")
        fleets.apply(installation, folder, name="minutely", entities=("a",), cron="* * * * *")
        yield installation
    finally:
        assert installation.stop() == 0
