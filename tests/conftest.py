"""Fixtures for everybody: a store of the test's own, the roles, the tests' Redis, and a running installation."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.apps import apps
from django.db import connection
from pytest_django import Settings

from tests import fleets
from tests.installation import Installation

ROLE_MIGRATIONS = (
    "registry.migrations.0004_roles",
    "registry.migrations.0005_pause_fleet",
    "training.migrations.0003_roles",
)


@pytest.fixture(autouse=True)
def artifact_folder(settings: Settings, tmp_path: Path) -> Path:
    """Every test stores its artifacts in a folder of its own."""
    folder = tmp_path / "artifacts-root"
    folder.mkdir()
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "artifact_url": folder.as_uri()}
    return folder


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
