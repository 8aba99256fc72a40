"""Many small artifacts of one call lie in few objects; each loads alone, also while others are swept or moved."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import monotonic

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from registry import artifacts, conf, lifecycle, store, sweep_locks
from registry.artifacts import Stored
from registry.deadlines import Deadline
from registry.models import ModelVersion, RegisteredModel
from tests import factories

pytestmark = pytest.mark.django_db
MIB = 1024**2
NOW = factories.NOW


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest) -> None:
    """Where artifacts are stored in this test."""
    if request.param == "s3":
        request.getfixturevalue("bucket")


def opened() -> store.Store:
    return store.open_store(conf.current().artifact_url)


def objects() -> list[str]:
    return [entry.key for entry in opened().entries("artifacts/")]


def register(model: RegisteredModel, stored: Sequence[Stored], *, at: datetime = NOW) -> list[ModelVersion]:
    items = [
        lifecycle.Registration(registered_model_id=model.pk, stored=each, trainer="seasonal_naive") for each in stored
    ]
    return lifecycle.register(items, actor="test", cause="manual", at=at)


def container_of(version: ModelVersion) -> str:
    return artifacts.key_of(version.artifact_container)


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return cursor.fetchone() is not None


@pytest.mark.requirement("R23")
def test_two_thousand_small_artifacts_are_one_object_and_each_loads(place: None) -> None:
    contents = [f"artifact {number}".encode() * 10 for number in range(2000)]
    stored = lifecycle.store_artifacts(contents, format="test-1")
    assert len(objects()) == 1
    versions = register(factories.registered_model(), stored)
    for number in (0, 1, 999, 1999):
        loaded = ModelVersion.objects.get(pk=versions[number].pk)
        assert artifacts.load(loaded) == contents[number]
        assert loaded.artifact_container == stored[0].container


def test_large_artifacts_are_objects_of_their_own_and_containers_have_a_bound(place: None) -> None:
    small = [os.urandom(MIB - 1) for _ in range(17)]
    large = os.urandom(MIB)
    stored = lifecycle.store_artifacts([*small[:9], large, *small[9:]], format="test-1")
    assert [each.container == "" for each in stored] == [False] * 9 + [True] + [False] * 7 + [True]
    assert len({each.container for each in stored if each.container}) == 1
    sizes = sorted(entry.size for entry in opened().entries("artifacts/"))
    assert sizes == [MIB - 1, MIB, 16 * (MIB - 1)]


def test_one_alone_and_equal_ones_share_an_object_without_a_container(place: None) -> None:
    [alone] = lifecycle.store_artifacts([b"alone"], format="test-1")
    assert (alone.container, alone.offset) == ("", 0)
    first, second = lifecycle.store_artifacts([b"equal"] * 2, format="test-1")
    assert first == second and first.container == ""
    mixed = lifecycle.store_artifacts([b"a", b"b", b"a"], format="test-1")
    assert mixed[0] == mixed[2] and mixed[0].container
    assert [each.offset for each in mixed] == [0, 1, 0]
    assert lifecycle.store_artifacts([], format="test-1") == []


def test_one_that_is_too_large_stores_none_of_the_call(settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "max_artifact_bytes": 10}
    with pytest.raises(artifacts.ArtifactTooLarge, match="11 bytes"):
        lifecycle.store_artifacts([b"small", b"eleven byte", b"tiny"], format="test-1")
    assert objects() == []


def test_a_load_reads_its_range_and_nothing_else(artifact_folder: Path) -> None:
    versions = register(factories.registered_model(), lifecycle.store_artifacts([b"one", b"two"], format="test-1"))
    path = artifact_folder / container_of(versions[0])
    # Far larger than memory, and made of holes: reading more than the range would take minutes.
    os.truncate(path, 2**36)
    assert artifacts.load(versions[1]) == b"two"
    with path.open("r+b") as file:
        file.write(b"0ne")
    assert artifacts.load(versions[1]) == b"two"
    with pytest.raises(artifacts.ArtifactCorrupted):
        artifacts.load(versions[0])


def test_a_truncated_container_refuses_what_is_cut_off_and_gives_the_rest(place: None) -> None:
    model = factories.registered_model()
    versions = register(model, lifecycle.store_artifacts([b"one", b"two", b"three"], format="test-1"))
    opened().put(container_of(versions[0]), b"onet")
    assert artifacts.load(versions[0]) == b"one"
    for version in versions[1:]:
        with pytest.raises(artifacts.ArtifactCorrupted):
            artifacts.load(version)


def test_a_reader_with_an_old_row_follows_an_artifact_that_moved(place: None) -> None:
    model = factories.registered_model()
    [version, _] = register(model, lifecycle.store_artifacts([b"one", b"two"], format="test-1"))
    held = ModelVersion.objects.get(pk=version.pk)
    [moved, _] = lifecycle.store_artifacts([b"one", b"three"], format="test-1")
    ModelVersion.objects.filter(pk=version.pk).update(artifact_container=moved.container, artifact_offset=moved.offset)
    opened().delete([container_of(version)])
    assert artifacts.load(held) == b"one"


@pytest.mark.requirement("R04")
def test_what_was_stored_too_long_ago_is_refused_and_stored_again(place: None) -> None:
    model = factories.registered_model()
    fresh, late = lifecycle.store_artifacts([b"one", b"two"], format="test-1")
    with pytest.raises(artifacts.ArtifactSwept, match="Store the artifact again"):
        register(model, [fresh, replace(late, kept=Deadline(0.0))])
    assert not ModelVersion.objects.exists()
    again = register(model, lifecycle.store_artifacts([b"one", b"two"], format="test-1"))
    assert [artifacts.load(version) for version in again] == [b"one", b"two"]


def test_bytes_are_to_be_registered_within_half_of_the_time_that_a_sweep_leaves_them_be(settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "orphan_grace_hours": 2}
    before = monotonic()
    [stored] = lifecycle.store_artifacts([b"one"], format="test-1")
    assert before + 3600 <= stored.kept.ends <= monotonic() + 3600


def test_no_store_is_asked_while_rows_are_locked(artifact_folder: Path) -> None:
    model = factories.registered_model()
    lifecycle.store_artifacts([b"one", b"two"], format="test-1")
    there_before = lifecycle.store_artifacts([b"one", b"two"], format="test-1")
    artifact_folder.rename(artifact_folder.with_name("away"))
    assert len(register(model, there_before)) == 2, "a store that is away, or slow, would be waited for"


@pytest.mark.django_db(transaction=True)
def test_neither_lock_is_taken_outside_a_transaction() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        sweep_locks.share(sweep_locks.ARTIFACTS)
    with pytest.raises(transaction.TransactionManagementError):
        sweep_locks.have_alone(sweep_locks.ARTIFACTS)


@pytest.mark.django_db(transaction=True)
def test_who_stores_what_a_sweep_is_taking_waits_for_it_and_puts_it_back_and_new_bytes_do_not_wait() -> None:
    model, other = factories.registered_model(), factories.registered_model()
    [old] = lifecycle.store_artifacts([b"old"], format="test-1")
    stored: list[Stored] = []

    def work() -> None:
        try:
            stored.extend(lifecycle.store_artifacts([b"old"], format="test-1"))
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    with transaction.atomic():
        sweep_locks.have_alone(sweep_locks.ARTIFACTS)
        thread.start()
        while not somebody_waits():
            assert thread.is_alive()
        register(other, lifecycle.store_artifacts([b"new"], format="test-1"))
        opened().delete([artifacts.key_of(old.digest)])
        assert stored == []
    thread.join(timeout=20)
    [version] = register(model, stored)
    assert artifacts.load(version) == b"old"


@pytest.mark.django_db(transaction=True)
def test_a_sweep_waits_for_who_is_storing_what_was_there_before(monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle.store_artifacts([b"old"], format="test-1")
    swept: list[bool] = []
    exists = store.GuardedStore.exists

    def sweep() -> None:
        try:
            with transaction.atomic():
                sweep_locks.have_alone(sweep_locks.ARTIFACTS)
                swept.append(True)
        finally:
            connection.close()

    thread = threading.Thread(target=sweep)

    def slowly(self: store.GuardedStore, key: str) -> bool:
        thread.start()
        while not somebody_waits():
            assert thread.is_alive()
        assert not swept
        return exists(self, key)

    monkeypatch.setattr(store.GuardedStore, "exists", slowly)
    lifecycle.store_artifacts([b"old"], format="test-1")
    thread.join(timeout=20)
    assert swept
