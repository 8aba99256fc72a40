"""What goes wrong under a sweep stops neither the sweep nor a registration: one odd version, a lock that is lost."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from registry import sweep_locks
from registry.models import ModelVersion
from registry.retention import objects, sweeping
from registry.store import DiskStore
from tests.registry import kept

pytestmark = pytest.mark.requirement("R16")


def unneeded(folder: Path) -> str:
    """Return the digest of an old object whose version is deleted."""
    _, versions = kept.model()
    ModelVersion.objects.filter(pk=versions[0].pk).update(state="deleted")
    kept.age(folder)
    return versions[0].artifact_digest


def sweep() -> list[sweeping.Swept]:
    return list(sweeping.sweep(actor="retention", at=kept.SWEPT))


@pytest.mark.django_db
@pytest.mark.requirement("R18")
@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("artifact_key_id", "long-gone", "signing_key_unknown"),
        ("artifact_signature", "0" * 64, "signature_invalid"),
        ("artifact_size", 2**40, "artifact_too_large"),
    ],
)
def test_what_may_be_a_setting_keeps_its_version_and_the_others_go(
    column: str, value: Any, code: str, settings: Settings, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": second.as_uri()}
    _, versions = kept.model()
    kept.archive(versions[:2])
    ModelVersion.objects.filter(pk=versions[0].pk).update(**{column: value})
    [step] = sweep()
    assert [kept.state(each) for each in versions[:2]] == ["archived", "deleted"]
    assert {key: error.code for key, error in step.refused.items()} == {versions[0].pk: code}


@pytest.mark.django_db(transaction=True)
def test_nothing_is_deleted_once_the_server_has_ended_the_session_that_held_the_lock(
    monkeypatch: pytest.MonkeyPatch, artifact_folder: Path
) -> None:
    digest = unneeded(artifact_folder)
    looks = []
    find = DiskStore.find

    def slow(store: DiskStore, key: str) -> Any:
        looks.append(key)
        if len(looks) == 2:
            # The second look is the one under the lock; the server loses patience meanwhile.
            end_session()
        return find(store, key)

    monkeypatch.setattr(DiskStore, "find", slow)
    with pytest.raises(OperationalError):
        objects.remove([digest], at=kept.SWEPT + timedelta(days=1))
    connection.close()
    assert len(looks) == 2
    assert kept.path(artifact_folder, digest).exists()


@pytest.mark.django_db(transaction=True)
def test_the_lock_outlasts_a_store_that_answers_later_than_the_server_lets_a_session_stand_idle(
    monkeypatch: pytest.MonkeyPatch, artifact_folder: Path
) -> None:
    digest = unneeded(artifact_folder)
    delete = DiskStore.delete

    def slowly(store: DiskStore, keys: Any) -> None:
        time.sleep(0.3)
        delete(store, keys)

    monkeypatch.setattr(DiskStore, "delete", slowly)
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = '100ms'")
    try:
        assert objects.remove([digest], at=kept.SWEPT).objects == 1
    finally:
        connection.close()
    assert not kept.path(artifact_folder, digest).exists()


def test_who_has_a_lock_on_files_may_stand_idle_longer_than_a_store_takes_to_answer_twice(settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "store_seconds": 600.0}
    assert sweep_locks.patience_seconds() > 4 * 600


def end_session() -> None:
    """End this test's session on the server, as the limit on idle transactions does."""
    values = connection.get_connection_params()
    address = {name: values[name] for name in ("host", "port", "user", "password", "dbname") if values.get(name)}
    with psycopg.connect(**address, connect_timeout=10, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
