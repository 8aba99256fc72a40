"""A writer that stood still wakes up to a changed registry: it puts nothing back and takes nothing away."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest

from registry import export as export_flow
from registry import lifecycle, timestamps
from registry.export import Job
from registry.export.folders import Folder
from registry.models import Export, ModelVersion, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry import exporting

pytestmark = pytest.mark.django_db(transaction=True)
# Exports the one model, and stands still once, at the function that it is told of, until somebody lets it go on.
STALLED = """
import importlib, os, signal, sys, django
django.setup()
from pathlib import Path
from django.db import connection
from registry import errors, export, timestamps
from registry.models import RegisteredModel
root, module, function = sys.argv[1:]
connection.settings_dict["OPTIONS"]["options"] += " -c idle_in_transaction_session_timeout=200"
where = importlib.import_module(module)
inner = getattr(where, function)
def stand_still(*args, **kwargs):
    setattr(where, function, inner)
    os.kill(os.getpid(), signal.SIGSTOP)
    return inner(*args, **kwargs)
setattr(where, function, stand_still)
model = RegisteredModel.objects.get()
print("ready", flush=True)
try:
    export.export(model.pk, export.Job(root=Path(root), at=timestamps.utc_now()))
    print("done")
except errors.PerennialError as error:
    print(error.code)
"""


@pytest.fixture
def model() -> RegisteredModel:
    return factories.registered_model(fleet=exporting.fleet(), entity_key="bread")


def stopped(process: subprocess.Popen[str]) -> None:
    """Wait until it stands still."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def goes_on(process: subprocess.Popen[str]) -> str:
    """Let it go on, and return what came of it."""
    process.send_signal(signal.SIGCONT)
    return process.communicate(timeout=60)[0].strip()


def export(model: RegisteredModel, root: Path) -> Path:
    return export_flow.export(model.pk, Job(root=root, at=timestamps.utc_now())).folder


def age(folder: Path, *names: str) -> None:
    """Make it look as if nothing had been written there for long."""
    for name in names:
        os.utime(folder / name, (time.time() - 3600,) * 2)


@pytest.mark.requirement("R07")
def test_a_writer_that_lost_its_lock_does_not_put_the_pointer_back(
    model: RegisteredModel, tmp_path: Path, artifact_folder: Path
) -> None:
    exporting.promoted(model)
    where = (str(tmp_path), "registry.export.pointer", "write")
    with exporting.process(STALLED, *where, artifacts=artifact_folder) as stalled:
        stopped(stalled)
        second = exporting.promoted(model, number=2, at=NOW + timedelta(days=1))
        folder = export(model, tmp_path)
        assert exporting.read(folder)["version"] == second.label
        assert goes_on(stalled) == "export_overtaken"
    assert exporting.read(folder)["version"] == second.label
    assert (folder / "production" / "latest").resolve().name == second.label
    assert Export.objects.get().version_id == second.pk
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.requirement("R07")
def test_a_writer_that_clears_up_late_leaves_the_folder_that_another_is_about_to_name(
    model: RegisteredModel, tmp_path: Path, artifact_folder: Path
) -> None:
    first = exporting.promoted(model)
    export(model, tmp_path)
    exporting.promoted(model, number=2, at=NOW + timedelta(days=1))
    folder = export(model, tmp_path)
    with exporting.process(STALLED, str(tmp_path), "registry.export", "_clear", artifacts=artifact_folder) as late:
        stopped(late)
        lifecycle.roll_back(registered_model=model, actor="ada", reason="drifts", at=NOW + timedelta(days=2))
        where = (str(tmp_path), "registry.export.pointer", "locked")
        with exporting.process(STALLED, *where, artifacts=artifact_folder) as writer:
            stopped(writer)
            age(folder, "current.json", first.label)
            assert goes_on(late) == "done"
            assert (folder / first.label).is_dir()
            assert goes_on(writer) == "done"
    assert exporting.read(folder)["version"] == first.label


def test_a_folder_that_was_just_written_stays_for_the_grace(model: RegisteredModel, tmp_path: Path) -> None:
    exporting.promoted(model)
    other, folder = exporting.version(model, number=2), export(model, tmp_path)
    newest = exporting.version(model, number=3)
    export_flow.export(model.pk, Job(root=tmp_path, at=timestamps.utc_now(), all_versions=True))
    age(folder, "current.json")
    export(model, tmp_path)
    assert {path.name for path in folder.glob("2*")} >= {other.label, newest.label}
    age(folder, other.label)
    export(model, tmp_path)
    assert (folder / newest.label).is_dir() and not (folder / other.label).exists()


def test_a_folder_that_went_meanwhile_is_written_again_before_it_is_named(
    model: RegisteredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = exporting.promoted(model)
    ensure = export_flow._ensure

    def ensured_in_vain(folder: Folder, made: ModelVersion, *, is_examined: bool) -> None:
        monkeypatch.setattr(export_flow, "_ensure", ensure)
        ensure(folder, made, is_examined=is_examined)
        folder.remove(made.label)

    monkeypatch.setattr(export_flow, "_ensure", ensured_in_vain)
    assert exporting.read(export(model, tmp_path))["version"] == version.label
