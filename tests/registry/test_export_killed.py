"""Whoever follows the pointer finds a complete folder, also while the writer is killed again and again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

from local import state
from registry import export as export_flow
from registry.export import Job
from registry.models import RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry import exporting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]
KILLS = 8
# Promotes one version after the other and exports each, as fast as it can, until it is killed.
WRITER = """
import sys, time, django
django.setup()
from pathlib import Path
from registry import export, lifecycle, timestamps
from registry.export import Job
from registry.models import RegisteredModel
model = RegisteredModel.objects.get()
print("ready", flush=True)
while True:
    for version in model.versions.order_by("number"):
        model.refresh_from_db()
        if model.champion_id != version.pk:
            now = timestamps.utc_now()
            lifecycle.promote_by_hand(registered_model=model, version=version, actor="t", reason="next", at=now)
        export.export(model.pk, Job(root=Path(sys.argv[1]), at=timestamps.utc_now()))
    # Longer than the grace: now the folders that the pointer does not name go, to be written anew.
    time.sleep(1.1)
    export.export(model.pk, Job(root=Path(sys.argv[1]), at=timestamps.utc_now()))
"""


class Reader:
    """Follows the pointer all the time, and keeps what it saw."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[str] = []
        self.faults: list[BaseException] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.seen.append(exporting.read(self.folder)["version"])
                for folder in self.folder.glob("2*"):
                    whole(folder)
            except BaseException as fault:
                self.faults.append(fault)
                return


def whole(folder: Path) -> None:
    """Look at a folder that no pointer names: complete, or gone meanwhile."""
    try:
        look_into(folder)
    except FileNotFoundError:
        # It may have been removed just then, and written anew since.
        if folder.exists():
            look_into(folder)


def look_into(folder: Path) -> None:
    listed = json.loads((folder / "files.json").read_bytes())["files"]
    assert all((folder / name).stat().st_size for name in listed), folder


@contextmanager
def writer(root: Path, artifacts: Path) -> Iterator[subprocess.Popen[str]]:
    database = connection.settings_dict
    own = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"postgres://{database['USER']}@/{quote(database['HOST'])}/{database['NAME']}",
        "PERENNIAL_REGISTRY_ARTIFACT_URL": artifacts.as_uri(),
        "PERENNIAL_REGISTRY_SIGNING_KEYS": "test:only-for-tests",
        "PERENNIAL_REGISTRY_EXPORT_GRACE_SECONDS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)], cwd=state.PROJECT, env={**os.environ, **own}, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.requirement("R07")
def test_no_kill_leaves_the_pointer_before_an_incomplete_folder(tmp_path: Path, artifact_folder: Path) -> None:
    model = factories.registered_model(fleet=exporting.fleet(), entity_key="bread")
    for number in range(4):
        exporting.promoted(model, number=number, at=NOW + timedelta(hours=number))
    root = tmp_path / "exports"
    folder = export_flow.export(model.pk, Job(root=root, at=NOW)).folder
    reader = Reader(folder)
    thread = threading.Thread(target=reader.run)
    thread.start()
    moments = random.Random(7)
    try:
        for _ in range(KILLS):
            with writer(root, artifact_folder):
                time.sleep(moments.uniform(0.05, 2.5))  # the moment of the kill is the test
            assert not reader.faults
    finally:
        reader.stop.set()
        thread.join(30)
    assert reader.faults == []
    assert len(set(reader.seen)) > 2 and len(reader.seen) > KILLS
    export_flow.export(model.pk, Job(root=root, at=NOW))
    assert exporting.read(folder)["id"] == str(RegisteredModel.objects.get().champion_id)
