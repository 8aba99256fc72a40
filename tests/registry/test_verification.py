"""Every stored artifact is read on demand; what is broken is named, and quarantined where asked."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from registry import artifacts, lifecycle
from registry.models import Event, Fleet, ModelVersion
from registry.upkeep import verification
from tests import factories

pytestmark = pytest.mark.django_db
NOW = factories.NOW
State = ModelVersion.State


@pytest.fixture
def fleet() -> Fleet:
    return factories.fleet(name="bakery")


@pytest.fixture
def versions(fleet: Fleet) -> list[ModelVersion]:
    """Three of one model in one container: the second is champion."""
    model = factories.registered_model(fleet=fleet, entity_key="rye")
    stored = lifecycle.store_artifacts([b"one" * 9, b"two" * 9, b"three" * 9], format="test-1")
    items = [
        lifecycle.Registration(registered_model_id=model.pk, stored=each, trainer="seasonal_naive") for each in stored
    ]
    return lifecycle.register(items, actor="test", cause="manual", at=NOW)


def container_of(folder: Path, version: ModelVersion) -> Path:
    return folder / artifacts.key_of(version.artifact_container)


def damage(folder: Path, version: ModelVersion) -> None:
    path = container_of(folder, version)
    data = bytearray(path.read_bytes())
    data[version.artifact_offset] ^= 1
    path.write_bytes(data)


def run(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify_artifacts", *options, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_where_all_holds_it_says_so(versions: list[ModelVersion]) -> None:
    assert run() == (0, "3 of 3 versions hold, 99 bytes read.\n")


def test_there_may_be_nothing_to_verify() -> None:
    assert run() == (3, "No version is stored yet: nothing to verify.\n")


@pytest.mark.requirement("R22")
def test_the_broken_ones_are_named_and_nothing_is_changed(versions: list[ModelVersion], artifact_folder: Path) -> None:
    damage(artifact_folder, versions[1])
    status, text = run()
    assert status == 1
    assert (
        f"bakery/rye v2, ready: artifact_corrupted. The artifact of version 2 of bakery/rye ({versions[1].pk})" in text
    )
    assert "2 of 3 versions hold" in text
    assert "1 broken. Next: run it with --quarantine" in text
    assert set(ModelVersion.objects.values_list("state", flat=True)) == {State.READY}


@pytest.mark.requirement("R22")
def test_the_broken_ones_are_quarantined_where_asked_and_released_after_the_repair(
    versions: list[ModelVersion], artifact_folder: Path
) -> None:
    whole = container_of(artifact_folder, versions[0]).read_bytes()
    damage(artifact_folder, versions[0])
    status, text = run("--quarantine", "--json")
    told = json.loads(text)
    assert status == 1
    assert (told["checked"], told["broken"], told["quarantined"], told["unjudged"]) == (3, 1, 1, 0)
    assert told["refused"][0]["code"] == "artifact_corrupted" and told["refused"][0]["next_step"]
    event = Event.objects.get(kind="registry.version.quarantined")
    assert (event.to_version_id, event.cause) == (versions[0].pk, "verification")
    assert json.loads(run("--quarantine", "--json")[1])["quarantined"] == 0
    refused = lifecycle.release([versions[0].pk], actor="ops", reason="is it back?", at=NOW).refused
    assert refused[versions[0].pk].code == "artifact_corrupted"

    container_of(artifact_folder, versions[0]).write_bytes(whole)
    # What a trainer refused is sound too, and can never be released.
    ModelVersion.objects.filter(pk=versions[1].pk).update(state="pending")
    lifecycle.turn_away([versions[1].pk], actor="inspection", reason="No forecaster.", at=NOW)
    status, text = run("--json")
    assert status == 0 and json.loads(text)["can_be_released"] == [str(versions[0].pk)]
    assert f"Quarantined, but sound: {versions[0]}." in " ".join(run()[1].split())
    done = lifecycle.release([versions[0].pk], actor="ops", reason="put back from the backup", at=NOW)
    assert done.changed == {versions[0].pk}
    assert artifacts.load(ModelVersion.objects.get(pk=versions[0].pk)) == b"one" * 9
    assert json.loads(run("--json")[1])["can_be_released"] == []


def test_a_missing_container_misses_all_that_are_in_it(versions: list[ModelVersion], artifact_folder: Path) -> None:
    container_of(artifact_folder, versions[0]).unlink()
    told = json.loads(run("--json")[1])
    assert [each["code"] for each in told["refused"]] == ["artifact_missing"] * 3


def test_one_fleet_alone_is_looked_at(versions: list[ModelVersion], artifact_folder: Path) -> None:
    other = factories.version(registered_model=factories.registered_model())
    (artifact_folder / artifacts.key_of(other.artifact_digest)).unlink()
    assert run("--fleet", "bakery")[0] == 0
    assert run("--fleet", other.fleet.name)[0] == 1
    with pytest.raises(CommandError, match="There is no fleet 'bakry'"):
        run("--fleet", "bakry")


def test_versions_whose_bytes_were_given_up_are_not_looked_for(
    versions: list[ModelVersion], artifact_folder: Path
) -> None:
    ids = [each.pk for each in versions]
    lifecycle.archive(ids, actor="ops", reason="old", at=NOW)
    lifecycle.forget(ids, actor="ops", reason="old", at=NOW)
    container_of(artifact_folder, versions[0]).unlink()
    assert run()[0] == 3


@pytest.mark.requirement("R23")
def test_a_store_that_does_not_answer_judges_nobody(
    versions: list[ModelVersion], artifact_folder: Path, tmp_path: Path
) -> None:
    artifact_folder.rename(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match="mounted"):
        run("--quarantine")
    assert set(ModelVersion.objects.values_list("state", flat=True)) == {State.READY}


def test_a_key_that_is_not_set_is_no_damage(versions: list[ModelVersion], settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "signing_keys": "other:secret"}
    status, text = run("--quarantine", "--json")
    told = json.loads(text)
    assert (status, told["broken"], told["unjudged"], told["quarantined"]) == (1, 0, 3, 0)
    assert told["refused"][0]["code"] == "signing_key_unknown"


def test_batches_cover_every_version_once(versions: list[ModelVersion], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "BATCH_ROWS", 2)
    assert [each.version.pk for each in verification.check()] == [each.pk for each in versions]
