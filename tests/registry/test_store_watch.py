"""A store that is away is told by pages that never ask it: with the reason, and until it is back."""

from __future__ import annotations

import contextlib
import os
import threading
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import obstore
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from registry import conf, lifecycle, ownership, store, tasks, ticks
from registry.models import Bookmark
from registry.upkeep import store_watch
from registry.upkeep.store_watch import Trouble
from tests.config import commands
from tests.factories import NOW
from tests.object_server import Bucket

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R23")]
MARKER = "perennial-store.json"
MINUTE = timedelta(minutes=1)
NIGHT = timedelta(hours=12)


def in_use() -> None:
    """Let the store of this test be one that was marked, with bytes in it."""
    lifecycle.store_artifacts([b"bytes"], format="test-1")


def seen(*, after: timedelta = timedelta()) -> list[Trouble]:
    """Look, and return what a page then says."""
    store_watch.look(at=NOW + after)
    return store_watch.troubles(now=NOW + after)


def codes(found: list[Trouble]) -> list[str]:
    return [each.code for each in found]


def ticked(*, first: timedelta = timedelta(), last: timedelta) -> None:
    """Let periodic jobs run from one instant to the other, as those of an installation that is up."""
    for minutes in range(int(first / MINUTE), int(last / MINUTE) + 1):
        ticks.record("dispatch", at=NOW + minutes * MINUTE)


def test_before_anybody_looked_nothing_is_known() -> None:
    assert store_watch.known(now=NOW) == {}


def test_that_nobody_ever_looks_is_told_where_there_was_time_to() -> None:
    ticked(last=9 * MINUTE)
    assert store_watch.known(now=NOW + 10 * MINUTE) == {}
    ticked(first=10 * MINUTE, last=11 * MINUTE)
    [trouble] = store_watch.troubles(now=NOW + 11 * MINUTE)
    assert (trouble.code, trouble.since) == ("store_unseen", NOW)
    assert codes(seen(after=11 * MINUTE)) == []


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


def test_a_look_that_began_earlier_and_ended_later_changes_nothing(artifact_folder: Path) -> None:
    in_use()
    found = ownership.standing(ownership.ARTIFACTS)
    away = artifact_folder.rename(artifact_folder.with_name("away"))
    lost = ownership.standing(ownership.ARTIFACTS)
    away.rename(artifact_folder)
    store_watch.note(found, at=NOW + timedelta(seconds=15))
    store_watch.note(lost, at=NOW)
    assert store_watch.troubles(now=NOW + timedelta(seconds=15)) == []
    store_watch.note(lost, at=NOW + timedelta(seconds=30))
    assert codes(store_watch.troubles(now=NOW + timedelta(seconds=30))) == ["store_unmarked"]


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
    assert seen() == [], "the artifact store has the first turn"
    [trouble] = seen()
    assert (trouble.purpose, trouble.code) == ("backup", "store_foreign")
    assert trouble.sentence.startswith("The backup store belongs to another installation")
    settings.PERENNIAL_REGISTRY = before
    assert store_watch.troubles(now=NOW) == []


def test_where_nobody_looks_any_more_old_words_are_not_believed() -> None:
    in_use()
    assert seen() == []
    ticked(last=11 * MINUTE)
    assert store_watch.troubles(now=NOW + 10 * MINUTE) == []
    [trouble] = store_watch.troubles(now=NOW + 11 * MINUTE)
    assert (trouble.code, trouble.since) == ("store_unseen", NOW)
    assert "-Q maintenance" in trouble.next_step


def test_a_start_after_a_night_raises_no_alarm_and_knows_nothing_yet() -> None:
    in_use()
    assert seen() == []
    ticked(last=MINUTE)
    assert store_watch.known(now=NOW + NIGHT) == {}, "nothing runs"
    ticked(first=NIGHT, last=NIGHT + MINUTE)
    assert store_watch.known(now=NOW + NIGHT + MINUTE) == {}
    ticked(first=NIGHT + 2 * MINUTE, last=NIGHT + 11 * MINUTE)
    assert codes(store_watch.troubles(now=NOW + NIGHT + 11 * MINUTE)) == ["store_unseen"]


def test_what_was_wrong_before_a_night_is_told_until_somebody_looks(artifact_folder: Path) -> None:
    in_use()
    away = artifact_folder.rename(artifact_folder.with_name("away"))
    assert codes(seen()) == ["store_unmarked"]
    ticked(first=NIGHT, last=NIGHT)
    assert codes(store_watch.troubles(now=NOW + NIGHT)) == ["store_unmarked"]
    away.rename(artifact_folder)
    assert seen(after=NIGHT) == []


@pytest.mark.parametrize("night", [5 * MINUTE, timedelta(hours=12)])
def test_a_look_that_a_shutdown_ended_is_no_silent_store(monkeypatch: pytest.MonkeyPatch, night: timedelta) -> None:
    in_use()
    ticked(last=MINUTE)
    assert seen() == []
    hang(monkeypatch, "artifacts", at=NOW + MINUTE)
    ticked(first=night, last=night)
    assert store_watch.troubles(now=NOW + night) == []
    hang(monkeypatch, "artifacts", at=NOW + night)
    assert store_watch.troubles(now=NOW + night) == [], "it was asked anew"
    monkeypatch.undo()
    assert seen(after=night) == []


def test_a_question_whose_asker_died_long_ago_means_that_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    in_use()
    assert seen() == []
    hang(monkeypatch, "artifacts", at=NOW + MINUTE)
    ticked(last=12 * MINUTE)
    assert codes(store_watch.troubles(now=NOW + 5 * MINUTE)) == ["store_silent"]
    assert codes(store_watch.troubles(now=NOW + 12 * MINUTE)) == ["store_unseen"]


def test_a_store_that_hangs_for_long_stays_silent_and_hides_no_other(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use()
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": (tmp_path / "second").as_uri()}
    for minute in range(1, 30):
        ticked(first=minute * MINUTE, last=minute * MINUTE)
        hang(monkeypatch, "artifacts", at=NOW + minute * MINUTE)
    [trouble] = store_watch.troubles(now=NOW + 29 * MINUTE)
    assert (trouble.purpose, trouble.code, trouble.since) == ("artifacts", "store_silent", NOW + MINUTE)
    assert store_watch.known(now=NOW + 29 * MINUTE)["backup"] is None


class Ended(Exception):
    """Stands for the end of a process that waits for a store."""


def hang(monkeypatch: pytest.MonkeyPatch, purpose: str, *, at: datetime) -> None:
    """Look, while the store of this purpose does not answer."""
    standing = ownership.standing

    def waits(asked: str) -> ownership.Standing:
        if asked == purpose:
            raise Ended
        return standing(asked)

    with monkeypatch.context() as patch, contextlib.suppress(Ended):
        patch.setattr(ownership, "standing", waits)
        store_watch.look(at=at)


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
