"""Versions from elsewhere become ready once their trainer has read them; whatever a file does, it does to a child."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import skops.io
from pytest_django import Settings
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry import bundle, lifecycle, limits, ticks
from registry.exchange import intake
from registry.exchange.deliveries import Delivery
from registry.models import Event, Fleet, ModelVersion
from tests import factories
from tests.deliveries import NAIVE, delivery, forecaster, packed
from tests.factories import NOW
from training import absences, attempts, forecasting, inspection, readers, reading
from training.reading import Outcome
from training.trainers import table
from training.trainers.base import ForecasterUnreadable

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


@pytest.fixture(autouse=True)
def _all_trainers_are_asked() -> None:
    absences.forget()


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


MARK = 666.0


def harm(monkeypatch: pytest.MonkeyPatch, deed: signal.Signals) -> list[int]:
    """Send a signal to each process that is given a forecaster with the mark to read; return the processes."""
    harmed: list[int] = []
    ask = readers._ask

    def asked(process: Any, said: bytes, meanwhile: Any) -> Any:
        if str(MARK).encode() in _forecaster_in(said):
            harmed.append(process.pid)
            os.kill(process.pid, deed)
        return ask(process, said, meanwhile)

    monkeypatch.setattr(readers, "_ask", asked)
    return harmed


def _forecaster_in(said: bytes) -> bytes:
    try:
        return bundle.forecaster_of(said.partition(b"\n")[2], limits=limits.stored())
    except bundle.BundleInvalid:
        return b""


def set_to(settings: Settings, **values: float) -> None:
    settings.PERENNIAL_TRAINING = {**settings.PERENNIAL_TRAINING, **values}


def at(seconds: float) -> Callable[[], datetime]:
    return lambda: NOW + timedelta(seconds=seconds)


def tries(version: ModelVersion) -> list[str]:
    return list(
        Event.objects.filter(to_version=version, kind=attempts.FAILED).order_by("id").values_list("reason", flat=True)
    )


@pytest.mark.requirement("R01")
def test_a_file_that_ends_the_process_is_tried_again_and_the_next_is_read(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = receive(fleet, naive(mean=MARK), delivery())
    with monkeypatch.context() as broken:
        harm(broken, signal.SIGKILL)
        found = inspect()
    assert (found.admitted, found.turned_away, set(found.waiting)) == (1, {}, {first.pk})
    assert "ended the process" in found.waiting[first.pk]
    assert (state_of(first), state_of(second)) == ("pending", "ready")
    [told] = tries(first)
    assert "try 1 of 3" in told
    event = Event.objects.get(kind=attempts.FAILED)
    assert (event.actor, event.cause, event.registered_model) == ("inspection", "inspection", first.registered_model)
    assert inspection.inspect(now=at(59)).admitted == 0, "it is not due yet"
    assert inspection.inspect(now=at(61)).admitted == 1
    assert state_of(first) == "ready"


def test_a_death_that_repeats_is_turned_away_and_read_again_when_it_is_released(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    [version] = receive(fleet, naive(mean=MARK))
    harmed = harm(monkeypatch, signal.SIGKILL)
    for seconds in (0, 61, 61 + 119):
        assert inspection.inspect(now=at(seconds)).turned_away == {}
    assert len(tries(version)) == 2, "the third is due after two minutes more"
    found = inspection.inspect(now=at(61 + 121))
    assert "could not be read in 3 tries" in found.turned_away[version.pk]
    assert (state_of(version), len(harmed), len(set(harmed))) == ("quarantined", 3, 3)
    event = Event.objects.get(to_version=version, kind="registry.version.quarantined")
    assert (event.cause, "3 tries" in event.reason) == ("unread", True)
    assert lifecycle.release([version.pk], actor="ada", reason="Try.", at=at(400)()).changed == {version.pk}
    assert state_of(version) == "pending", "nobody has read it"
    assert "try 1 of 3" in inspection.inspect(now=at(401)).waiting[version.pk]


def test_a_file_that_stalls_has_a_clock_of_its_own_and_what_is_known_is_recorded_meanwhile(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    sound, stalling = receive(fleet, delivery(), naive(mean=MARK))
    set_to(settings, inspect_reading_seconds=1.0)
    harm(monkeypatch, signal.SIGSTOP)
    seen: list[str] = []
    try_again = inspection._Look._try_again

    def watched(self: Any, *args: Any, **values: Any) -> None:
        seen.append(state_of(sound))
        try_again(self, *args, **values)

    monkeypatch.setattr(inspection._Look, "_try_again", watched)
    found = inspect()
    assert (set(found.waiting), found.turned_away) == ({stalling.pk}, {})
    assert "longer than 1 s" in found.waiting[stalling.pk]
    assert seen == ["ready"]


def test_neither_memory_that_runs_out_nor_an_error_of_this_code_is_a_refusal() -> None:
    def out_of_memory(data: bytes) -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise ForecasterUnreadable("told in other words") from error

    def refuse(data: bytes) -> None:
        raise ForecasterUnreadable("not its own")

    def fail(data: bytes) -> None:
        raise AttributeError("of this code")

    cases = ((out_of_memory, Outcome.UNREAD), (refuse, Outcome.REFUSED), (fail, Outcome.UNREAD), (len, Outcome.READ))
    for load, outcome in cases:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(table.find("seasonal_naive"), "load", load, raising=False)
            answer = reading.read(packed(), trainer="seasonal_naive", limits=limits.stored())
        assert answer.outcome == outcome


def test_the_way_out_is_told_to_whoever_sends_it_unless_it_is_one_for_what_serves() -> None:
    class Sender(ForecasterUnreadable):
        next_step = ForecasterUnreadable.next_step
        tells_sender = True

    for error, told in ((Sender("It is wrong."), True), (ForecasterUnreadable("It is wrong."), False)):
        why = reading._failed(error).why
        assert why.startswith("It is wrong.")
        assert (error.next_step in why) is told


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, Outcome.READ),
        (ForecasterUnreadable("2 x 2 values"), Outcome.REFUSED),
        (MemoryError(), Outcome.UNREAD),
        (ValueError("of this code"), Outcome.UNREAD),
    ],
    ids=["answers", "refused", "memory", "error"],
)
def test_what_can_be_tried_out_is_tried_before_it_is_ready(
    raised: Exception | None, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    class Loaded:
        def try_out(self) -> None:
            tried.append(self)
            if raised is not None:
                raise raised

    monkeypatch.setattr(table.find("seasonal_naive"), "load", lambda data: Loaded(), raising=False)
    assert reading.read(packed(), trainer="seasonal_naive", limits=limits.stored()).outcome == outcome
    assert len(tried) == 1


def test_a_trainer_that_is_not_here_leaves_its_versions_waiting_and_the_others_are_read(fleet: Fleet) -> None:
    strange, sound = receive(fleet, delivery(), delivery())
    ModelVersion.objects.filter(pk=strange.pk).update(trainer="not_installed")
    found = inspect()
    assert (found.admitted, found.turned_away, set(found.waiting)) == (1, {}, {strange.pk})
    assert (state_of(strange), state_of(sound), tries(strange)) == ("pending", "ready", [])


def test_a_key_that_is_unknown_here_leaves_its_version_waiting(fleet: Fleet) -> None:
    strange, sound = receive(fleet, delivery(), delivery())
    ModelVersion.objects.filter(pk=strange.pk).update(artifact_key_id="elsewhere")
    found = inspect()
    assert (found.admitted, set(found.waiting), state_of(sound)) == (1, {strange.pk}, "ready")


# -- the tenants share the time


def tenant(name: str, versions: int, **values: Any) -> list[ModelVersion]:
    owner = factories.fleet(tenant=name, name="bakery")
    factories.registered_model(fleet=owner, entity_key="bread")
    return receive(owner, *(naive(**values) for _ in range(versions)))


def test_tenants_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "AT_ONCE", 2)
    tenant("acme", 6)
    tenant("globex", 2)
    order: list[str] = []
    decide = inspection._Look._decide

    def watched(self: Any, version: ModelVersion, tried: Any) -> None:
        order.append(version.registered_model.fleet.tenant)
        decide(self, version, tried)

    monkeypatch.setattr(inspection._Look, "_decide", watched)
    assert inspect().admitted == 8
    assert sorted(order[:3]) != ["acme"] * 3
    assert set(order[:2]) == {"acme", "globex"}


def test_files_of_one_tenant_that_stall_do_not_keep_those_of_another_waiting(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    tenant("acme", 2, mean=MARK)
    set_to(settings, inspect_reading_seconds=0.7)
    harm(monkeypatch, signal.SIGSTOP)
    first = inspection.inspect(now=at(0), seconds=0.1)
    assert len(first.waiting) == 1, "one stalled, and the time was over"
    [sound] = tenant("globex", 1)
    # The first of acme's is due again by then, and older.
    assert inspection.inspect(now=at(100), seconds=0.1).admitted == 1
    assert state_of(sound) == "ready"
    assert Event.objects.filter(kind=attempts.FAILED).count() == 1


def stalled(versions: list[ModelVersion], *, times: int) -> None:
    for version in versions:
        for told in range(times):
            attempts.record(version, times=told, actor="inspection", reason="It stalled.", at=NOW)


def order_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the tenants whose versions are decided from now on, in that order."""
    order: list[str] = []
    decide = inspection._Look._decide

    def watched(self: Any, version: ModelVersion, tried: Any) -> None:
        order.append(version.registered_model.fleet.tenant)
        decide(self, version, tried)

    monkeypatch.setattr(inspection._Look, "_decide", watched)
    return order


