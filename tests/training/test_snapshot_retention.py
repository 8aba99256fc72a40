"""Snapshots stay while somebody needs them; then row and file go, and never the file of a row that stays."""

from __future__ import annotations

import hashlib
import io
import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model

from registry import conf, lifecycle, ownership, store, ticks
from registry.models import Tick
from registry.retention import removal
from tests import factories
from tests.factories import NOW
from training import clock, snapshot_retention, tasks
from training.models import Batch, Snapshot, Source

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R16")]
LATER = NOW + timedelta(days=15)


def record(source: Source, data: bytes = b"rows") -> Snapshot:
    digest = hashlib.sha256(data).hexdigest()
    found = snapshot_retention.record(source, digest, io.BytesIO(data), values={"rows": 1, "entities": 1})
    Snapshot.objects.filter(pk=found.pk).update(created_at=NOW)
    return found


def sweep(at: Any = LATER) -> tuple[int, int]:
    steps = list(snapshot_retention.sweep(at=at))
    return sum(each.snapshots for each in steps), sum(each.files for each in steps)


def exists(row: Model) -> bool:
    return type(row)._default_manager.filter(pk=row.pk).exists()


def age(root: Path) -> None:
    for path in root.rglob("*.parquet"):
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))


def file(root: Path, snapshot: Snapshot) -> Path:
    return root / snapshot.location


def test_an_old_snapshot_that_nothing_needs_loses_row_and_file(artifact_folder: Path) -> None:
    snapshot = record(factories.source())
    assert sweep(NOW + timedelta(days=14)) == (0, 0)
    assert sweep(NOW + timedelta(days=14, seconds=1)) == (1, 1)
    assert not exists(snapshot)
    assert not file(artifact_folder, snapshot).exists()


@pytest.mark.parametrize("state", ["ready", "archived", "quarantined"])
def test_a_snapshot_that_a_kept_version_cites_stays(state: str, artifact_folder: Path) -> None:
    snapshot = record(factories.source())
    model = factories.registered_model()
    version = factories.version(registered_model=model, snapshot_digest=snapshot.digest)
    if state == "archived":
        lifecycle.archive([version.pk], actor="a", reason="b", at=NOW)
    if state == "quarantined":
        lifecycle.quarantine([version.pk], actor="a", reason="b", at=NOW)
    assert sweep() == (0, 0)
    lifecycle.archive([version.pk], actor="a", reason="b", at=NOW)
    lifecycle.forget([version.pk], actor="a", reason="b", at=NOW)
    assert sweep() == (1, 1)


def test_the_snapshot_of_an_open_batch_stays_and_that_of_an_ended_one_goes(artifact_folder: Path) -> None:
    snapshot = record(factories.source())
    batch = factories.batch(fleet=factories.fleet(), snapshot=snapshot)
    assert sweep() == (0, 0)
    Batch.objects.update(state="done")
    assert sweep() == (1, 1)
    batch.refresh_from_db()
    assert batch.snapshot is None


def test_a_reading_of_the_same_rows_makes_a_snapshot_young_again(artifact_folder: Path) -> None:
    source = factories.source()
    snapshot = record(source)
    again = snapshot_retention.record(source, snapshot.digest, io.BytesIO(b"rows"), values={"rows": 1, "entities": 1})
    assert again.pk == snapshot.pk
    assert sweep(clock.now() + timedelta(days=13)) == (0, 0)
    assert Snapshot.objects.get().location == snapshot.location


