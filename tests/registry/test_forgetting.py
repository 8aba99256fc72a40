"""Giving versions up: copied first whoever asks, and a sweep takes only what is due at that very moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from pytest_django import Settings

from registry import artifacts, bulk, deadlines, holding, lifecycle, ownership, store
from registry.models import Installation, ModelVersion
from registry.retention import backups, forgetting, sweeping
from registry.store import ObjectStore
from tests import factories
from tests.factories import NOW
from tests.object_server import Bucket
from tests.registry import kept
from tests.rest_client import caller

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R18")]


@pytest.fixture
def second_store(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "second"
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": folder.as_uri()}
    return folder


@pytest.fixture
def versions() -> list[ModelVersion]:
    """Three archived by hand, and the newest."""
    model = factories.registered_model(fleet=kept.fleet(name="bakery"))
    made = [factories.version(registered_model=model, content=b"%d" % number * 50) for number in range(4)]
    lifecycle.archive([each.pk for each in made[:3]], actor="a", reason="b", at=NOW)
    return made


def forget(*wanted: ModelVersion) -> bulk.Done:
    return bulk.carry_out("forget", [each.pk for each in wanted], actor="ada", reason="Tidy.", at=NOW)


def codes(refused: Any) -> dict[UUID, str]:
    return {key: error.code for key, error in refused.items()}


def test_what_is_forgotten_by_hand_is_copied_first(versions: list[ModelVersion], second_store: Path) -> None:
    content = artifacts.load(versions[0])
    assert forget(*versions[:2]).changed == {each.pk for each in versions[:2]}
    assert kept.files(second_store) == {each.artifact_digest for each in versions[:2]}
    assert kept.path(second_store, versions[0].artifact_digest).read_bytes() == content


def test_without_a_second_store_it_is_forgotten_as_it_is(versions: list[ModelVersion]) -> None:
    assert forget(versions[0]).changed == {versions[0].pk}


def test_what_cannot_be_copied_stays_and_the_others_go(
    versions: list[ModelVersion], second_store: Path, artifact_folder: Path
) -> None:
    kept.path(artifact_folder, versions[0].artifact_digest).write_bytes(b"spoiled")
    done = forget(*versions[:2])
    assert done.changed == {versions[1].pk}
    assert codes(done.refused) == {versions[0].pk: "artifact_corrupted"}


def test_what_is_quarantined_as_damaged_has_nothing_left_to_copy_and_may_go(
    versions: list[ModelVersion], second_store: Path, artifact_folder: Path
) -> None:
    kept.path(artifact_folder, versions[0].artifact_digest).write_bytes(b"spoiled")
    lifecycle.quarantine([versions[0].pk], actor="a", reason="b", at=NOW)
    assert forget(versions[0]).changed == {versions[0].pk}
    assert kept.files(second_store) == set()


def test_what_there_was_no_time_to_copy_is_told_so_and_goes_the_next_time(
    versions: list[ModelVersion], second_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "BY_HAND_SECONDS", -1.0)
    monkeypatch.setattr(backups, "COPIED_AT_ONCE", 1)
    done = forget(*versions[:3])
    assert len(done.changed) == 1 and set(codes(done.refused).values()) == {"not_copied_in_time"}
    for _ in range(2):
        forget(*versions[:3])
    assert [kept.state(each) for each in versions] == ["deleted"] * 3 + ["ready"]


def test_only_what_can_be_forgotten_is_copied_so_that_asking_again_comes_to_an_end(
    versions: list[ModelVersion], second_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = versions[0].registered_model
    others = [factories.version(registered_model=model, content=b"more %d" % number) for number in range(3)]
    ModelVersion.objects.filter(pk=others[0].pk).update(state="pending")
    lifecycle.archive([others[1].pk], actor="a", reason="b", at=NOW)
    model.anchor = others[1]
    model.save(update_fields=["anchor"])
    holding.place([versions[0].pk], placed_by="audit", reason="audit", until=None, actor="ada", at=NOW)
    monkeypatch.setattr(forgetting, "BY_HAND_SECONDS", -1.0)
    monkeypatch.setattr(backups, "COPIED_AT_ONCE", 1)
    wanted = [*others, versions[3], *versions[:3]]
    for _ in range(2):
        forget(*wanted)
    assert [kept.state(each) for each in versions] == ["archived", "deleted", "deleted", "ready"]
    assert kept.files(second_store) == {each.artifact_digest for each in versions[1:3]}
    assert codes(forget(*wanted).refused) == {
        others[0].pk: "version_state_forbids", others[1].pk: "version_in_use", others[2].pk: "version_state_forbids",
        versions[0].pk: "version_held", versions[1].pk: "version_state_forbids",
        versions[2].pk: "version_state_forbids", versions[3].pk: "version_state_forbids",
    }  # fmt: skip


def test_versions_are_copied_in_the_order_in_which_they_are_named(
    versions: list[ModelVersion], second_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "BY_HAND_SECONDS", -1.0)
    monkeypatch.setattr(backups, "COPIED_AT_ONCE", 1)
    assert forget(versions[2], versions[0], versions[1]).changed == {versions[2].pk}


@pytest.mark.requirement("R17")
def test_copies_are_on_their_way_at_once_and_what_carries_them_asks_no_database(
    bucket: Bucket, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{bucket.name}/second"
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": url}
    model = factories.registered_model(fleet=kept.fleet())
    made = [factories.version(registered_model=model, content=b"%d" % number * 50) for number in range(4)]
    both, asked_by = threading.Barrier(2, timeout=10), []
    put, installation = ObjectStore.put, ownership._installation

    def together(self: ObjectStore, key: str, data: bytes) -> bool:
        both.wait()
        return put(self, key, data)

    def watched() -> Installation:
        asked_by.append(threading.current_thread())
        return installation()

    monkeypatch.setattr(ObjectStore, "put", together)
    monkeypatch.setattr(ownership, "_installation", watched)
    assert backups.keep(made) == [None] * 4
    assert set(asked_by) == {threading.main_thread()}
    second = ownership.backup_store()
    assert [second.get(store.artifact_key(each.artifact_digest)) for each in made] == [
        b"%d" % number * 50 for number in range(4)
    ]


def test_no_more_is_copied_at_once_than_memory_is_meant_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "COPIED_AT_ONCE", 3)
    monkeypatch.setattr(backups, "BYTES_AT_ONCE", 100)
    sizes = [10, 10, 10, 10, 90, 2**40, 1]
    found = backups.groups([ModelVersion(artifact_size=size) for size in sizes])
    assert [[each.artifact_size for each in group] for group in found] == [[10, 10, 10], [10, 90], [2**40], [1]]


def test_a_version_whose_bytes_changed_since_the_copy_is_not_forgotten(
    versions: list[ModelVersion], second_store: Path
) -> None:
    copied = forgetting.back_up([versions[0].pk], until=deadlines.NEVER)
    ModelVersion.objects.filter(pk=versions[0].pk).update(artifact_digest="0" * 64)
    done = forgetting.forget([versions[0].pk], actor="ada", reason="Tidy.", at=NOW, verified=copied)
    assert (done.changed, codes(done.refused)) == (frozenset(), {versions[0].pk: "conflict"})


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("roles")
def test_over_rest_the_copy_is_made_before_the_transaction_and_not_for_a_dry_run(
    versions: list[ModelVersion], second_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, inside = backups.keep, []

    def watched(copied: Sequence[ModelVersion]) -> Any:
        inside.append(connection.in_atomic_block)
        return keep(copied)

    monkeypatch.setattr(backups, "keep", watched)
    body = {"action": "forget", "versions": [str(versions[0].pk)], "reason": "Tidy."}
    approver = caller(role="approver")
    dry = approver.post("versions/bulk", {**body, "dry_run": True}).json()
    assert (dry["results"][0]["outcome"], inside) == ("changed", [])
    done = approver.post("versions/bulk", body, key="once").json()
    assert (done["results"][0]["outcome"], inside) == ("changed", [False])
    assert kept.files(second_store) == {versions[0].artifact_digest}


@pytest.mark.requirement("R16")
def test_a_sweep_leaves_what_was_taken_back_or_archived_to_stay_since_it_was_found_due() -> None:
    _, versions = kept.model(versions=5)
    kept.archive(versions[:3])
    steps = sweeping.sweep(actor="retention", at=kept.SWEPT)
    lifecycle.restore([versions[0].pk, versions[1].pk], actor="ada", reason="Needed.", at=NOW)
    lifecycle.archive([versions[1].pk], actor="ada", reason="Hidden, to stay.", at=NOW)
    due = [each.pk for each in versions[:3]]
    done = lifecycle.forget(due, actor="retention", cause="retention", reason="Over.", at=kept.SWEPT, due=True)
    assert done.changed == {versions[2].pk}
    assert codes(done.refused) == {versions[0].pk: "version_state_forbids", versions[1].pk: "version_not_due"}
    assert [each for step in steps for each in step.versions] == []
    assert kept.state(versions[1]) == "archived"


@pytest.mark.requirement("R16")
def test_a_sweep_takes_nothing_that_is_quarantined_or_not_yet_due() -> None:
    _, versions = kept.model(versions=3)
    kept.archive(versions[:2])
    lifecycle.quarantine([versions[0].pk], actor="a", reason="b", at=NOW)
    ModelVersion.objects.filter(pk=versions[0].pk).update(sweep_after=NOW)
    early = NOW + timedelta(days=1)
    ids = [each.pk for each in versions[:2]]
    assert lifecycle.forget(ids, actor="r", reason="r", at=early, due=True).changed == frozenset()
    assert lifecycle.forget(ids, actor="r", reason="r", at=kept.SWEPT, due=True).changed == {versions[1].pk}
    assert lifecycle.forget(ids[:1], actor="ada", reason="by hand", at=early).changed == {versions[0].pk}
