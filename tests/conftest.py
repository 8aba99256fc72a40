"""Fixtures for everybody: a store of the test's own, the roles, and a client of the tests' Redis."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.apps import apps
from django.db import connection
from pytest_django import Settings

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
