"""Processes die and disks fill up while artifacts are stored: no row ever names a file that is not whole.

One process that has loaded everything forks a worker for each round; the rounds are short, and the kills hit anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection

from registry import artifacts, store
from registry.models import ModelVersion, RegisteredModel
from tests import factories

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork and kill"),
]
ROUNDS = 24
SECOND = factories.NOW

NURSERY = """
import itertools, os, random, signal, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings_test"
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
settings.PERENNIAL_REGISTRY["artifact_url"] = sys.argv[2]
import django
django.setup()
from datetime import datetime
from registry import errors, lifecycle
signal.signal(signal.SIGCHLD, signal.SIG_IGN)

def register(models, contents, at):
    stored = lifecycle.store_artifacts(contents, format="test-1")
    items = [
        lifecycle.Registration(registered_model_id=model, stored=each, trainer="seasonal_naive")
        for model, each in zip(models, stored, strict=True)
    ]
    lifecycle.register(items, actor="child", cause="test", at=at)

def for_ever(seed, models, at):
    chance = random.Random(seed)
    for turn in itertools.count():
        # Objects of their own, containers, and now and then bytes that are there already.
        sizes = [chance.choice([100, 200_000, 3_000_000]) for _ in models]
        contents = [chance.choice([os.urandom(size), b"again" * 1000]) for size in sizes]
        register(models, contents, at)
        os.write(1, b"registered\\n")

def a_share(seed, models, at):
    chance = random.Random(seed)
    for turn in range(25):
        chosen = [chance.choice(models) for _ in range(5)]
        # Alone, or with the others of the call in one container.
        if turn % 2:
            register(chosen, [f"{seed} {turn} {place}".encode() for place in range(5)], at)
        else:
            for place, model in enumerate(chosen):
                register([model], [f"{seed} {turn} {place}".encode()], at)
    os.write(1, b"done\\n")

def full(limit, models, at):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for sizes in ([5_000_000], [400_000] * 5, [100, 5_000_000]):
        try:
            register(models[: len(sizes)], [os.urandom(size) for size in sizes], at)
            told = "registered"
        except errors.PerennialError as error:
            told = f"{error.code} {error.sentence}"
        os.write(1, (told + "\\n").encode())

WORK = {"for ever": for_ever, "a share": a_share, "full": full}
os.write(1, b"ready\\n")
for line in sys.stdin:
    name, number, models, at = line.strip().split(";")
    child = os.fork()
    if child == 0:
        os.close(0)
        try:
            WORK[name](int(number), [int(each) for each in models.split(",")], datetime.fromisoformat(at))
        except BaseException as error:
            os.write(1, f"failed {error!r}\\n".encode())
            os._exit(1)
        os._exit(0)
    os.write(1, f"started {child}\\n".encode())
"""


@dataclass
class Nursery:
    """The process that forks, and what it and its children say."""

    process: subprocess.Popen[str]
    unread: list[str] = field(default_factory=list)

    def start(self, work: str, number: int, models: Sequence[RegisteredModel]) -> int:
        """Fork a worker and return its pid."""
        assert self.process.stdin is not None
        ids = ",".join(str(model.pk) for model in models)
        self.process.stdin.write(f"{work};{number};{ids};{SECOND.isoformat()}\n")
        self.process.stdin.flush()
        return int(self.until("started").split()[1])

    def until(self, word: str) -> str:
        """Return the next line that begins so; the others wait until they are asked for."""
        found = next((line for line in self.unread if line.startswith(word)), None)
        if found is not None:
            self.unread.remove(found)
            return found
        while not (line := self.say()).startswith(word):
            self.unread.append(line)
        return line

    def say(self) -> str:
        """Return the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line and not line.startswith("failed"), line or "it ended"
        return line


@pytest.fixture
def nursery(artifact_folder: Path) -> Iterator[Nursery]:
    name = str(connection.settings_dict["NAME"])
    command = [sys.executable, "-c", NURSERY, name, artifact_folder.as_uri()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Nursery(process=process)
        made.until("ready")
        yield made


def wait_for(pid: int) -> None:
    """Wait until a process, which is not our child, is gone."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
    raise AssertionError(f"{pid} lives on")


def check_rows(seen: set[UUID]) -> None:
    """Every row that is new since the last look has its bytes, whole and signed."""
    for version in ModelVersion.objects.select_related("registered_model__fleet").exclude(pk__in=seen):
        assert hashlib.sha256(artifacts.load(version)).hexdigest() == version.artifact_digest
        seen.add(version.pk)


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name.endswith(".tmp")]


@pytest.mark.timeout(180)
@pytest.mark.requirement("R07")
def test_a_process_killed_at_any_point_leaves_no_row_without_its_file(nursery: Nursery, artifact_folder: Path) -> None:
    chance = random.Random(20260301)
    models = [factories.registered_model() for _ in range(4)]
    seen: set[UUID] = set()
    for number in range(ROUNDS):
        nursery.unread.clear()
        pid = nursery.start("for ever", number, models)
        if number % 2:
            nursery.until("registered")
        # The point of the test is that nobody chooses the moment.
        time.sleep(chance.uniform(0.0, 0.15))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for(pid)
        check_rows(seen)
    assert len(seen) >= ROUNDS
    opened = store.open_store(artifact_folder.as_uri())
    for entry in opened.entries("artifacts/"):
        whole = hashlib.sha256(opened.get(entry.key)).hexdigest()
        assert entry.key == artifacts.key_of(whole), "what has its final name is whole"
    left = len(half_written(artifact_folder))
    for since, expected in ((timedelta(hours=-1), 0), (timedelta(hours=1), left)):
        old = datetime.now(UTC) + since
        assert sum(opened.sweep_temporary(each, older_than=old) for each in opened.folders()) == expected
    assert half_written(artifact_folder) == []


@pytest.mark.timeout(60)
def test_a_full_disk_registers_nothing_and_leaves_no_partial_file(nursery: Nursery, artifact_folder: Path) -> None:
    models = [factories.registered_model() for _ in range(5)]
    nursery.start("full", 1_000_000, models)
    for _ in range(3):
        code, _, sentence = nursery.say().partition(" ")
        assert code == "store_unavailable" and "File too large" in sentence
    assert not ModelVersion.objects.exists()
    left = [path for path in (artifact_folder / "artifacts").rglob("*") if path.is_file()]
    assert all(path.stat().st_size == 100 for path in left), "only what was whole before the disk was full"
    assert half_written(artifact_folder) == []


@pytest.mark.timeout(120)
@pytest.mark.requirement("R02")
@pytest.mark.requirement("R26")
def test_a_thousand_registrations_of_one_second_from_eight_processes_are_all_distinct(nursery: Nursery) -> None:
    models = [factories.registered_model() for _ in range(10)]
    for number in range(8):
        nursery.start("a share", number, models)
    for _ in range(8):
        nursery.until("done")
    versions = list(
        ModelVersion.objects.select_related("registered_model__fleet").order_by("registered_model", "number")
    )
    assert len({version.pk for version in versions}) == len(versions) == 1000
    for _, group in groupby(versions, key=lambda version: version.registered_model_id):
        ours = list(group)
        assert [version.number for version in ours] == list(range(1, len(ours) + 1))
        labels = [version.label for version in ours]
        assert labels == sorted(set(labels))
        assert {version.created_at for version in ours} == {SECOND}
    assert len({artifacts.load(version) for version in versions}) == 1000