def test_a_file_that_was_swept_before_its_row_was_written_is_stored_again(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = factories.source()
    put, puts = store.DiskStore.put_file, []

    def then_swept(self: Any, key: str, file: Any) -> bool:
        is_new = put(self, key, file)
        puts.append(key)
        if len(puts) == 1:
            self.delete([key])
        return is_new

    monkeypatch.setattr(store.DiskStore, "put_file", then_swept)
    snapshot = record(source)
    assert file(artifact_folder, snapshot).read_bytes() == b"rows"


def test_files_that_no_row_names_go_and_young_ones_stay(artifact_folder: Path) -> None:
    source = factories.source()
    kept = record(source)
    opened = store.open_store(conf.current().artifact_url)
    nameless = snapshot_retention.location_of(source, "ab" * 32)
    opened.put(nameless, b"old")
    age(artifact_folder)
    young = snapshot_retention.location_of(source, "cd" * 32)
    opened.put(young, b"young")
    now = clock.now()
    steps = list(snapshot_retention.sweep_orphans(at=now))
    assert [(each.files, each.size) for each in steps] == [(1, 3)]
    assert {path.name for path in artifact_folder.rglob("*.parquet")} == {
        f"{kept.digest}.parquet", young.rpartition("/")[2],
    }  # fmt: skip


def test_two_sources_with_the_same_rows_have_a_file_each(artifact_folder: Path) -> None:
    first, second = record(factories.source()), record(factories.source())
    factories.batch(fleet=factories.fleet(), snapshot=second)
    assert sweep() == (1, 1)
    assert (exists(first), exists(second)) == (False, True)
    assert file(artifact_folder, second).exists()


@pytest.mark.requirement("R17")
def test_a_sweep_goes_in_steps(artifact_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "REMOVED_AT_ONCE", 2)
    source = factories.source()
    for number in range(5):
        record(source, f"rows {number}".encode())
    assert [each.snapshots for each in snapshot_retention.sweep(at=LATER)] == [2, 2, 1]


def test_the_daily_tick_sweeps_snapshots_and_is_noted(artifact_folder: Path) -> None:
    snapshot = record(factories.source())
    tasks.sweep_snapshots(from_a_newer_sender=1)
    assert not exists(snapshot)
    assert Tick.objects.filter(name="snapshots").exists()


@pytest.mark.django_db(transaction=True)
def test_the_store_is_asked_for_no_file_while_others_wait_for_the_lock(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = factories.source()
    record(source)
    nameless = snapshot_retention.location_of(source, "ab" * 32)
    store.open_store(conf.current().artifact_url).put(nameless, b"old")
    age(artifact_folder)
    find, asked = store.DiskStore.find, []

    def watched(self: Any, key: str) -> Any:
        asked.append(connection.in_atomic_block)
        return find(self, key)

    monkeypatch.setattr(store.DiskStore, "find", watched)
    assert sweep() == (1, 1)
    assert [each.files for each in snapshot_retention.sweep_orphans(at=clock.now())] == [1]
    assert set(asked) == {False}


def test_a_store_that_lists_coarser_times_than_it_tells_of_a_file_loses_its_orphans_too(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless = snapshot_retention.location_of(factories.source(), "ab" * 32)
    opened = store.open_store(conf.current().artifact_url)
    opened.put(nameless, b"old")
    os.utime(artifact_folder / nameless, (NOW.timestamp() + 0.25, NOW.timestamp() + 0.25))
    entries = store.DiskStore.entries

    def coarse(self: Any, prefix: str) -> Any:
        return (replace(each, modified=each.modified.replace(microsecond=0)) for each in entries(self, prefix))

    monkeypatch.setattr(store.DiskStore, "entries", coarse)
    assert [each.files for each in snapshot_retention.sweep_orphans(at=clock.now())] == [1]


def test_a_file_that_became_young_since_it_was_listed_stays(artifact_folder: Path) -> None:
    nameless = snapshot_retention.location_of(factories.source(), "ab" * 32)
    opened = store.open_store(conf.current().artifact_url)
    opened.put(nameless, b"old")
    age(artifact_folder)
    listed = list(opened.entries("snapshots/"))
    opened.put(nameless, b"old")
    now = clock.now()
    assert snapshot_retention._remove_strays(opened, listed, now - timedelta(hours=24)).files == 0
    assert opened.exists(nameless)


def test_rows_go_for_good_before_their_files(artifact_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = record(factories.source())

    def away(self: Any, keys: Any) -> None:
        raise store.StoreUnavailable("The store stopped answering.")

    monkeypatch.setattr(store.DiskStore, "delete", away)
    with pytest.raises(store.StoreUnavailable):
        sweep()
    assert not exists(snapshot), "a file without a row is found again, a row without a file is damage"
    monkeypatch.undo()
    age(artifact_folder)
    assert [each.files for each in snapshot_retention.sweep_orphans(at=clock.now())] == [1]


def test_a_snapshot_that_is_recorded_again_between_its_row_and_its_file_keeps_the_file(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = factories.source()
    snapshot = record(source)
    remove_files = snapshot_retention._remove_files

    def then_recorded(*args: Any) -> Any:
        record(source)
        return remove_files(*args)

    monkeypatch.setattr(snapshot_retention, "_remove_files", then_recorded)
    assert next(iter(snapshot_retention.sweep(at=LATER))).files == 0
    assert Snapshot.objects.exclude(pk=snapshot.pk).count() == 1
    assert file(artifact_folder, snapshot).exists()


@pytest.mark.django_db(transaction=True)
def test_the_lock_outlasts_a_store_that_answers_later_than_the_server_lets_a_session_stand_idle(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = record(factories.source())
    delete = store.DiskStore.delete

    def slowly(self: Any, keys: Any) -> None:
        time.sleep(0.3)
        delete(self, keys)

    monkeypatch.setattr(store.DiskStore, "delete", slowly)
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = '100ms'")
    try:
        assert sweep() == (1, 1)
    finally:
        connection.close()
    assert not file(artifact_folder, snapshot).exists()


@pytest.mark.requirement("R17")
def test_the_store_is_asked_for_strays_alone(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    source = factories.source()
    for number in range(50):
        record(source, b"rows %d" % number)
    nameless = snapshot_retention.location_of(source, "ab" * 32)
    store.open_store(conf.current().artifact_url).put(nameless, b"old")
    age(artifact_folder)
    find, asked = store.DiskStore.find, []

    def watched(self: Any, key: str) -> Any:
        asked.append(key)
        return find(self, key)

    monkeypatch.setattr(store.DiskStore, "find", watched)
    with django_assert_max_num_queries(20):
        assert [each.files for each in snapshot_retention.sweep_orphans(at=clock.now())] == [1]
    assert asked == [nameless]


@pytest.mark.requirement("R17")
def test_the_next_sweep_of_nameless_files_goes_on_with_the_source_where_this_one_ended(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_retention, "LOOKED_AT_ONCE", 1)
    opened = store.open_store(conf.current().artifact_url)
    # In the order of their names, which is not that of their numbers.
    sources = ["10", "9", "9999999999999999999"]
    for number in sources:
        opened.put(f"snapshots/{number}/{'ab' * 32}.parquet", b"old")
    ownership.claim("artifacts")
    age(artifact_folder)
    delete = store.DiskStore.delete
    monkeypatch.setattr(store.DiskStore, "delete", lambda self, keys: None)
    for expected in (10, 9, 2**63 - 1):
        steps = snapshot_retention.sweep_orphans(at=clock.now())
        next(steps)
        if ticks.reached("snapshots") != expected:
            next(steps)
        assert ticks.reached("snapshots") == expected
    monkeypatch.setattr(store.DiskStore, "delete", delete)
    assert sum(each.files for each in snapshot_retention.sweep_orphans(at=clock.now())) == 1
    assert ticks.reached("snapshots") == 0, "the round is over"
    assert sum(each.files for each in snapshot_retention.sweep_orphans(at=clock.now())) == 2
