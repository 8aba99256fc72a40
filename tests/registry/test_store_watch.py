"""A store that is away is told by pages that never ask it: with the reason, and until it is back."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import obstore
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from registry import conf, lifecycle, ownership, store, tasks
from registry.models import Bookmark
from registry.upkeep import store_watch
from registry.upkeep.store_watch import Trouble
from tests.config import commands
from tests.factories import NOW
from tests.object_server import Bucket

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R23")]
MARKER = "perennial-store.json"
MINUTE = timedelta(minutes=1)


def in_use() -> None:
    """Let the store of this test be one that was marked, with bytes in it."""
    lifecycle.store_artifacts([b"bytes"], format="test-1")


def seen(*, after: timedelta = timedelta()) -> list[Trouble]:
    """Look, and return what a page then says."""
    store_watch.look(at=NOW + after)
    return store_watch.troubles(now=NOW + after)


def codes(found: list[Trouble]) -> list[str]:
    return [each.code for each in found]


def test_before_anybody_looked_nothing_is_said() -> None:
    assert store_watch.troubles(now=NOW) == []


def test_a_new_store_and_one_in_use_are_no_trouble() -> None:
    assert seen() == []
    in_use()
    assert seen() == []


def test_a_lost_mount_is_told_with_its_reason_and_gone_when_it_is_back(artifact_folder: Path) -> None:
    in_use()
    away = artifact_folder.with_name("away")
    artifact_folder.rename(away)
    [trouble] = seen()
    assert (trouble.purpose, trouble.code, trouble.since) == ("artifacts", "store_unmarked", NOW)
    assert trouble.sentence.startswith("The artifact store has lost its mark")
    assert "manage.py store" in trouble.next_step
    assert [each.since for each in seen(after=MINUTE)] == [NOW], "since when, not when last"
    away.rename(artifact_folder)
    assert seen(after=2 * MINUTE) == []


def test_a_store_that_bears_the_mark_of_another_is_told(artifact_folder: Path) -> None:
    in_use()
    ours = (artifact_folder / MARKER).read_bytes()
    theirs = store.Mark(installation=uuid4(), purpose="artifacts")
    store.open_store(conf.current().artifact_url).claim(theirs, replacing=True)
    assert codes(seen()) == ["store_foreign"]
    (artifact_folder / MARKER).write_bytes(ours)
    assert seen() == []


def test_a_bucket_that_refuses_is_told(bucket: Bucket) -> None:
    in_use()
    assert seen() == []
    client = store.open_store(bucket.url)
    assert isinstance(client, store.ObjectStore)
    obstore.delete(client._client, [each.key for each in client.entries("artifacts/")] + [MARKER])
    bucket.server.client.delete_bucket(Bucket=bucket.name)
    assert codes(seen()) == ["store_unavailable"]
    bucket.create()
    assert codes(seen()) == ["store_unmarked"], "the bucket is back, and empty"


def test_the_backup_store_has_a_line_of_its_own_as_long_as_it_is_set(settings: Settings, tmp_path: Path) -> None:
    second = tmp_path / "second"
    store.open_store(second.as_uri()).claim(store.Mark(installation=uuid4(), purpose="backup"))
    before = settings.PERENNIAL_REGISTRY
    settings.PERENNIAL_REGISTRY = {**before, "backup_url": second.as_uri()}
    [trouble] = seen()
    assert (trouble.purpose, trouble.code) == ("backup", "store_foreign")
    assert trouble.sentence.startswith("The backup store belongs to another installation")
    settings.PERENNIAL_REGISTRY = before
    assert store_watch.troubles(now=NOW) == []


def test_where_nobody_looks_any_more_old_words_are_not_believed() -> None:
    in_use()
    assert seen() == []
    assert store_watch.troubles(now=NOW + 10 * MINUTE) == []
    [trouble] = store_watch.troubles(now=NOW + 11 * MINUTE)
    assert (trouble.code, trouble.since) == ("store_unseen", NOW)
    assert "-Q maintenance" in trouble.next_step


@pytest.mark.django_db(transaction=True)
def test_a_store_that_hangs_keeps_no_page_waiting_and_is_told(artifact_folder: Path) -> None:
    in_use()
    assert seen() == []
    ours = (artifact_folder / MARKER).read_bytes()
    (artifact_folder / MARKER).rename(artifact_folder / "kept")
    # Whoever opens it to read waits for one who writes: this is how a mount hangs.
    os.mkfifo(artifact_folder / MARKER)
    looking = threading.Thread(target=look_and_leave, daemon=True)
    looking.start()
    while not Bookmark.objects.filter(name="store:artifacts:asked").exists():
        assert looking.is_alive()
    assert store_watch.troubles(now=NOW + MINUTE) == [], "it may only be slow"
    [trouble] = store_watch.troubles(now=NOW + 2 * MINUTE)
    assert (trouble.code, trouble.since) == ("store_silent", NOW)
    with (artifact_folder / MARKER).open("wb") as pipe:
        (artifact_folder / "kept").replace(artifact_folder / MARKER)
        pipe.write(ours)
    looking.join(timeout=10)
    assert not looking.is_alive()
    assert store_watch.troubles(now=NOW + 2 * MINUTE) == []


def look_and_leave() -> None:
    try:
        store_watch.look(at=NOW)
    finally:
        connection.close()


def test_the_task_looks_and_ends_before_the_next_two_are_due(artifact_folder: Path) -> None:
    in_use()
    artifact_folder.rename(artifact_folder.with_name("away"))
    tasks.look_at_stores(from_a_newer_sender=True)
    assert Bookmark.objects.filter(name="store:artifacts:store_unmarked").exists()
    assert tasks.look_at_stores.time_limit == store_watch.LOOK_SECONDS


def test_a_page_asks_the_database_once_and_the_store_never(artifact_folder: Path) -> None:
    in_use()
    seen()
    artifact_folder.rename(artifact_folder.with_name("away"))
    with CaptureQueriesContext(connection) as asked:
        assert store_watch.troubles(now=NOW) == []
    assert len(asked) == 1


def test_who_looks_by_hand_tells_the_pages_too(artifact_folder: Path) -> None:
    in_use()
    theirs = store.Mark(installation=uuid4(), purpose=ownership.ARTIFACTS)
    store.open_store(conf.current().artifact_url).claim(theirs, replacing=True)
    assert commands.run("store").status == 1
    assert list(Bookmark.objects.filter(name__startswith="store:artifacts:").values_list("name", flat=True)) == [
        "store:artifacts:store_foreign"
    ]
    assert commands.run("store", "--claim", "artifacts").status == 0
    assert Bookmark.objects.filter(name="store:artifacts:ok").exists()
