"""Many forecasters are loaded with few reads, each verified; what is kept of them is bounded by what it weighs."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from registry import artifacts, bundle, conf, errors, lifecycle, store
from registry.models import ModelVersion
from registry.store import DiskStore
from tests import deliveries, factories
from training import forecasting
from training.trainers.base import Forecaster

pytestmark = pytest.mark.django_db
NOW = factories.NOW


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest) -> None:
    """Where artifacts are stored in this test."""
    if request.param == "s3":
        request.getfixturevalue("bucket")


def versions(count: int, *, contents: list[bytes] | None = None) -> list[ModelVersion]:
    """Versions of as many models, stored at once; the forecaster of each has another mean."""
    packed = contents or [
        deliveries.packed(forecaster=deliveries.forecaster(mean=float(each))) for each in range(count)
    ]
    stored = lifecycle.store_artifacts(packed, format="seasonal-naive-json-1")
    fleet = factories.fleet()
    items = [
        lifecycle.Registration(
            registered_model_id=factories.registered_model(fleet=fleet).pk, stored=each, trainer="seasonal_naive"
        )
        for each in stored
    ]
    return lifecycle.register(items, actor="test", cause="manual", at=NOW)


def mean(found: Forecaster | errors.PerennialError) -> float:
    assert not isinstance(found, errors.PerennialError), found
    return float(json.loads(found.dump())["mean"])


def path_of(version: ModelVersion, folder: Path) -> Path:
    return folder / artifacts.key_of(version.artifact_container)


@pytest.mark.requirement("R09")
def test_many_are_loaded_in_their_order(place: None) -> None:
    made = versions(30)
    assert [mean(each) for each in forecasting.load_many(made[::-1])] == [float(each) for each in range(29, -1, -1)]


@pytest.mark.requirement("R22")
def test_damage_of_one_is_told_of_that_one_alone(artifact_folder: Path) -> None:
    made = versions(5)
    path = path_of(made[0], artifact_folder)
    data = bytearray(path.read_bytes())
    data[made[2].artifact_offset + 10] ^= 1
    path.write_bytes(data)
    ModelVersion.objects.filter(pk=made[3].pk).update(artifact_signature="0" * 64)
    found = forecasting.load_many(list(ModelVersion.objects.order_by("created_at", "pk")))
    codes = [each.code if isinstance(each, errors.PerennialError) else mean(each) for each in found]
    assert codes == [0.0, 1.0, "artifact_corrupted", "signature_invalid", 4.0]


def test_a_forecaster_that_cannot_be_read_is_told_and_the_others_load() -> None:
    strange = bundle.pack(bundle.Bundle(format="seasonal-naive-json-1", forecaster=b'{"format": "strange"}'))
    first, second = forecasting.load_many(versions(2, contents=[strange, deliveries.packed()]))
    assert isinstance(first, errors.PerennialError) and not isinstance(second, errors.PerennialError)


def test_versions_whose_object_is_gone_are_missing_and_a_store_that_fails_says_nothing_of_any(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = versions(3)
    content = path_of(made[0], artifact_folder).read_bytes()
    path_of(made[0], artifact_folder).unlink()
    assert {each.code for each in forecasting.load_many(made) if isinstance(each, errors.PerennialError)} == {
        "artifact_missing"
    }
    store.open_store(conf.current().artifact_url).put(artifacts.key_of(made[0].artifact_container), content)

    def fails(*_: object, **__: object) -> bytes:
        raise store.StoreUnavailable("The store does not answer.")

    monkeypatch.setattr(DiskStore, "get", fails)
    with pytest.raises(store.StoreUnavailable):
        forecasting.load_many(made)


def version_like(digest: str) -> ModelVersion:
    return ModelVersion(id=UUID(int=1), artifact_digest=digest, trainer="seasonal_naive")


def test_what_is_kept_is_bounded_by_its_weight_and_the_oldest_goes_first() -> None:
    [forecaster] = forecasting.load_many(versions(1))
    assert not isinstance(forecaster, errors.PerennialError)
    weight = forecasting.LEAST_BYTES + forecasting.BYTES_FOR_EACH * 1000
    cache = forecasting.Cache(most=3 * weight)
    for digest in ("a", "b", "c", "c"):
        cache.keep(version_like(digest), forecaster, size=1000)
    assert cache.find(version_like("a")) is forecaster
    cache.keep(version_like("d"), forecaster, size=1000)
    assert [cache.find(version_like(each)) is not None for each in "abcd"] == [True, False, True, True]
    cache.keep(version_like("huge"), forecaster, size=10**9)
    assert [cache.find(version_like(each)) is not None for each in ("a", "d", "huge")] == [False, False, True]
    cache.keep(version_like("e"), forecaster, size=1)
    assert [cache.find(version_like(each)) is not None for each in ("huge", "e")] == [False, True]


def test_what_is_loaded_again_is_parsed_once_and_a_slice_pushes_nothing_out() -> None:
    made = versions(3)
    first = forecasting.load(made[0])
    assert forecasting.load(made[0]) is first
    loaded = forecasting.load_many(made)
    assert loaded[0] is first
    assert forecasting.load_many(made)[1] is not loaded[1]
