"""The sweep: rows stay, bytes that nobody needs go, a copy is kept first where asked; and the way back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from registry import artifacts, errors, holding, lifecycle, store, timestamps
from registry.models import Event, ModelVersion
from registry.retention import backups, grace, objects, orphans, sweeping
from registry.upkeep import containers
from tests import factories
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R16")]


@pytest.fixture
def second_store(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "second"
    folder.mkdir()
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": folder.as_uri()}
    return folder


def sweep(**values: Any) -> list[sweeping.Swept]:
    return list(sweeping.sweep(**{"actor": "retention", "at": kept.SWEPT, **values}))


def test_a_version_goes_when_its_grace_is_over_and_its_row_stays(artifact_folder: Path) -> None:
    model, versions = kept.model()
    kept.mark(model.fleet)
    kept.age(artifact_folder)
    assert sweep(at=NOW + timedelta(days=7, seconds=-1)) == []
    [step] = sweep(at=NOW + timedelta(days=7))
    assert set(step.versions) == {each.pk for each in versions[:2]}
    assert (step.removed.objects, step.removed.size) == (2, sum(each.artifact_size for each in versions[:2]))
    assert kept.files(artifact_folder) == {versions[2].artifact_digest}
    assert [kept.state(each) for each in versions] == ["deleted", "deleted", "ready"]
    gone = ModelVersion.objects.get(pk=versions[0].pk)
    assert (gone.scorecard.metrics, gone.label) == (versions[0].scorecard.metrics, versions[0].label)
    assert Event.objects.filter(kind="registry.version.forgotten", cause="retention").count() == 2
    assert sweep() == []


def test_what_was_archived_by_hand_is_never_swept() -> None:
    _, versions = kept.model()
    lifecycle.archive([versions[0].pk], actor="ada", reason="wrong data", at=NOW)
    assert sweep(at=NOW + timedelta(days=3650)) == []


def test_an_object_stays_as_long_as_one_version_needs_it(artifact_folder: Path) -> None:
    model = factories.registered_model(fleet=kept.fleet())
    first, second, third = (factories.version(registered_model=model, content=b"the same") for _ in range(3))
    kept.age(artifact_folder)
    kept.archive([first, second])
    [step] = sweep()
    assert (len(step.versions), step.removed.objects) == (2, 0)
    assert artifacts.load(third) == b"the same"
    kept.archive([third])
    assert sweep()[0].removed.objects == 1
    assert kept.files(artifact_folder) == set()


@pytest.mark.parametrize("state", ["ready", "archived", "quarantined", "pending"])
def test_a_version_of_any_state_but_deleted_needs_its_object(state: str, artifact_folder: Path) -> None:
    _, versions = kept.model(versions=1)
    kept.age(artifact_folder)
    ModelVersion.objects.update(state=state)
    assert objects.remove([versions[0].artifact_digest], at=kept.SWEPT).objects == 0
    ModelVersion.objects.update(state="deleted")
    assert objects.remove([versions[0].artifact_digest], at=kept.SWEPT).objects == 1


def test_a_young_object_is_left_because_its_row_may_still_come(artifact_folder: Path) -> None:
    [stored] = lifecycle.store_artifacts([b"on its way"], format="test-1")
    kept.age(artifact_folder, to=kept.SWEPT - timedelta(hours=24))
    assert objects.remove([stored.digest], at=kept.SWEPT).objects == 0
    kept.age(artifact_folder, to=kept.SWEPT - timedelta(hours=24, seconds=1))
    assert objects.remove([stored.digest], at=kept.SWEPT).objects == 1


def test_what_is_held_or_pointed_to_since_the_mark_stays(artifact_folder: Path) -> None:
    model, versions = kept.model(versions=4)
    kept.mark(model.fleet)
    kept.age(artifact_folder)
    holding.place([versions[0].pk], placed_by="audit", reason="audit", until=None, actor="ada", at=NOW)
    model.anchor = versions[1]
    model.save(update_fields=["anchor"])
    assert [each for step in sweep() for each in step.versions] == [versions[2].pk]
    assert len(kept.files(artifact_folder)) == 3


def test_a_hold_that_came_after_the_page_was_read_spares(monkeypatch: pytest.MonkeyPatch) -> None:
    _, versions = kept.model()
    kept.archive(versions[:2])
    page = grace.page

    def then_hold(**values: Any) -> Any:
        found = page(**values)
        if found:
            holding.place([versions[0].pk], placed_by="user", reason="audit", until=None, actor="ada", at=NOW)
        return found

    monkeypatch.setattr(grace, "page", then_hold)
    [step] = sweep()
    assert step.versions == (versions[1].pk,)
    assert {key: error.code for key, error in step.refused.items()} == {versions[0].pk: "version_held"}


def test_a_sweep_of_one_fleet_leaves_the_others() -> None:
    (first, versions), (_, others) = kept.model(), kept.model()
    kept.archive([versions[0], others[0]])
    assert [each for step in sweep(fleet_id=first.fleet_id) for each in step.versions] == [versions[0].pk]
    assert kept.state(others[0]) == "archived"


@pytest.mark.requirement("R17")
def test_a_sweep_goes_in_steps_and_a_refusal_does_not_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SWEPT_AT_ONCE", 2)
    _, versions = kept.model(versions=5)
    kept.archive(versions)
    forget, refusing = lifecycle.forget, versions[0].pk

    def refuse_one(ids: Any, **values: Any) -> Any:
        return forget([each for each in ids if each != refusing], **values)

    monkeypatch.setattr(lifecycle, "forget", refuse_one)
    assert [len(step.versions) for step in sweep()] == [1, 2, 1]


# Containers.


def test_a_container_goes_with_the_last_version_that_needs_it(artifact_folder: Path) -> None:
    first, second = kept.packed(contents=[b"a" * 50, b"b" * 60])
    kept.age(artifact_folder)
    kept.archive([first])
    assert sweep()[0].removed.objects == 0
    assert artifacts.load(second) == b"b" * 60
    kept.archive([second])
    assert sweep()[0].removed == objects.Removed(objects=1, size=110)
    assert kept.files(artifact_folder) == set()


def test_a_container_that_is_mostly_unneeded_is_written_anew(artifact_folder: Path) -> None:
    versions = kept.packed(contents=[bytes([place]) * 100 for place in range(5)])
    old = versions[0].artifact_container
    kept.age(artifact_folder)
    kept.archive(versions[:3])
    sweep()
    assert orphans.compact(int(old[:2], 16)) == 1
    moved = list(ModelVersion.objects.filter(state="ready").order_by("number"))
    assert {each.artifact_container for each in moved}.isdisjoint({old, ""})
    assert [artifacts.load(each) for each in moved] == [bytes([place]) * 100 for place in (3, 4)]
    young = timestamps.utc_now()
    assert orphans.look(int(old[:2], 16), at=young + timedelta(hours=23)).strays == ()
    found = orphans.look(int(old[:2], 16), at=young + timedelta(hours=25))
    assert orphans.delete(found, at=young + timedelta(hours=25)) == objects.Removed(objects=1, size=500)
    assert [artifacts.load(each) for each in moved] == [bytes([place]) * 100 for place in (3, 4)]
    assert sum(orphans.compact(folder) for folder in range(256)) == 0


def test_a_version_that_is_forgotten_while_its_container_is_written_anew_is_not_moved(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = kept.packed(contents=[bytes([place]) * 100 for place in range(5)])
    kept.archive(versions[:3])
    sweep()
    load_each = artifacts.load_each

    def then_forget(needed: Sequence[ModelVersion]) -> Iterator[bytes | errors.PerennialError]:
        yield from load_each(needed)
        lifecycle.archive([versions[3].pk], actor="a", reason="b", at=NOW)
        lifecycle.forget([versions[3].pk], actor="a", reason="b", at=NOW)

    monkeypatch.setattr(artifacts, "load_each", then_forget)
    assert containers.compact(versions[0].artifact_container)
    places = dict(ModelVersion.objects.values_list("number", "artifact_container"))
    assert places[4] == versions[0].artifact_container != places[5]


def test_a_container_half_of_which_is_needed_stays_as_it_is(artifact_folder: Path) -> None:
    versions = kept.packed(contents=[bytes([place]) * 100 for place in range(4)])
    kept.archive(versions[:2])
    sweep()
    assert sum(orphans.compact(folder) for folder in range(256)) == 0
    assert kept.files(artifact_folder) == {versions[0].artifact_container}


def test_a_container_with_a_damaged_artifact_is_not_written_anew(artifact_folder: Path) -> None:
    versions = kept.packed(contents=[bytes([place]) * 100 for place in range(5)])
    kept.archive(versions[:4])
    sweep()
    file = kept.path(artifact_folder, versions[0].artifact_container)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert containers.wasteful(int(versions[0].artifact_container[:2], 16)) == [versions[0].artifact_container]
    assert not containers.compact(versions[0].artifact_container)
    assert ModelVersion.objects.get(pk=versions[4].pk).artifact_container == versions[4].artifact_container


# A copy first.


@pytest.mark.requirement("R18")
def test_a_swept_version_is_copied_first_and_can_be_brought_back(artifact_folder: Path, second_store: Path) -> None:
    model, versions = kept.model()
    content = artifacts.load(versions[0])
    kept.mark(model.fleet)
    kept.age(artifact_folder)
    sweep()
    assert kept.files(second_store) == {each.artifact_digest for each in versions[:2]}
    assert versions[0].artifact_digest not in kept.files(artifact_folder)
    back = backups.bring_back([versions[0].pk], actor="ada", reason="audit", at=kept.SWEPT)
    assert back.changed == {versions[0].pk}
    row = ModelVersion.objects.get(pk=versions[0].pk)
    assert (row.state, row.sweep_after) == ("archived", None)
    holding.restore([versions[0].pk], actor="ada", reason="audit", at=kept.SWEPT)
    assert kept.state(versions[0]) == "ready"
    assert artifacts.load(row) == content
    kinds = Event.objects.filter(to_version=row).order_by("count").values_list("kind", flat=True)
    assert [kind.rpartition(".")[2] for kind in kinds] == [
        "registered", "archived", "forgotten", "brought_back", "restored", "held",
    ]  # fmt: skip


@pytest.mark.requirement("R18")
def test_a_version_of_a_container_comes_back_as_an_object_of_its_own(artifact_folder: Path, second_store: Path) -> None:
    versions = kept.packed(contents=[b"first", b"second"])
    kept.age(artifact_folder)
    kept.archive(versions)
    sweep()
    assert kept.files(artifact_folder) == set()
    backups.bring_back([versions[1].pk], actor="ada", reason="audit", at=kept.SWEPT)
    row = ModelVersion.objects.get(pk=versions[1].pk)
    assert (row.artifact_container, row.artifact_offset, artifacts.load(row)) == ("", 0, b"second")


@pytest.mark.requirement("R18")
def test_nothing_is_forgotten_without_a_copy_that_verifies(
    artifact_folder: Path, second_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, versions = kept.model()
    kept.archive(versions[:2])
    get = store.DiskStore.get

    def spoiled(self: Any, key: str, **values: Any) -> bytes:
        found = get(self, key, **values)
        return found[::-1] if self._root == second_store else found

    monkeypatch.setattr(store.DiskStore, "get", spoiled)
    with pytest.raises(backups.BackupDamaged):
        sweep()
    assert {kept.state(each) for each in versions[:2]} == {"archived"}


def test_nothing_is_forgotten_while_the_second_store_is_away(
    settings: Settings, tmp_path: Path, artifact_folder: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": (tmp_path / "file").as_uri()}
    _, versions = kept.model()
    kept.archive(versions[:2])
    with pytest.raises(store.StoreUnavailable):
        sweep()
    assert {kept.state(each) for each in versions[:2]} == {"archived"}


def test_a_damaged_version_is_quarantined_instead_of_backed_up(artifact_folder: Path, second_store: Path) -> None:
    _, versions = kept.model()
    kept.archive(versions[:2])
    kept.path(artifact_folder, versions[0].artifact_digest).write_bytes(b"spoiled")
    [step] = sweep()
    assert [kept.state(each) for each in versions[:2]] == ["quarantined", "deleted"]
    assert {key: error.code for key, error in step.refused.items()} == {versions[0].pk: "artifact_corrupted"}


@pytest.mark.requirement("R18")
def test_only_the_very_bytes_come_back(second_store: Path, artifact_folder: Path) -> None:
    _, versions = kept.model(versions=5)
    kept.archive(versions[:3])
    kept.age(artifact_folder)
    sweep()
    kept.path(second_store, versions[0].artifact_digest).write_bytes(b"spoiled")
    kept.path(second_store, versions[1].artifact_digest).unlink()
    ids = [each.pk for each in versions[:4]]
    back = backups.bring_back(ids, actor="ada", reason="audit", at=kept.SWEPT)
    assert back.changed == {versions[2].pk}
    assert {key: error.code for key, error in back.refused.items()} == {
        ids[0]: "artifact_corrupted", ids[1]: "not_in_backup", ids[3]: "version_state_forbids",
    }  # fmt: skip


def test_without_a_second_store_nothing_comes_back() -> None:
    with pytest.raises(backups.NoBackupStore):
        backups.bring_back([], actor="ada", reason="audit", at=NOW)


def test_a_digest_is_that_of_the_bytes(second_store: Path) -> None:
    _, versions = kept.model(versions=1)
    assert backups.keep(versions) == [None]
    [file] = [each for each in (second_store / "artifacts").rglob("*") if each.is_file()]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name == versions[0].artifact_digest
