"""Whoever follows the pointer finds a complete folder, also while the writer is killed again and again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from registry import export as export_flow
from registry.export import Job
from registry.models import RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.registry import exporting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]
KILLS = 8
# Promotes one version after the other and exports each, as fast as it can, until it is killed. One process that has
# loaded everything makes one writer after the other, so that what is killed costs no start.
WRITER = """
import os, sys, time, django
django.setup()
from pathlib import Path
from registry import export, lifecycle, timestamps
from registry.export import Job
from registry.models import RegisteredModel
def write():
    model = RegisteredModel.objects.get()
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
print("ready", flush=True)
for line in sys.stdin:
    writer = os.fork()
    if not writer:
        write()
    print(writer, flush=True)
    os.waitpid(writer, 0)
    print("gone", flush=True)
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


def kill_one(writers: subprocess.Popen[str], *, after: float) -> None:
    """Have a writer made, and kill it."""
    assert writers.stdin is not None and writers.stdout is not None
    writers.stdin.write("next\n")
    writers.stdin.flush()
    writer = int(writers.stdout.readline())
    time.sleep(after)  # the moment of the kill is the test
    os.kill(writer, signal.SIGKILL)
    assert writers.stdout.readline() == "gone\n"


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
        with exporting.process(WRITER, str(root), artifacts=artifact_folder) as writers:
            for _ in range(KILLS):
                kill_one(writers, after=moments.uniform(0.05, 2.5))
                assert not reader.faults
    finally:
        reader.stop.set()
        thread.join(30)
    assert reader.faults == []
    assert len(set(reader.seen)) > 2 and len(reader.seen) > KILLS
    export_flow.export(model.pk, Job(root=root, at=NOW))
    assert exporting.read(folder)["id"] == str(RegisteredModel.objects.get().champion_id)
