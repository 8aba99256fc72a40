"""Store and rows are compared in both directions; nothing goes that is young, needed, or another database's."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from registry import artifacts, lifecycle, store
from registry.models import Event
from registry.retention import orphans
from registry.retention.objects import Removed
from registry.store import StoreUnavailable
from tests import factories
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R16")]


def walk(**values: Any) -> list[orphans.Found]:
    found = [orphans.look(folder, **{"at": kept.SWEPT, **values}) for folder in range(orphans.FOLDERS)]
    return [each for each in found if each.strays or each.absent]


def stray(root: Path, content: bytes = b"nobody's") -> str:
    [stored] = lifecycle.store_artifacts([content], format="test-1")
    kept.age(root)
    return stored.digest


def test_store_and_rows_agree_on_what_is_registered(artifact_folder: Path) -> None:
    kept.model()
    kept.packed(contents=[b"a", b"b"])
    kept.age(artifact_folder)
    assert walk() == []
    assert sum(orphans.survey(each, at=kept.SWEPT).objects for each in range(orphans.FOLDERS)) == 4


def test_an_object_without_a_row_is_found_and_deleted(artifact_folder: Path) -> None:
    _, versions = kept.model(versions=1)
    digest = stray(artifact_folder)
    [found] = walk()
    assert [each.key for each in found.strays] == [artifacts.key_of(digest)]
    assert orphans.delete(found, at=kept.SWEPT) == Removed(objects=1, size=8)
    assert kept.files(artifact_folder) == {versions[0].artifact_digest}
    assert walk() == []


def test_a_young_object_without_a_row_is_left(artifact_folder: Path) -> None:
    stray(artifact_folder)
    assert walk(at=NOW + timedelta(hours=24)) == []
    assert len(walk(at=NOW + timedelta(hours=24, seconds=1))) == 1


def test_a_stray_that_is_registered_before_it_is_deleted_stays(artifact_folder: Path) -> None:
    stray(artifact_folder, b"wanted after all")
    [found] = walk()
    version = factories.version(registered_model=factories.registered_model(), content=b"wanted after all")
    kept.age(artifact_folder)
    assert orphans.delete(found, at=kept.SWEPT).objects == 0
    assert artifacts.load(version) == b"wanted after all"


def test_a_stray_that_was_stored_again_meanwhile_stays(artifact_folder: Path) -> None:
    digest = stray(artifact_folder)
    [found] = walk()
    file = kept.path(artifact_folder, digest)
    os.utime(file, (kept.SWEPT.timestamp(), kept.SWEPT.timestamp()))
    assert orphans.delete(found, at=kept.SWEPT).objects == 0


def test_the_object_of_a_deleted_version_is_nobodys(artifact_folder: Path) -> None:
    _, versions = kept.model(versions=2)
    kept.age(artifact_folder)
    lifecycle.archive([versions[0].pk], actor="a", reason="b", at=NOW)
    lifecycle.forget([versions[0].pk], actor="a", reason="b", at=NOW)
    [found] = walk()
    assert [each.key for each in found.strays] == [artifacts.key_of(versions[0].artifact_digest)]


def test_rows_whose_object_is_missing_are_told_and_quarantined_when_asked(artifact_folder: Path) -> None:
    _, versions = kept.model()
    packed = kept.packed(contents=[b"a", b"b"])
    kept.path(artifact_folder, versions[0].artifact_digest).unlink()
    kept.path(artifact_folder, packed[0].artifact_container).unlink()
    found = walk()
    assert {each for one in found for each in one.absent} == {versions[0].pk, *(each.pk for each in packed)}
    assert sum(orphans.quarantine(each, actor="ada", at=NOW) for each in found) == 3
    assert [kept.state(each) for each in (versions[0], versions[1], *packed)] == [
        "quarantined", "ready", "quarantined", "quarantined",
    ]  # fmt: skip
    assert Event.objects.filter(kind="registry.version.quarantined", cause="orphans").count() == 3
    assert sum(orphans.quarantine(each, actor="ada", at=NOW) for each in walk()) == 0


def test_a_store_that_is_away_is_not_taken_for_an_empty_one(artifact_folder: Path) -> None:
    kept.model(versions=1)
    (artifact_folder / "artifacts").rename(artifact_folder / "elsewhere")
    with pytest.raises(StoreUnavailable):
        walk()


@pytest.mark.requirement("R17")
def test_the_rows_are_read_in_pages(artifact_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "DIGESTS_AT_ONCE", 2)
    model = factories.registered_model()
    digests = []
    for number in range(40):
        content = f"c{number}".encode()
        digests.append(factories.version(registered_model=model, content=content).artifact_digest)
    for folder in range(orphans.FOLDERS):
        expected = sorted(each for each in digests if each.startswith(f"{folder:02x}"))
        assert list(orphans._digests(folder)) == expected


def test_half_written_files_of_killed_writers_go(artifact_folder: Path) -> None:
    _, versions = kept.model(versions=1)
    folder = kept.path(artifact_folder, versions[0].artifact_digest).parent
    leftover = folder / f".{versions[0].artifact_digest}.{'a' * 16}.tmp"
    leftover.write_bytes(b"half")
    kept.age(artifact_folder)
    assert sum(each.files for each in orphans.sweep_temporary(at=NOW)) == 0
    assert sum(each.files for each in orphans.sweep_temporary(at=kept.SWEPT)) == 1
    assert not leftover.exists()


def test_a_store_that_mostly_belongs_to_nobody_looks_like_that_of_another_database() -> None:
    def survey(objects: int, strays: int) -> orphans.Survey:
        return orphans.Survey(folder=0, objects=objects, strays=strays, absent=0)

    assert orphans.is_foreign([survey(150, 150), survey(50, 0)])
    assert not orphans.is_foreign([survey(150, 150), survey(150, 0)])
    assert not orphans.is_foreign([survey(orphans.FEW, orphans.FEW)])


def test_the_listing_has_the_order_of_the_rows(artifact_folder: Path) -> None:
    for number in range(20):
        stray(artifact_folder, f"s{number}".encode())
    opened = store.open_store(artifact_folder.as_uri())
    keys = [each.key for each in opened.entries("artifacts/")]
    assert keys == sorted(keys)