def test_what_is_not_due_costs_its_tenant_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_rest = tenant("acme", 3)
    stalled([first], times=1)
    tenant("globex", 2)
    order = order_of(monkeypatch)
    found = inspection.inspect(now=at(1), seconds=100.0)
    assert (found.admitted, set(found.waiting)) == (4, {first.pk})
    assert set(order[:2]) == {"acme", "globex"}


def test_old_tries_cost_a_tenant_at_most_half_of_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    stalled(tenant("acme", 4), times=2)
    look = inspection._Look(readers.Reader(seconds=20.0, limits=limits.stored()), now=at(1000), seconds=10.0)
    assert [len(queue) for queue in look._queues().values()] == [4]
    assert look._spent == {"acme": 5.0}


# -- what says nothing about a forecaster does not condemn it


@pytest.mark.parametrize("gone", [False, True])
def test_what_is_damaged_or_missing_is_read_once_it_is_restored_and_released(
    fleet: Fleet, artifact_folder: Path, gone: bool
) -> None:
    [version] = receive(fleet, delivery())
    [path] = [each for each in (artifact_folder / "artifacts").rglob("*") if each.is_file()]
    content = path.read_bytes()
    path.chmod(0o600)
    path.unlink() if gone else path.write_bytes(b"x" * version.artifact_size)
    assert set(inspect().turned_away) == {version.pk}
    assert Event.objects.get(to_version=version, kind="registry.version.quarantined").cause == "damaged"
    assert release(version) == {}, "its bytes do not hold"
    path.write_bytes(content)
    assert release(version) == {version.pk: "pending"}, "nobody has read it"
    assert (inspect().admitted, state_of(version)) == (1, "ready")


