"""An artifact is handed out only if its very bytes are what was registered; a refusal names the version."""

from __future__ import annotations

import hashlib
import hmac
import logging
import struct
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from registry import artifacts, lifecycle
from registry.artifacts import signatures
from registry.models import ModelVersion, RegisteredModel
from tests import factories

pytestmark = pytest.mark.django_db
NOW = factories.NOW


def file_of(folder: Path, version: ModelVersion) -> Path:
    return folder / artifacts.key_of(version.artifact_digest)


@pytest.fixture
def registered_model() -> RegisteredModel:
    return factories.registered_model()


@pytest.fixture
def champion(registered_model: RegisteredModel) -> ModelVersion:
    return factories.champion(registered_model=registered_model, content=b"the bytes of a champion" * 100)


@pytest.mark.requirement("R04")
def test_what_was_stored_is_loaded(champion: ModelVersion, artifact_folder: Path) -> None:
    assert artifacts.load(champion) == b"the bytes of a champion" * 100
    assert champion.artifact_digest == hashlib.sha256(file_of(artifact_folder, champion).read_bytes()).hexdigest()
    assert champion.artifact_size == 2300


@pytest.mark.requirement("R22")
@pytest.mark.requirement("X02")
def test_a_flipped_bit_is_refused_naming_the_version_and_the_previous_champion_serves_again(
    registered_model: RegisteredModel, artifact_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = factories.champion(registered_model=registered_model)
    second = factories.champion(registered_model=registered_model, at=NOW + timedelta(days=1))
    path = file_of(artifact_folder, second)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(artifacts.ArtifactCorrupted, match=f"version 2 of .*{second.pk}.*SHA-256"):
        artifacts.load(second)
    with caplog.at_level(logging.WARNING):
        lifecycle.roll_back(
            registered_model=registered_model, actor="ops", reason="broken file", at=NOW + timedelta(days=2)
        )
    registered_model.refresh_from_db()
    assert registered_model.champion == first
    assert artifacts.load(first)
    assert "rolled back to version 1 by ops: broken file" in caplog.text


@pytest.mark.requirement("X02")
def test_a_truncated_file_is_refused(champion: ModelVersion, artifact_folder: Path) -> None:
    path = file_of(artifact_folder, champion)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(artifacts.ArtifactCorrupted, match=f"{champion.pk}.*2300 bytes"):
        artifacts.load(champion)


def test_a_file_that_grew_is_refused(champion: ModelVersion, artifact_folder: Path) -> None:
    with file_of(artifact_folder, champion).open("ab") as file:
        file.write(b"!")
    with pytest.raises(artifacts.ArtifactCorrupted, match="2300 bytes"):
        artifacts.load(champion)


@pytest.mark.requirement("X02")
def test_a_deleted_file_is_said_to_be_missing(champion: ModelVersion, artifact_folder: Path) -> None:
    file_of(artifact_folder, champion).unlink()
    with pytest.raises(artifacts.ArtifactMissing, match=f"version 1 of .*{champion.pk}"):
        artifacts.load(champion)


@pytest.mark.requirement("X02")
def test_swapped_files_of_two_models_are_refused(artifact_folder: Path) -> None:
    versions = [
        factories.champion(registered_model=factories.registered_model(), content=text) for text in (b"one", b"two")
    ]
    paths = [file_of(artifact_folder, version) for version in versions]
    paths[0].write_bytes(b"two")
    paths[1].write_bytes(b"one")
    for version in versions:
        with pytest.raises(artifacts.ArtifactCorrupted, match=f"{version.pk}.*SHA-256"):
            artifacts.load(version)


@pytest.mark.requirement("X02")
def test_a_forger_who_recomputes_the_digest_fails_at_the_signature(
    champion: ModelVersion, artifact_folder: Path
) -> None:
    forged = b"the bytes of a forger!!" * 100
    champion.artifact_digest = hashlib.sha256(forged).hexdigest()
    champion.artifact_signature = hmac.new(b"guessed", forged, hashlib.sha256).hexdigest()
    champion.save(update_fields=["artifact_digest", "artifact_signature"])
    path = file_of(artifact_folder, champion)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(forged)
    with pytest.raises(artifacts.SignatureInvalid, match=f"{champion.pk}.*signature is not valid"):
        artifacts.load(champion)


def test_the_signature_covers_the_format(champion: ModelVersion) -> None:
    champion.artifact_format = "skops-1"
    with pytest.raises(artifacts.SignatureInvalid, match="signature is not valid"):
        artifacts.load(champion)


def test_a_new_key_signs_and_the_old_one_still_verifies(champion: ModelVersion, settings: Settings) -> None:
    keys = "second:new-secret, test:only-for-tests"
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "signing_keys": keys}
    newer = factories.version(registered_model=champion.registered_model)
    assert (champion.artifact_key_id, newer.artifact_key_id) == ("test", "second")
    assert artifacts.load(champion) and artifacts.load(newer)
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "signing_keys": "second:new-secret"}
    with pytest.raises(signatures.SigningKeyUnknown, match="'test', which is not known"):
        artifacts.load(champion)


@pytest.mark.parametrize("keys", ["", "  ", "no-secret", "id:", ":secret", "a:b,broken"])
def test_unusable_signing_keys_are_named(settings: Settings, keys: str) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "signing_keys": keys}
    with pytest.raises(signatures.SigningKeysInvalid):
        artifacts.store([b"1"], format="test-1")


def test_an_artifact_above_the_limit_is_refused_before_it_is_stored(settings: Settings, artifact_folder: Path) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "max_artifact_bytes": 10}
    with pytest.raises(artifacts.ArtifactTooLarge):
        artifacts.store([b"eleven byte"], format="test-1")
    assert not list(artifact_folder.iterdir())


def test_a_row_that_claims_a_huge_size_is_refused_before_reading(champion: ModelVersion) -> None:
    champion.artifact_size = 2**40
    with pytest.raises(artifacts.ArtifactTooLarge, match=str(2**40)):
        artifacts.load(champion)


def test_an_artifact_inside_a_container_is_cut_out_and_verified(champion: ModelVersion, artifact_folder: Path) -> None:
    content = file_of(artifact_folder, champion).read_bytes()
    container = struct.pack(">Q", 7) + content + b"the next one"
    [held] = lifecycle.store_artifacts([container], format="container-1")
    champion.artifact_container, champion.artifact_offset = held.digest, 8
    assert artifacts.load(champion) == content
    champion.artifact_offset = 9
    with pytest.raises(artifacts.ArtifactCorrupted):
        artifacts.load(champion)


def test_the_same_bytes_are_stored_once(artifact_folder: Path) -> None:
    first, second = lifecycle.store_artifacts([b"same", b"same"], format="test-1")
    assert first == second
    assert len([path for path in (artifact_folder / "artifacts").rglob("*") if path.is_file()]) == 1
