"""Whose a store is: marked with the first bytes, asked before anything is believed to be missing, never another's."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from config import checks
from registry import artifacts, conf, lifecycle, ownership, store
from registry.deadlines import Deadline
from registry.models import Installation, ModelVersion
from registry.store import StoreUnavailable
from tests.object_server import Bucket
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R23")]
KEY = store.artifact_key("ab" + "0" * 62)
OTHERS = store.artifact_key("ab" + "1" * 62)
MARKER = "perennial-store.json"


def place(settings: Settings, **urls: str) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, **urls}


@pytest.fixture(params=["disk", "s3"])
def elsewhere(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Callable[[], None]:
    """Point the setting at a store of this kind, and return what points it at an empty one beside it."""
    if request.param == "disk":
        return lambda: place(settings, artifact_url=(tmp_path / "elsewhere").as_uri())
    bucket: Bucket = request.getfixturevalue("bucket")
    return lambda: place(settings, artifact_url=f"s3://{bucket.name}/elsewhere")


def raw() -> store.Store:
    return store.open_store(conf.current().artifact_url)


def uses() -> list[Callable[[], object]]:
    opened = ownership.artifact_store()
    return [
        lambda: opened.get(KEY),
        lambda: opened.get(KEY, length=1),
        lambda: list(opened.get_each([store.Place(key=KEY)])),
        lambda: opened.exists(KEY),
        lambda: opened.find(KEY),
        lambda: opened.put(KEY, b"x"),
        lambda: opened.put_each([(KEY, b"x")]),
        lambda: opened.delete([KEY]),
        lambda: list(opened.entries("artifacts/")),
        opened.folders,
    ]


def assert_refused(kind: type[StoreUnavailable], match: str | None = None) -> None:
    for use in uses():
        with pytest.raises(kind, match=match):
            use()


def test_the_first_bytes_mark_an_empty_store_and_then_absence_is_believed(elsewhere: object) -> None:
    opened = ownership.artifact_store()
    assert list(opened.entries("artifacts/")) == [], "nothing was ever stored, so nothing can be lost"
    assert opened.put(KEY, b"x") and opened.get(KEY) == b"x"
    mark = raw().mark()
    assert mark == store.Mark(installation=Installation.objects.get().pk, purpose="artifacts")
    absent = KEY[:-1] + "1"
    assert not opened.exists(absent) and opened.find(absent) is None
    with pytest.raises(store.StoreMissing):
        opened.get(absent)


def test_another_bucket_or_folder_makes_no_version_look_damaged(elsewhere: Callable[[], None]) -> None:
    _, versions = kept.model()
    elsewhere()
    with pytest.raises(StoreUnavailable):
        artifacts.load(versions[0])
    with pytest.raises(StoreUnavailable):
        lifecycle.store_artifacts([b"new"], format="test-1")
    assert raw().mark() is None
    assert set(ModelVersion.objects.values_list("state", flat=True)) == {"ready"}


def test_a_store_of_another_installation_is_refused_for_everything(elsewhere: Callable[[], None]) -> None:
    raw().claim(store.Mark(installation=uuid4(), purpose="artifacts"))
    raw().put(OTHERS, b"theirs")
    assert_refused(ownership.StoreForeign, "another installation")


def test_of_two_installations_that_share_a_store_the_second_is_refused(elsewhere: object) -> None:
    ownership.artifact_store().put(OTHERS, b"of the first")
    Installation.objects.all().delete()
    in_another_process()
    assert_refused(ownership.StoreForeign, "another installation")
    assert raw().get(OTHERS) == b"of the first"


def test_a_store_that_lost_its_mark_is_refused_also_before_there_is_a_version(elsewhere: object) -> None:
    ownership.artifact_store().put(KEY, b"x")
    empty(conf.current().artifact_url)
    assert_refused(StoreUnavailable)


def empty(url: str) -> None:
    """Empty a store behind the back of the product, as a lost mount does, for a process that has yet to write."""
    opened = raw()
    if isinstance(opened, store.ObjectStore):
        obstore.delete(opened._client, [MARKER, KEY])
        in_another_process()
    else:
        shutil.rmtree(url.removeprefix("file://"))


def in_another_process() -> None:
    """Go on as a process that has yet to write."""
    ownership._admitted.clear()


def test_whose_the_store_is_the_database_is_asked_once_in_a_while(
    elsewhere: Callable[[], None], django_assert_num_queries: Any
) -> None:
    elsewhere()
    ownership.artifact_store().put(KEY, b"x")
    with django_assert_num_queries(0):
        ownership.artifact_store().put(OTHERS, b"x")
    Installation.objects.update(id=uuid4())
    for where, (mark, _) in ownership._admitted.items():
        ownership._admitted[where] = mark, Deadline(ends=0.0)
    with pytest.raises(ownership.StoreForeign, match="another installation"):
        ownership.artifact_store().put(OTHERS, b"x")


def test_a_lost_mount_is_noticed_before_the_next_write_of_the_same_process(artifact_folder: Path) -> None:
    lifecycle.store_artifacts([b"before"], format="test-1")
    shutil.rmtree(artifact_folder)
    with pytest.raises(ownership.StoreUnmarked, match="mark is gone"):
        lifecycle.store_artifacts([b"after"], format="test-1")
    assert not artifact_folder.exists(), "the folder of a mount is not made anew"


def test_a_copy_of_the_store_keeps_its_mark_and_serves(artifact_folder: Path, settings: Settings) -> None:
    _, versions = kept.model()
    copy = artifact_folder.with_name("restored")
    shutil.copytree(artifact_folder, copy)
    place(settings, artifact_url=copy.as_uri())
    assert artifacts.load(versions[0])
    lifecycle.store_artifacts([b"new"], format="test-1")


def forget_the_mark(root: Path) -> None:
    """As an installation made before there were marks."""
    (root / MARKER).unlink()
    Installation.objects.update(artifact_url="", backup_url="")


def test_a_store_from_before_there_were_marks_is_adopted_by_what_it_holds(artifact_folder: Path) -> None:
    _, versions = kept.model(versions=4)
    kept.path(artifact_folder, versions[0].artifact_digest).unlink()
    forget_the_mark(artifact_folder)
    with pytest.raises(artifacts.ArtifactMissing):
        artifacts.load(versions[0])
    assert not (artifact_folder / MARKER).exists(), "who only reads writes nothing"
    lifecycle.store_artifacts([b"new"], format="test-1")
    assert (artifact_folder / MARKER).exists()


def test_a_row_with_a_digest_that_is_none_keeps_no_store_from_being_adopted(artifact_folder: Path) -> None:
    _, versions = kept.model(versions=3)
    ModelVersion.objects.filter(pk=versions[0].pk).update(artifact_digest="../../etc/passwd")
    forget_the_mark(artifact_folder)
    lifecycle.store_artifacts([b"new"], format="test-1")
    assert (artifact_folder / MARKER).exists()


def test_a_store_that_holds_less_than_half_of_what_it_should_is_not_adopted(artifact_folder: Path) -> None:
    _, versions = kept.model(versions=4)
    for version in versions[:2]:
        kept.path(artifact_folder, version.artifact_digest).unlink()
    forget_the_mark(artifact_folder)
    assert_refused(ownership.StoreUnmarked, "2 of 4 files")


def test_files_of_which_the_database_knows_nothing_are_not_adopted(artifact_folder: Path) -> None:
    raw().put(KEY, b"somebody's")
    opened = ownership.artifact_store()
    for use in (lambda: opened.exists(OTHERS), lambda: opened.put(OTHERS, b"x"), lambda: opened.delete([KEY])):
        with pytest.raises(ownership.StoreUnmarked, match="knows nothing"):
            use()


def test_a_mark_that_cannot_be_read_is_nobodys(artifact_folder: Path) -> None:
    kept.model()
    (artifact_folder / MARKER).write_text("{}")
    assert_refused(StoreUnavailable, "does not say whose")


@pytest.mark.parametrize("inside", ["", "/backup"])
def test_the_backup_store_is_another_place_than_the_artifact_store(
    artifact_folder: Path, settings: Settings, inside: str
) -> None:
    place(settings, backup_url=artifact_folder.as_uri() + inside)
    with pytest.raises(ownership.StoresOverlap, match="no other place"):
        ownership.backup_store()


def test_a_link_to_the_artifact_store_is_no_backup_store(artifact_folder: Path, settings: Settings) -> None:
    """Two addresses of one place that no comparison of addresses can tell, such as one bucket by two names."""
    kept.model()
    moved = artifact_folder.with_name("same")
    shutil.copytree(artifact_folder, moved)
    place(settings, backup_url=moved.as_uri())
    with pytest.raises(
        ownership.StoreForeign, match="is the artifact store of this installation, not its backup store"
    ):
        ownership.backup_store().put(KEY, b"x")


def test_a_backup_store_that_lost_its_mount_gets_no_copies(settings: Settings, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    place(settings, backup_url=backup.as_uri())
    ownership.backup_store().put(KEY, b"x")
    shutil.rmtree(backup)
    with pytest.raises(ownership.StoreUnmarked, match="mark is gone"):
        ownership.backup_store().put(KEY, b"x")
    place(settings, backup_url=(tmp_path / "new-backup").as_uri())
    assert ownership.backup_store().put(KEY, b"x"), "a new place that was set on purpose"


def test_a_backup_store_that_moved_with_its_mark_is_no_new_one_when_its_mount_is_lost_later(
    settings: Settings, tmp_path: Path
) -> None:
    first, second = tmp_path / "backup", tmp_path / "larger-disk"
    place(settings, backup_url=first.as_uri())
    ownership.backup_store().put(KEY, b"x")
    shutil.move(first, second)
    place(settings, backup_url=second.as_uri())
    ownership.backup_store().put(OTHERS, b"x")
    shutil.rmtree(second)
    with pytest.raises(ownership.StoreUnmarked, match="mark is gone"):
        ownership.backup_store().put(KEY, b"x")


def test_a_store_whose_first_writer_died_before_it_noted_the_place_is_noted_by_the_next(
    settings: Settings, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    place(settings, backup_url=backup.as_uri())
    ownership.backup_store().put(KEY, b"x")
    Installation.objects.update(backup_url="")
    in_another_process()
    ownership.backup_store().put(OTHERS, b"x")
    assert Installation.objects.get().backup_url == backup.as_uri()


def test_a_database_from_a_dump_older_than_the_mark_is_told_when_to_claim_and_when_to_separate(
    elsewhere: object,
) -> None:
    ownership.artifact_store().put(KEY, b"x")
    Installation.objects.all().delete()
    told = str(ownership.standing("artifacts").refused)
    assert "restored from a dump older than the mark" in told and "store --claim" in told
    assert "goes on beside the original" in told and "store --separate" in told
    ownership.claim("artifacts")
    assert ownership.artifact_store().get(KEY) == b"x"


def test_a_person_may_say_that_a_place_is_the_right_one(elsewhere: Callable[[], None]) -> None:
    kept.model()
    elsewhere()
    assert isinstance(ownership.standing("artifacts").refused, StoreUnavailable)
    ownership.claim("artifacts")
    seen = ownership.standing("artifacts")
    assert (seen.refused, seen.installation) == (None, Installation.objects.get().pk)
    lifecycle.store_artifacts([b"new"], format="test-1")


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("store", *arguments, stdout=out, stderr=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_command_says_whose_the_stores_are_and_marks_one_where_asked(
    artifact_folder: Path, settings: Settings, tmp_path: Path
) -> None:
    assert run()[0] == 0
    assert "not marked yet" in run()[1] and not (artifact_folder / MARKER).exists()
    kept.model()
    assert "this installation's" in run()[1]
    place(settings, artifact_url=(tmp_path / "wrong").as_uri(), backup_url=artifact_folder.as_uri())
    status, told = run("--json")
    assert status == 1
    assert [each["refused"]["code"] for each in json.loads(told)] == ["store_unavailable", "store_foreign"]
    assert run("--claim", "artifacts")[0] == 1, "the backup store is still the old artifact store"
    assert ownership.standing("artifacts").refused is None
    place(settings, backup_url="")
    with pytest.raises(CommandError, match="No backup store is set"):
        run("--claim", "backup")


def test_a_start_is_refused_with_the_backup_store_within_the_artifact_store(
    settings: Settings, artifact_folder: Path
) -> None:
    assert checks.the_backup_store_is_another_place() == []
    place(settings, backup_url=artifact_folder.as_uri() + "/copies")
    [found] = checks.the_backup_store_is_another_place()
    assert (found.id, found.is_serious()) == ("perennial.E004", True)


@pytest.mark.django_db(transaction=True)
def test_many_who_store_the_first_bytes_at_once_find_one_mark(artifact_folder: Path) -> None:
    refused: list[BaseException] = []

    def first(number: int) -> None:
        try:
            lifecycle.store_artifacts([b"%d" % number], format="test-1")
        except StoreUnavailable as error:
            refused.append(error)
        finally:
            connection.close()

    for _ in range(5):
        threads = [threading.Thread(target=first, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert refused == []
        assert raw().mark() == store.Mark(installation=Installation.objects.get().pk, purpose="artifacts")
        shutil.rmtree(artifact_folder)
        Installation.objects.all().delete()


def test_a_copy_of_the_database_that_was_separated_is_refused_at_the_store_of_the_original() -> None:
    _, versions = kept.model()
    status, told = run("--separate")
    assert (status, "store_foreign" in told) == (1, True)
    with pytest.raises(ownership.StoreForeign):
        lifecycle.store_artifacts([b"new"], format="test-1")
    assert artifacts.load(versions[0]), "what is there may be read"


def test_a_backup_store_from_before_there_were_marks_is_adopted_by_one_copy(settings: Settings, tmp_path: Path) -> None:
    place(settings, backup_url=(tmp_path / "backup").as_uri())
    _, versions = kept.model(versions=4)
    ModelVersion.objects.filter(pk__in=[each.pk for each in versions[:3]]).update(state="deleted")
    raw_backup = store.open_store(conf.current().backup_url)
    raw_backup.put(KEY, b"of another")
    with pytest.raises(ownership.StoreUnmarked, match="0 of 3 files"):
        ownership.backup_store().put(OTHERS, b"x")
    raw_backup.put(store.artifact_key(versions[2].artifact_digest), b"the copy")
    assert ownership.backup_store().put(OTHERS, b"x")
