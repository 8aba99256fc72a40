"""Versions from elsewhere become ready once their trainer has read them; whatever a file does, it does to a child."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry import lifecycle
from registry.exchange import intake
from registry.exchange.deliveries import Delivery
from registry.models import Event, Fleet, ModelVersion
from tests import factories
from tests.deliveries import NAIVE, delivery, forecaster
from tests.factories import NOW
from training import inspection

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


@pytest.fixture
def fleet() -> Fleet:
    found = factories.fleet(name="bakery")
    factories.registered_model(fleet=found, entity_key="bread")
    return found


def receive(fleet: Fleet, *delivered: Delivery) -> list[ModelVersion]:
    made = intake.receive(fleet, delivered, actor="ada", at=NOW)
    assert all(isinstance(each, ModelVersion) for each in made), made
    return [each for each in made if isinstance(each, ModelVersion)]


def naive(**values: Any) -> Delivery:
    return Delivery(entity="bread", said={"format": NAIVE}, forecaster=forecaster(**values))


def state_of(version: ModelVersion) -> str:
    return ModelVersion.objects.get(pk=version.pk).state


def inspect() -> inspection.Inspected:
    return inspection.inspect(now=lambda: NOW)


@pytest.mark.requirement("R01")
def test_what_a_trainer_reads_becomes_ready_and_what_it_does_not_is_quarantined(fleet: Fleet) -> None:
    sound, strange, other = receive(fleet, delivery(), naive(low="low", grid={}), naive(format="other-1"))
    assert inspection.waits()
    found = inspect()
    assert (found.admitted, set(found.turned_away)) == (1, {strange.pk, other.pk})
    assert [state_of(each) for each in (sound, strange, other)] == ["ready", "quarantined", "quarantined"]
    told = Event.objects.get(to_version=strange, kind="registry.version.quarantined")
    assert (told.actor, told.cause) == ("inspection", "inspection")
    assert "not its own" in told.reason
    assert not inspection.waits()


@pytest.mark.requirement("R01")
def test_a_file_that_ends_the_process_is_turned_away_and_the_next_is_read(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = receive(fleet, delivery(), delivery())
    answer, asked = inspection._line, []

    def dying(process: Any) -> bytes:
        asked.append(process)
        if len(asked) == 1:
            process.kill()
        return answer(process)

    monkeypatch.setattr(inspection, "_line", dying)
    found = inspect()
    assert (found.admitted, set(found.turned_away)) == (1, {first.pk})
    assert "ended the process" in found.turned_away[first.pk]
    assert state_of(second) == "ready"
    assert asked[0].pid != asked[1].pid


def test_a_file_that_stalls_the_process_is_turned_away(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "READING_SECONDS", 0.0)
    [version] = receive(fleet, delivery())
    assert set(inspect().turned_away) == {version.pk}


def test_a_damaged_artifact_is_turned_away(fleet: Fleet, artifact_folder: Path) -> None:
    [version] = receive(fleet, delivery())
    [path] = [each for each in artifact_folder.rglob("*") if each.is_file()]
    path.write_bytes(b"x" * version.artifact_size)
    assert set(inspect().turned_away) == {version.pk}


class Boom:
    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (open, (self.canary, "w"))


def skops_with_a_pickle(canary: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "schema.json", json.dumps({"__loader__": "JoblibNode", "__module__": "os", "__class__": "system"})
        )
        archive.writestr("1.npy", pickle.dumps(Boom(canary)))
    return buffer.getvalue()


@pytest.mark.requirement("R01", "R09")
def test_nothing_that_a_hostile_skops_file_names_is_executed(fleet: Fleet, tmp_path: Path) -> None:
    Fleet.objects.update(kind="regression")
    fleet.refresh_from_db()
    canary = tmp_path / "canary"
    said = {"format": "ridge-skops-1"}
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit([[0.0], [1.0]], [0.0, 1.0])
    content = {"format": "ridge-skops-1", "estimator": pipeline, "feature_names": ["x"], "calendar": False}
    strange = skops.io.dumps({**content, "estimator": os.system})
    hostile, foreign, sound = receive(
        fleet,
        Delivery(entity="bread", said=said, forecaster=skops_with_a_pickle(str(canary))),
        Delivery(entity="bread", said=said, forecaster=strange),
        Delivery(entity="bread", said=said, forecaster=skops.io.dumps(content)),
    )
    found = inspect()
    assert set(found.turned_away) == {hostile.pk, foreign.pk}
    assert not canary.exists()
    assert state_of(sound) == "ready"


def test_the_reading_process_sees_no_variable_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SECRET_KEY", "canary")
    process = inspection._start()
    try:
        environment = Path(f"/proc/{process.pid}/environ")
        assert b"canary" not in environment.read_bytes()
    finally:
        process.kill()
        process.communicate()


def test_the_memory_of_the_reading_process_is_bounded(fleet: Fleet) -> None:
    script = "from training import reading; reading._limit_memory(); bytearray(reading.MEMORY_BYTES)"
    import subprocess
    import sys

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True)
    assert "MemoryError" in ended.stderr


def test_the_look_ends_when_its_seconds_are_over(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "AT_ONCE", 1)
    receive(fleet, delivery(), delivery(), delivery())
    assert inspection.inspect(now=lambda: NOW, seconds=0.0).admitted == 1
    assert inspect().admitted == 2


def test_a_second_inspection_at_the_same_time_leaves_the_first_alone(fleet: Fleet) -> None:
    from registry import locks

    receive(fleet, delivery())
    with locks.lease("inspection", seconds=30):
        assert inspect().admitted == 0
    assert inspect().admitted == 1


def test_an_admitted_version_serves_its_forecasts(fleet: Fleet) -> None:
    from training import forecasting

    [version] = receive(fleet, delivery())
    inspect()
    version.refresh_from_db()
    lifecycle.promote_by_hand(
        registered_model=version.registered_model, version=version, actor="ada", reason="Try.", at=NOW
    )
    assert forecasting.load(version).dump() == forecaster()
