"""Giving versions up: copied first whoever asks, and a sweep takes only what is due at that very moment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from pytest_django import Settings

from registry import artifacts, bulk, deadlines, lifecycle
from registry.models import ModelVersion
from registry.retention import backups, forgetting, sweeping
from tests import factories
from tests.factories import NOW
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
    done = forget(*versions[:3])
    assert len(done.changed) == 1 and set(codes(done.refused).values()) == {"not_copied_in_time"}
    for _ in range(2):
        forget(*versions[:3])
    assert [kept.state(each) for each in versions] == ["deleted"] * 3 + ["ready"]


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

    def watched(version: ModelVersion) -> None:
        inside.append(connection.in_atomic_block)
        keep(version)

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