def release(version: ModelVersion) -> dict[UUID, str]:
    found = lifecycle.release([version.pk], actor="ada", reason="The file is back.", at=NOW)
    return {each: state_of(ModelVersion.objects.get(pk=each)) for each in found.changed}


def test_what_was_read_once_is_ready_as_soon_as_it_is_released(fleet: Fleet) -> None:
    [version] = receive(fleet, delivery())
    inspect()
    lifecycle.quarantine([version.pk], actor="ada", reason="Look.", at=NOW)
    assert release(version) == {version.pk: "ready"}


def test_what_a_trainer_refused_is_never_released(fleet: Fleet) -> None:
    refused, _sound = receive(fleet, naive(low="low", grid={}), delivery())
    assert set(inspect().turned_away) == {refused.pk}
    assert release(refused) == {}


def test_neither_restoring_makes_ready_what_nobody_has_read(fleet: Fleet) -> None:
    [version] = receive(fleet, delivery())
    ModelVersion.objects.update(state="archived")  # forgotten as quarantined, and brought back from a backup
    assert lifecycle.restore([version.pk], actor="ada", reason="Try.", at=NOW).changed == {version.pk}
    assert state_of(version) == "pending"


def test_a_signature_that_does_not_hold_leaves_its_version_waiting_and_counts_no_try(fleet: Fleet) -> None:
    strange, _sound = receive(fleet, delivery(), delivery())
    ModelVersion.objects.filter(pk=strange.pk).update(artifact_signature="0" * 64)
    found = inspect()
    assert (found.admitted, found.turned_away, set(found.waiting)) == (1, {}, {strange.pk})
    assert "signature" in found.waiting[strange.pk]
    assert (state_of(strange), tries(strange)) == ("pending", [])


