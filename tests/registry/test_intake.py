"""Versions from elsewhere: what is sound is stored and registered as pending, the rest is refused item by item."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import zstandard
from pytest_django import Settings

from registry import artifacts, bundle, conf, deadlines, errors, identifiers, lifecycle
from registry import limits as here
from registry.bundle import examination, formats
from registry.bundle.tables import Table
from registry.exchange import deliveries, intake, sifting
from registry.exchange.deliveries import Delivery
from registry.models import Event, Fleet, ModelVersion, RegisteredModel
from tests import factories
from tests.deliveries import NAIVE, PREDICTIONS, delivery, forecaster, packed
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet() -> Fleet:
    found = factories.fleet(name="bakery")
    factories.registered_model(fleet=found, entity_key="bread")
    return found


def receive(fleet: Fleet, *delivered: Delivery, **values: Any) -> list[ModelVersion | errors.PerennialError]:
    return intake.receive(fleet, delivered, actor="ada", at=NOW, **values)


def refusal(fleet: Fleet, delivered: Delivery, **values: Any) -> errors.PerennialError:
    [found] = receive(fleet, delivered, **values)
    assert isinstance(found, errors.PerennialError), found
    assert not ModelVersion.objects.exists()
    return found


def contents(version: ModelVersion) -> bundle.Bundle:
    limits = bundle.Limits(max_bytes=2**26, max_unpacked_bytes=2**26, max_ratio=200)
    return bundle.unpack(artifacts.load(version), limits=limits)


@pytest.mark.requirement("R01")
def test_a_bundle_is_registered_with_what_its_own_metadata_says(fleet: Fleet) -> None:
    version = intake.only(receive(fleet, delivery()))
    version.refresh_from_db()
    assert (version.number, version.trainer, version.state) == (1, "seasonal_naive", "pending")
    assert version.artifact_format == NAIVE
    assert version.scorecard.metrics == {"mae": 1.25, "mase": None}
    assert version.data_start == datetime(2026, 1, 1, tzinfo=UTC)
    assert version.fit_end == datetime(2026, 2, 27, tzinfo=UTC)
    assert (version.features, version.params, version.seed) == (["promo"], {"interval_width": 0.8}, 7)
    event = Event.objects.get(to_version=version)
    assert (event.kind, event.cause, event.actor) == ("registry.version.registered", "registration", "ada")


@pytest.mark.requirement("R01", "R04", "R05", "R24")
def test_parts_are_packed_with_everything_that_is_said_and_predictions_are_never_cut(fleet: Fleet) -> None:
    wanted = identifiers.uuid7()
    said = {
        "version_id": str(wanted), "format": NAIVE, "data_start": "2026-01-01T01:00:00+01:00", "rows": 59,
        "metrics": {"mae": 2.0}, "features": ["promo"], "params": {"interval_width": 0.9}, "seed": 3,
        "library_versions": {"python": "3.12"}, "extra": {"ticket": "F-7"}, "note": "Fitted by hand.",
        "tags": ["pilot", "pilot"], "feature_importance": {"trend": 1.0}, "trained_at": "2026-02-27T12:00:00Z",
        "test": {"columns": PREDICTIONS.columns, "rows": PREDICTIONS.rows},
    }  # fmt: skip
    version = intake.only(receive(fleet, Delivery(entity="bread", said=said, forecaster=forecaster())))
    version.refresh_from_db()
    assert version.pk == wanted
    assert version.data_start == datetime(2026, 1, 1, tzinfo=UTC)
    assert (version.rows, version.extra, version.note, version.tags) == (
        59, {"ticket": "F-7"}, "Fitted by hand.", ["pilot"],
    )  # fmt: skip
    found = contents(version)
    assert found.forecaster == forecaster()
    assert (found.test, found.feature_importance) == (PREDICTIONS, {"trend": 1.0})
    assert len(found.test.rows) == 150
    assert found.metadata["version_id"] == str(wanted)
    assert found.metadata["trained_at"] == "2026-02-27T12:00:00+00:00"
    assert (found.metadata["metrics"], found.metadata["extra"]) == ({"mae": 2.0}, {"ticket": "F-7"})


@pytest.mark.requirement("R01")
def test_what_the_caller_says_goes_before_what_the_bundle_says(fleet: Fleet) -> None:
    version = intake.only(receive(fleet, delivery(said={"seed": 9, "metrics": {"mae": 3.0}})))
    assert (version.seed, version.scorecard.metrics, version.params) == (9, {"mae": 3.0}, {"interval_width": 0.8})


@pytest.mark.requirement("R01")
def test_an_id_that_is_taken_is_a_conflict_and_the_others_go_in(fleet: Fleet) -> None:
    taken = factories.version(registered_model=RegisteredModel.objects.get(entity_key="bread"))
    twice = {"version_id": str(identifiers.uuid7())}
    found = receive(
        fleet, delivery(said={"version_id": str(taken.pk)}), delivery(said=twice), delivery(said=twice), delivery()
    )
    assert [getattr(each, "code", "") for each in found] == ["version_id_taken", "", "version_id_taken", ""]
    assert sorted(ModelVersion.objects.values_list("number", flat=True)) == [1, 2, 3]


@pytest.mark.requirement("R26")
def test_an_id_that_is_taken_between_the_look_and_the_insert_is_found_at_the_second_look(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = factories.version(registered_model=RegisteredModel.objects.get(entity_key="bread"))
    looks, look = [], intake._without_taken

    def late(parcels: Any) -> Any:
        looks.append(parcels)
        return list(parcels) if len(looks) == 1 else look(parcels)

    monkeypatch.setattr(intake, "_without_taken", late)
    found = receive(fleet, delivery(said={"version_id": str(taken.pk)}), delivery())
    assert [getattr(each, "code", "") for each in found] == ["version_id_taken", ""]
    assert len(looks) == 2


def test_an_unknown_entity_is_refused_unless_it_is_to_be_made(fleet: Fleet) -> None:
    found = refusal(fleet, delivery(entity="cake"))
    assert (found.code, "create" in found.next_step) == ("model_unknown", True)
    versions = receive(fleet, delivery(entity="cake"), delivery(entity="bread"), create=True)
    assert all(isinstance(each, ModelVersion) for each in versions)
    enrolled = Event.objects.get(kind="registry.model.enrolled", registered_model__entity_key="cake")
    assert (enrolled.cause, enrolled.actor) == ("registration", "ada")


def test_no_entity_is_made_for_a_version_that_is_refused(fleet: Fleet) -> None:
    taken = factories.version(registered_model=RegisteredModel.objects.get(entity_key="bread"))
    [found] = receive(fleet, delivery(entity="cake", said={"version_id": str(taken.pk)}), create=True)
    assert getattr(found, "code", "") == "version_id_taken"
    assert not RegisteredModel.objects.filter(entity_key="cake").exists()


@pytest.mark.parametrize("entity", ["../x", "a/b", "a\\b", "", "a" * 129, "%2e%2e", "a\0b", "file:///", "\uff0e"])
def test_a_path_trick_is_no_entity(fleet: Fleet, entity: str) -> None:
    assert refusal(fleet, delivery(entity=entity), create=True).code in ("entity_invalid", "model_unknown")
    assert RegisteredModel.objects.count() == 1


class Boom:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (open, (str(self.canary), "w"))


@pytest.mark.requirement("R01")
@pytest.mark.parametrize("name", ["pickle", "joblib", "cloudpickle", "onnx", "mlflow", "prophet-json-99", "", "x" * 99])
def test_a_format_that_no_trainer_reads_is_refused_with_the_way_out(fleet: Fleet, name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for delivered in (
        Delivery(entity="bread", said={"format": name[:64]}, forecaster=pickle.dumps(Boom(canary))),
        delivery(bundle=packed(format=name, forecaster=pickle.dumps(Boom(canary)))),
    ):
        found = refusal(fleet, delivered)
        assert (found.code, found.status) == ("format_not_trusted", 422)
        assert "docs/registering.md" in found.next_step
        assert NAIVE in found.sentence
    assert not canary.exists()


@pytest.mark.parametrize("name", ["prophet-json-1", NAIVE, "ridge-skops-1"])
def test_a_pickle_under_a_trusted_name_is_refused_before_it_is_stored(
    fleet: Fleet, name: str, artifact_folder: Path, tmp_path: Path
) -> None:
    canary, kind = tmp_path / "canary", "regression" if "skops" in name else "forecast"
    Fleet.objects.update(kind=kind)
    fleet.refresh_from_db()
    found = refusal(fleet, Delivery(entity="bread", said={"format": name}, forecaster=pickle.dumps(Boom(canary))))
    assert found.code == "forecaster_refused"
    assert not canary.exists()
    assert not [path for path in artifact_folder.rglob("*") if path.is_file()]


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def lying_directory() -> bytes:
    data = bytearray(zipped({"schema.json": b"{}"}))
    place = data.rfind(b"PK\x05\x06")
    data[place + 12 : place + 16] = (2**31).to_bytes(4, "little")
    return bytes(data)


HOSTILE_SKOPS = {
    "a bomb": zipped({"schema.json": b"{}", "1.npy": b"\0" * 2**21}),
    "a large schema": zipped({"schema.json": b" " * (33 * 2**20)}),
    "a name above": zipped({"../../x": b"x"}),
    "an absolute name": zipped({"/etc/x": b"x"}),
    "a drive": zipped({"C:\\x": b"x"}),
    "a directory of 2 GB": lying_directory(),
    "no zip": b"PK\x03\x04" + b"\0" * 100,
    "half a zip": zipped({"schema.json": b"{}" * 1000})[:60],
    "nothing of it": b"x",
}


@pytest.mark.parametrize("name", HOSTILE_SKOPS)
def test_a_hostile_skops_file_is_refused_by_its_outside(fleet: Fleet, settings: Settings, name: str) -> None:
    Fleet.objects.update(kind="regression")
    fleet.refresh_from_db()
    limit = 2**20 if name == "a bomb" else conf.current().upload_unpacked_bytes
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "upload_unpacked_bytes": limit}
    said = {"format": "ridge-skops-1"}
    found = refusal(fleet, Delivery(entity="bread", said=said, forecaster=HOSTILE_SKOPS[name]))
    assert (found.code, found.status) == ("forecaster_refused", 422)


def test_a_zip_with_too_long_a_list_of_members_is_refused_before_it_is_opened(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fleet.objects.update(kind="regression")
    fleet.refresh_from_db()
    monkeypatch.setattr(examination, "DIRECTORY_BYTES", 500)
    many = zipped({"schema.json": b"{}", **{f"{n}.npy": b"x" for n in range(20)}})
    found = refusal(fleet, Delivery(entity="bread", said={"format": "ridge-skops-1"}, forecaster=many))
    assert "lists its members" in found.sentence


def test_a_json_forecaster_has_a_bound_of_its_own(fleet: Fleet) -> None:
    large = b'{"format": "' + NAIVE.encode() + b'", "x": "' + b"y" * (8 * 2**20) + b'"}'
    assert (
        refusal(fleet, Delivery(entity="bread", said={"format": NAIVE}, forecaster=large)).code == "forecaster_refused"
    )


def frame(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


HOSTILE_BUNDLES = {
    "no frame": b"\x80\x04K\x01.",
    "a bomb": frame(b"\0" * (300 * 2**20)),
    "no zip": frame(b"x" * 100),
    "large metadata": packed(metadata={"x": "y" * 2**20}),
}


@pytest.mark.parametrize("name", HOSTILE_BUNDLES)
def test_a_hostile_bundle_is_refused(fleet: Fleet, name: str) -> None:
    found = refusal(fleet, delivery(bundle=HOSTILE_BUNDLES[name]))
    assert (found.code, found.status) == ("bundle_invalid", 422)


def test_a_bundle_is_looked_at_without_keeping_its_tables() -> None:
    limits = bundle.Limits(max_bytes=2**26, max_unpacked_bytes=2**26, max_ratio=200)
    looked = bundle.audit(packed(), limits=limits, bounds=here.tables())
    assert (looked.forecaster, looked.feature_importance) == (forecaster(), {"trend": 0.25, "weekly": 0.75})
    assert (looked.validation, looked.test) == (Table(), Table())


SAID: list[tuple[dict[str, Any], str | None]] = [
    ({"colour": "red"}, "colour"),
    ({"rows": -1}, "rows"),
    ({"rows": 2**31}, "rows"),
    ({"seed": 2**63}, "seed"),
    ({"data_start": "2026-01-01T00:00:00"}, "data_start"),
    ({"data_start": "yesterday"}, "data_start"),
    ({"metrics": {"mae": float("nan")}}, "metrics/mae"),
    ({"metrics": {"mae": float("inf")}}, "metrics/mae"),
    ({"metrics": {"mae": "good"}}, "metrics/mae"),
    ({"extra": {"x": "y" * 17_000}}, "extra"),
    ({"note": "a\0b"}, "note"),
    ({"features": ["a\0b"]}, "features/0"),
    ({"params": {"a": "\0"}}, None),
    ({"params": {"a": float("nan")}}, None),
    ({"tags": ["a,b"]}, "tags/0"),
    ({"tags": ["x"] * 21}, "tags"),
    ({"version_id": "7"}, "version_id"),
    ({"trainer": "prophet"}, "trainer"),
    ({"format": "prophet-json-1"}, "format"),
    ({"state": "ready"}, "state"),
    ({"number": 7}, "number"),
    ({"artifact_digest": "0" * 64}, "artifact_digest"),
]


@pytest.mark.requirement("R01")
@pytest.mark.parametrize(("said", "field"), SAID)
def test_what_cannot_be_said_of_a_version_is_refused_by_name(
    fleet: Fleet, said: dict[str, Any], field: str | None
) -> None:
    found = refusal(fleet, delivery(said=said))
    assert (found.code, found.field) == ("metadata_invalid", field)


def test_metadata_that_lies_within_the_bundle_is_checked_too(fleet: Fleet) -> None:
    assert refusal(fleet, delivery(bundle=packed(metadata={"rows": -7}))).field == "rows"
    assert refusal(fleet, delivery(bundle=packed(metadata={"trainer": "ridge"}))).field == "trainer"
    assert refusal(fleet, delivery(bundle=packed(metadata={"data_start": "soon"}))).code == "timestamp_invalid"
    assert isinstance(receive(fleet, delivery(bundle=packed(feature_importance={"x": 1})))[0], ModelVersion)


def test_a_forecaster_of_another_kind_of_fleet_is_refused(fleet: Fleet) -> None:
    said = {"format": "ridge-skops-1"}
    found = refusal(fleet, Delivery(entity="bread", said=said, forecaster=zipped({"schema.json": b"{}"})))
    assert found.field == "format"
    assert "forecast" in found.sentence


def test_a_bundle_comes_alone(fleet: Fleet) -> None:
    assert refusal(fleet, delivery(forecaster=b"{}")).code == "metadata_invalid"
    assert refusal(fleet, delivery(said={"test": {"columns": [], "rows": []}})).code == "metadata_invalid"
    assert refusal(fleet, Delivery(entity="bread", said={"format": NAIVE})).field == "forecaster"


@pytest.mark.requirement("R01", "R26")
def test_many_are_registered_in_a_few_statements(fleet: Fleet, django_assert_max_num_queries: Any) -> None:
    factories.registered_model(fleet=fleet, entity_key="rolls")
    content = packed()
    many = [Delivery(entity=("bread", "rolls")[n % 2], bundle=content) for n in range(300)]
    with django_assert_max_num_queries(20):
        found = receive(fleet, *many)
    assert all(isinstance(each, ModelVersion) for each in found)
    assert ModelVersion.objects.filter(registered_model__entity_key="bread").count() == 150


def test_every_trainer_declares_its_format() -> None:
    from training.trainers import table

    declared = {format for entry in table.TRAINERS.values() for format in (entry.format, *entry.also_reads)}
    assert set(formats.names()) == declared
    for name, entry in table.TRAINERS.items():
        assert (table.find(name).format, formats.find(entry.format).trainer) == (entry.format, name)


@pytest.mark.requirement("R01")
def test_a_pending_version_cannot_be_placed_until_it_is_admitted(fleet: Fleet) -> None:
    version = intake.only(receive(fleet, delivery()))
    model = RegisteredModel.objects.get(entity_key="bread")
    asked: dict[str, Any] = {"registered_model": model, "version": version, "actor": "ada", "reason": "Try.", "at": NOW}
    with pytest.raises(lifecycle.VersionNotReady):
        lifecycle.promote_by_hand(**asked)
    assert lifecycle.admit([version.pk], actor="inspection", at=NOW).changed == {version.pk}
    lifecycle.promote_by_hand(**asked)
    model.refresh_from_db()
    assert model.champion_id == version.pk


def test_a_pending_version_leaves_that_state_by_inspection_alone(fleet: Fleet) -> None:
    version = intake.only(receive(fleet, delivery()))
    for change in (lifecycle.archive, lifecycle.restore, lifecycle.quarantine, lifecycle.release, lifecycle.forget):
        found = change([version.pk], actor="ada", reason="Try.", at=NOW)
        assert (found.changed, found.refused[version.pk].code) == (frozenset(), "version_state_forbids"), change


def test_what_was_turned_away_is_never_released(fleet: Fleet) -> None:
    version = intake.only(receive(fleet, delivery()))
    lifecycle.turn_away([version.pk], actor="inspection", reason="No forecaster.", at=NOW)
    found = lifecycle.release([version.pk], actor="ada", reason="Try.", at=NOW)
    assert (found.changed, found.refused[version.pk].code) == (frozenset(), "forecaster_unreadable")
    assert ModelVersion.objects.get(pk=version.pk).state == "quarantined"
    assert lifecycle.forget([version.pk], actor="ada", reason="Gone.", at=NOW).changed == {version.pk}


def test_nothing_that_is_said_is_lost_on_the_way_into_a_bundle() -> None:
    plain = deliveries.metadata(deliveries.Particulars(), version_id=UUID(int=7), fleet="bakery", entity="bread")
    assert json.loads(json.dumps(plain)) == plain


# -- what is taken in can be read later, and many take the memory of one


@pytest.mark.requirement("X02")
def test_a_forecaster_that_would_be_too_large_to_read_is_not_taken_in(fleet: Fleet) -> None:
    from training import forecasting

    Fleet.objects.update(kind="regression")
    fleet.refresh_from_db()
    flat = zipped({"schema.json": b"{}", "1.npy": bytes(20 * 2**20)})
    said = {"format": "ridge-skops-1"}
    parts = refusal(fleet, Delivery(entity="bread", said=said, forecaster=flat))
    content = packed(format="ridge-skops-1", forecaster=flat, metadata={})
    whole = refusal(fleet, delivery(bundle=content))
    with pytest.raises(examination.ForecasterRefused) as later:
        forecasting.parse(content, trainer="ridge")
    assert parts.sentence == whole.sentence == later.value.sentence
    assert "bomb" in parts.sentence


def test_parts_that_are_packed_too_small_to_be_unpacked_again_are_not_taken_in(fleet: Fleet) -> None:
    Fleet.objects.update(kind="regression")
    fleet.refresh_from_db()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("1.npy", bytes(17 * 2**20))
    said = {"format": "ridge-skops-1"}
    found = refusal(fleet, Delivery(entity="bread", said=said, forecaster=buffer.getvalue()))
    assert (found.code, "bomb" in found.sentence) == ("bundle_invalid", True)


def test_predictions_in_parts_have_the_bounds_of_those_in_bundles(fleet: Fleet, settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "table_rows": 149}
    test = {"columns": PREDICTIONS.columns, "rows": PREDICTIONS.rows}
    said = {"format": NAIVE, "test": test}
    for delivered in (Delivery(entity="bread", said=said, forecaster=forecaster()), delivery()):
        found = refusal(fleet, delivered)
        assert (found.code, found.status) == ("table_too_large", 422)


def test_what_was_unpacked_of_one_delivery_is_gone_when_the_next_is_looked_at(fleet: Fleet) -> None:
    content = packed(forecaster=forecaster(means=[0.0] * 400_000))
    assert bundle.announced(content, limits=here.delivered()) > 2**20
    tracemalloc.start()
    try:
        looked = sum(isinstance(each, sifting.Sifted) for each in sifting.sift(fleet, [delivery(bundle=content)] * 20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert looked == 20
    assert peak < 12 * 2**20


def test_predictions_that_were_packed_are_not_kept_beside_the_row() -> None:
    said = {"format": NAIVE, "feature_importance": {"x": 1.0}, "test": {"columns": ["a"], "rows": [[1.0]] * 1000}}
    owner = factories.fleet(name="other")
    [found] = sifting.sift(owner, [Delivery(entity="bread", said=said, forecaster=forecaster())])
    assert isinstance(found, sifting.Sifted)
    assert (found.particulars.test, found.particulars.feature_importance) == (Table(), {})


def test_many_are_stored_group_by_group(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed()
    monkeypatch.setattr(intake, "STORED_BYTES", 2 * len(content))
    found = receive(fleet, *[delivery(bundle=packed(metadata={"seed": seed})) for seed in range(7)])
    assert [getattr(each, "seed", None) for each in found] == list(range(7))
    assert len({version.artifact_container for version in ModelVersion.objects.all()}) > 2
    assert all(contents(version).metadata["seed"] == version.seed for version in ModelVersion.objects.all())


@pytest.mark.requirement("R26")
@pytest.mark.parametrize("late", [False, True])
def test_one_that_was_stored_too_long_ago_is_refused_and_the_others_go_in(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    parcels = intake.store(fleet, [delivery(said={"note": str(number)}) for number in range(3)])
    old = parcels[1]
    assert isinstance(old, intake.Parcel)
    parcels[1] = replace(old, stored=replace(old.stored, kept=deadlines.after(-1)))
    fresh = intake._fresh
    looks: list[object] = []

    def when_it_is_seen(each: Any) -> Any:
        looks.append(each)
        return each if late and len(looks) <= len(parcels) else fresh(each)

    # Late: its time ends between the look and the insert.
    monkeypatch.setattr(intake, "_fresh", when_it_is_seen)
    found = intake.register(fleet, parcels, actor="ada", at=NOW)
    assert [getattr(each, "code", "") for each in found] == ["", "artifact_swept", ""]
    assert "Send it again." in str(found[1])
    assert list(ModelVersion.objects.order_by("number").values_list("note", flat=True)) == ["0", "2"]
