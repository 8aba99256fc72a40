"""Fixtures for everybody: a store of the test's own, the roles, the tests' Redis, and a running installation."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.apps import apps
from django.db import connection
from pytest_django import Settings

from tests import fleets, object_server
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


@pytest.fixture
def roles(db: None) -> None:
    """The groups, also after a test with committed transactions has emptied the tables that the migrations filled."""
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