def test_a_version_larger_than_is_allowed_now_waits_and_counts_no_try(fleet: Fleet, settings: Settings) -> None:
    [version] = receive(fleet, delivery())
    with_all = settings.PERENNIAL_REGISTRY
    settings.PERENNIAL_REGISTRY = {**with_all, "max_artifact_bytes": 100}
    found = inspect()
    assert (found.turned_away, set(found.waiting), tries(version)) == ({}, {version.pk}, [])
    settings.PERENNIAL_REGISTRY = with_all
    assert inspect().admitted == 1


# -- one trainer that does not start leaves the others be


@pytest.mark.parametrize("raised", [ValueError("numpy.dtype size changed"), AttributeError("it"), MemoryError("none")])
def test_whatever_a_trainer_raises_at_import_it_is_absent(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        raise raised

    monkeypatch.setattr(table, "find", find)
    answer = reading.prepare("ridge")
    assert (answer.outcome, answer.why) == (Outcome.ABSENT, f"{type(raised).__name__}: {raised}")


def broken(monkeypatch: pytest.MonkeyPatch, *trainers: str) -> list[str]:
    """End each process that is asked for one of these trainers; return who was asked for."""
    asked: list[str] = []
    ask = readers._ask

    def listened(process: Any, said: bytes, meanwhile: Any) -> Any:
        frame = json.loads(said.partition(b"\n")[0])
        if "size" not in frame:
            asked.append(frame["trainer"])
            if frame["trainer"] in trainers:
                said = b"this is no frame\n"
        return ask(process, said, meanwhile)

    monkeypatch.setattr(readers, "_ask", listened)
    return asked


def test_a_trainer_that_ends_its_process_is_put_aside_and_the_others_read(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _sound = receive(fleet, delivery(), delivery(), delivery())
    ModelVersion.objects.filter(pk__in=[first.pk, second.pk]).update(trainer="ridge")
    asked = broken(monkeypatch, "ridge")
    found = inspect()
    assert (found.admitted, set(found.waiting), found.turned_away) == (1, {first.pk, second.pk}, {})
    assert "JSONDecodeError" in found.waiting[first.pk], "what the process said last"
    assert asked == ["ridge", "seasonal_naive"]
    assert tries(first) == []


def test_where_no_trainer_starts_the_look_fails(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    receive(fleet, delivery(), delivery())
    broken(monkeypatch, "seasonal_naive")
    with pytest.raises(readers.ReaderUnavailable, match="JSONDecodeError"):
        inspect()


def test_an_absent_trainer_is_asked_for_once_a_minute_and_before_any_bytes_are_loaded(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "AT_ONCE", 2)
    *strange, sound = receive(fleet, *(delivery() for _ in range(6)))
    ModelVersion.objects.filter(pk__in=[each.pk for each in strange]).update(trainer="not_installed")
    loaded: list[UUID] = []
    content_of = forecasting.content_of

    def watched(version: ModelVersion) -> bytes:
        loaded.append(version.pk)
        return content_of(version)

    monkeypatch.setattr(forecasting, "content_of", watched)
    asked = broken(monkeypatch)
    found = inspect()
    assert (found.admitted, set(found.waiting)) == (1, {each.pk for each in strange})
    assert (loaded, asked) == ([sound.pk], ["not_installed", "seasonal_naive"])
    assert set(inspection.inspect(now=at(59)).waiting) == {each.pk for each in strange}
    assert asked == ["not_installed", "seasonal_naive"], "it was absent a moment ago"
    inspection.inspect(now=at(61))
    assert asked[2:] == ["not_installed"]


def test_looking_for_what_can_be_read_ends_with_the_seconds(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "AT_ONCE", 1)
    versions = receive(fleet, delivery(), delivery(), delivery())
    for version in versions:
        attempts.record(version, times=0, actor="inspection", reason="It stalled.", at=NOW)
    assert len(inspection.inspect(now=at(1), seconds=0.0).waiting) == 1
    assert len(inspection.inspect(now=at(1)).waiting) == 3


# -- tries are counted once, whoever counts them


def test_one_try_of_two_processes_is_counted_once(fleet: Fleet) -> None:
    [version] = receive(fleet, delivery())
    told: dict[str, Any] = {"actor": "inspection", "reason": "It stalled.", "at": NOW}
    assert [attempts.record(version, times=0, **told) for _ in range(2)] == [True, False]
    assert attempts.record(version, times=1, **told)
    lifecycle.admit([version.pk], actor="inspection", at=NOW)
    assert not attempts.record(version, times=2, **told), "the other process has read it"
    assert len(tries(version)) == 2


def test_a_read_is_noted_while_it_lasts(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    [version] = receive(fleet, delivery())
    seen: list[dict[UUID, attempts.Begun]] = []
    ask = readers._ask

    def listened(process: Any, said: bytes, meanwhile: Any) -> Any:
        seen.append(attempts.unfinished())
        return ask(process, said, meanwhile)

    monkeypatch.setattr(readers, "_ask", listened)
    inspect()
    assert seen == [{}, {version.pk: attempts.Begun(times=0, at=NOW)}], "not while the trainer is made ready"
    assert attempts.unfinished() == {}


def test_a_read_that_took_the_whole_worker_with_it_counts_as_a_try(fleet: Fleet) -> None:
    first, second = receive(fleet, delivery(), delivery())
    killed_in_reading(first)
    assert set(inspection.inspect(now=at(5)).waiting) == {first.pk}, "by its clock it might still be read"
    assert (state_of(second), tries(first)) == ("ready", [])
    assert set(inspection.inspect(now=at(60)).waiting) == {first.pk}
    assert [told.split(":")[0] for told in tries(first)] == ["It could not be read, try 1 of 3"]
    assert attempts.unfinished() == {}
    assert inspection.inspect(now=at(121)).admitted == 1


def test_a_read_that_takes_every_worker_with_it_is_turned_away(fleet: Fleet) -> None:
    [version] = receive(fleet, delivery())
    for times in range(3):
        killed_in_reading(version, times=times)
        found = inspection.inspect(now=at(40))
    assert "3 tries" in found.turned_away[version.pk]


def test_a_note_of_what_was_decided_since_is_dropped(fleet: Fleet) -> None:
    [version] = receive(fleet, delivery())
    inspect()
    killed_in_reading(version)
    assert inspection.inspect(now=at(40)).waiting == {}
    assert (state_of(version), tries(version), attempts.unfinished()) == ("ready", [], {})


def killed_in_reading(version: ModelVersion, *, times: int = 0) -> None:
    """Leave what a process leaves that is killed while it reads a version."""
    ticks.note(f"{attempts._BEGUN}{version.pk}", times, at=NOW)


def test_the_reading_process_dies_before_the_worker_that_waits_for_it() -> None:
    process = readers._start()
    try:
        assert readers._ask(process, b'{"trainer": "seasonal_naive"}\n', lambda: None) is not None
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"
    finally:
        process.kill()
        process.communicate()


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


def test_an_error_of_this_code_is_tried_again_and_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    [version] = receive(fleet, naive(mean=MARK))
    ask = readers._ask

    def failed(process: Any, said: bytes, meanwhile: Any) -> Any:
        asked = ask(process, said, meanwhile)
        return reading._failed(_raised(IndexError("of this code"))) if b'"size"' in said else asked

    with monkeypatch.context() as broken:
        broken.setattr(readers, "_ask", failed)
        assert set(inspect().waiting) == {version.pk}
    [told] = tries(version)
    assert "IndexError at test_inspection.py:" in told
    assert "of this code" in told
    assert inspection.inspect(now=at(61)).admitted == 1


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as raised:
        return raised


@pytest.mark.requirement("R01")
def test_feature_names_that_do_not_fit_the_pipeline_are_refused_with_the_way_out(fleet: Fleet) -> None:
    Fleet.objects.update(kind="regression")
    fleet.refresh_from_db()
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0])
    content = {"format": "sklearn-skops-1", "estimator": pipeline, "calendar": False}
    said = {"format": "sklearn-skops-1"}
    wrong, right = receive(
        fleet,
        Delivery(entity="bread", said=said, forecaster=skops.io.dumps({**content, "feature_names": ["x"]})),
        Delivery(entity="bread", said=said, forecaster=skops.io.dumps({**content, "feature_names": ["x", "y"]})),
    )
    found = inspect()
    assert (set(found.turned_away), state_of(right)) == ({wrong.pk}, "ready")
    assert "fitted on 2 columns" in found.turned_away[wrong.pk]
    assert "register it again" in found.turned_away[wrong.pk]
    right.refresh_from_db()
    assert (right.trainer, right.artifact_format) == ("sklearn", "sklearn-skops-1")


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
    process = readers._start()
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


def test_the_look_ends_when_its_seconds_are_over(fleet: Fleet) -> None:
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
