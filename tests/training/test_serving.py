"""Who answers for a model: its champion, or the last good one before it; damage is quarantined once, and told."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from registry import artifacts, lifecycle, store
from registry.artifacts import signatures
from registry.lifecycle import succession
from registry.models import Event, ModelVersion, RegisteredModel
from tests import deliveries, factories
from training import forecasting
from training.forecasting import Level

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R09")]
NOW = factories.NOW
QUARANTINED = "registry.version.quarantined"


@pytest.fixture
def model() -> RegisteredModel:
    """A model whose third champion serves; each has another mean."""
    made = factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="rye")
    for number in (1, 2, 3):
        content = deliveries.packed(forecaster=deliveries.forecaster(mean=float(number)))
        factories.champion(registered_model=made, content=content, at=NOW + timedelta(days=number))
    return made


def version(model: RegisteredModel, number: int) -> ModelVersion:
    return ModelVersion.objects.get(registered_model=model, number=number)


def path_of(folder: Path, version: ModelVersion) -> Path:
    return folder / artifacts.key_of(version.artifact_digest)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def serving(model: RegisteredModel) -> tuple[int, Level, float]:
    found = forecasting.load_serving(
        RegisteredModel.objects.select_related("champion").get(pk=model.pk), at=NOW + timedelta(days=9)
    )
    return found.version.number, found.level, json.loads(found.forecaster.dump())["mean"]


def quarantines() -> list[tuple[int, str, str]]:
    rows = Event.objects.filter(kind=QUARANTINED).order_by("count").select_related("to_version")
    return [(row.to_version.number, row.cause, row.actor) for row in rows if row.to_version]


def test_the_champion_answers(model: RegisteredModel, caplog: pytest.LogCaptureFixture) -> None:
    assert serving(model) == (3, Level.CHAMPION, 3.0)
    assert quarantines() == [] and caplog.records == []


@pytest.mark.requirement("R22")
@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["flipped bit", "deleted file"])
def test_a_damaged_champion_is_quarantined_once_and_the_one_before_it_answers(
    model: RegisteredModel, artifact_folder: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(path_of(artifact_folder, version(model, 3)))
    with caplog.at_level(logging.WARNING):
        assert serving(model) == (2, Level.PREVIOUS_CHAMPION, 2.0)
        assert serving(model) == (2, Level.PREVIOUS_CHAMPION, 2.0)
    assert quarantines() == [(3, "damaged", "system")]
    assert version(model, 3).state == ModelVersion.State.QUARANTINED
    model.refresh_from_db()
    assert model.champion == version(model, 3), "the pointer stays: a person or a retraining moves it"
    told = [record for record in caplog.records if getattr(record, "level", "") == "previous_champion"]
    assert len(told) == 2
    assert told[0].levelno == logging.WARNING
    assert told[0].getMessage() == "version 2 answers for bakery/rye: its champion cannot"


def test_the_search_goes_on_to_the_last_good_one(model: RegisteredModel, artifact_folder: Path) -> None:
    for number in (3, 2):
        flip(path_of(artifact_folder, version(model, number)))
    assert serving(model) == (1, Level.PREVIOUS_CHAMPION, 1.0)
    assert quarantines() == [(3, "damaged", "system"), (2, "damaged", "system")]


def test_where_none_can_be_loaded_nothing_serves(model: RegisteredModel, artifact_folder: Path) -> None:
    for number in (3, 2, 1):
        path_of(artifact_folder, version(model, number)).unlink()
    for _ in range(2):
        with pytest.raises(succession.NoChampion, match="Neither the champion of bakery/rye nor") as refused:
            serving(model)
        assert refused.value.code == "no_champion"
    assert len(quarantines()) == 3


def test_a_model_without_a_champion_has_nothing_that_serves() -> None:
    with pytest.raises(succession.NoChampion, match="has no champion") as refused:
        serving(factories.registered_model())
    assert refused.value.code == "no_champion"


def test_a_version_that_a_roll_back_undid_does_not_answer(model: RegisteredModel, artifact_folder: Path) -> None:
    lifecycle.roll_back(registered_model=model, actor="ops", reason="worse", at=NOW + timedelta(days=4))
    path_of(artifact_folder, version(model, 2)).unlink()
    assert serving(model) == (1, Level.PREVIOUS_CHAMPION, 1.0)


def test_a_repaired_champion_answers_again_after_its_release(model: RegisteredModel, artifact_folder: Path) -> None:
    path = path_of(artifact_folder, version(model, 3))
    whole = path.read_bytes()
    flip(path)
    assert serving(model)[0] == 2
    path.write_bytes(whole)
    assert serving(model)[0] == 2, "nobody has said yet that it may serve"
    done = lifecycle.release([version(model, 3).pk], actor="ops", reason="from the backup", at=NOW + timedelta(days=5))
    assert done.changed == {version(model, 3).pk}
    assert serving(model) == (3, Level.CHAMPION, 3.0)


@pytest.mark.requirement("R23")
def test_a_store_that_is_away_is_no_damage(model: RegisteredModel, artifact_folder: Path, tmp_path: Path) -> None:
    artifact_folder.rename(tmp_path / "elsewhere")
    with pytest.raises(store.StoreUnavailable):
        serving(model)
    assert quarantines() == []
    (tmp_path / "elsewhere").rename(artifact_folder)
    assert serving(model)[0] == 3


def test_a_key_that_is_not_set_is_no_damage(model: RegisteredModel, settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "signing_keys": "other:secret"}
    with pytest.raises(signatures.SigningKeyUnknown):
        serving(model)
    assert quarantines() == []


def test_a_signature_that_does_not_hold_serves_nothing_and_quarantines_nothing(
    model: RegisteredModel, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret that was changed by mistake must not quarantine a whole fleet."""
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "signing_keys": "test:another-secret"}
    with pytest.raises(succession.NoChampion):
        serving(model)
    assert quarantines() == []
    assert [getattr(record, "code", "") for record in caplog.records] == ["signature_invalid"] * 3


def test_a_trainer_that_is_not_installed_here_falls_back_and_quarantines_nothing(model: RegisteredModel) -> None:
    ModelVersion.objects.filter(pk=version(model, 3).pk).update(trainer="of_a_plugin")
    assert serving(model) == (2, Level.PREVIOUS_CHAMPION, 2.0)
    assert quarantines() == []
