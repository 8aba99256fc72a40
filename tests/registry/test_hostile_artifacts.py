"""Hostile bytes and rows: refused with a code, in flat memory, and nothing in them is ever executed."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pytest_django import Settings

from registry import artifacts, errors, lifecycle
from registry.models import ModelVersion, RegisteredModel
from tests import deliveries, factories
from tests.registry import hostile_files
from training import forecasting

MIB = 1024**2
# What a file may cost: the harmless bound of a bundle twice (the frame, and its members), and a library's own needs.
MOST_MIB = 64
COLUMNS = (
    "artifact_digest",
    "artifact_size",
    "artifact_format",
    "artifact_key_id",
    "artifact_signature",
    "artifact_container",
    "artifact_offset",
)
# Without a container the offset means nothing.
MOVED = [some for count in range(1, 8) for some in itertools.combinations(COLUMNS, count) if some != COLUMNS[-1:]]
# Reads each file as a version's artifact is read, and says what became of it and of the memory.
READER = """
import json, os, re, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings_test"
import django
django.setup()
from registry import errors
from training import forecasting
from training.trainers import table

# Not `ru_maxrss`: that begins with what the process held which started this one, and never falls.
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

for name in table.TRAINERS:
    table.find(name)
for line in sys.stdin:
    asked = json.loads(line)
    content = Path(asked["path"]).read_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    try:
        forecasting.parse(content, trainer=asked["trainer"])
        code = "read"
    except errors.PerennialError as error:
        code = error.code
    except BaseException as error:
        code = f"escaped: {type(error).__name__}: {error}"
    print(json.dumps({"code": code, "grown": peak() - before}), flush=True)
"""


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process since an instant")
@pytest.mark.requirement("X02")
@pytest.mark.requirement("R09")
def test_hostile_files_are_refused_in_flat_memory_and_nothing_is_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    found: dict[str, tuple[str, int]] = {}
    command = [sys.executable, "-c", READER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        sound = [("sound", "seasonal_naive", deliveries.packed())]
        for name, trainer, content in itertools.chain(sound, hostile_files.corpus(canary)):
            path = tmp_path / "artifact"
            path.write_bytes(content)
            reader.stdin.write(json.dumps({"path": str(path), "trainer": trainer}) + "\n")
            reader.stdin.flush()
            answer = json.loads(reader.stdout.readline())
            found[name] = (answer["code"], answer["grown"])
    assert reader.returncode == 0
    assert found.pop("sound")[0] == "read", "the reader reads what is sound"
    assert len(found) > 100
    refusals = {"bundle_invalid", "forecaster_refused", "forecaster_unreadable", "kind_not_trusted"}
    assert {name: code for name, (code, _) in found.items() if code not in refusals} == {}
    assert {name: grown for name, (_, grown) in found.items() if grown > MOST_MIB} == {}
    assert not canary.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the canary is made by a path of another form")
def test_the_canary_would_appear(tmp_path: Path) -> None:
    """The crafted files do what they are made for, where somebody unpickles them."""
    canary = tmp_path / "canary"
    reckless = "import pickle, sys; pickle.load(sys.stdin.buffer)"
    for name, data in hostile_files.pickles(canary):
        if not name.startswith("pickle"):
            continue
        subprocess.run([sys.executable, "-c", reckless], input=data, check=True)
        assert canary.exists(), name
        canary.unlink()


@pytest.mark.django_db
@pytest.mark.requirement("X02")
@pytest.mark.parametrize("moved", MOVED, ids="+".join)
def test_columns_of_another_version_are_refused(moved: tuple[str, ...], settings: Settings) -> None:
    """Whoever can write to the database cannot make one version serve the bytes of another."""
    model = factories.registered_model()
    first = factories.version(registered_model=model, content=b"one")
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "signing_keys": "new:secret,test:only-for-tests"}
    stored = lifecycle.store_artifacts([b"before it", b"the second"], format="test-2")[1]
    item = lifecycle.Registration(registered_model_id=model.pk, stored=stored, trainer="seasonal_naive")
    [second] = lifecycle.register([item], actor="test", cause="manual", at=factories.NOW)
    assert all(getattr(first, name) != getattr(second, name) for name in COLUMNS)
    ModelVersion.objects.filter(pk=first.pk).update(**{name: getattr(second, name) for name in moved})
    tampered = ModelVersion.objects.select_related("registered_model__fleet").get(pk=first.pk)
    with pytest.raises(errors.Corrupted, match=str(first.pk)) as refused:
        artifacts.load(tampered)
    assert refused.value.code in {"artifact_corrupted", "artifact_missing", "signature_invalid"}
    assert artifacts.load(second) == b"the second"


@pytest.fixture
def champion() -> ModelVersion:
    made: RegisteredModel = factories.registered_model()
    return factories.champion(
        registered_model=made, content=deliveries.packed(forecaster=deliveries.forecaster(mean=5.0))
    )


@pytest.mark.django_db
@pytest.mark.requirement("X02")
def test_a_file_that_is_swapped_during_a_thousand_loads_gives_the_right_forecaster_or_none(
    champion: ModelVersion, artifact_folder: Path
) -> None:
    path = artifact_folder / artifacts.key_of(champion.artifact_digest)
    right = path.read_bytes()
    other = deliveries.packed(forecaster=deliveries.forecaster(mean=6.0))
    assert len(other) == len(right)
    wrong = [other, right[:-1], right + b"!", b"", None]
    done = threading.Event()

    def swap() -> None:
        for content in itertools.cycle(wrong):
            for bytes_now in (content, right):
                if bytes_now is None:
                    path.unlink()
                else:
                    # In place and by rename: a reader may hold the file open in the middle of it.
                    path.with_name("swapped").write_bytes(bytes_now)
                    path.with_name("swapped").replace(path)
            if done.is_set():
                return

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes: list[str] = []
    try:
        for _ in range(1000):
            try:
                forecaster = forecasting.parse(artifacts.load(champion), trainer="seasonal_naive")
                assert json.loads(forecaster.dump())["mean"] == 5.0
                outcomes.append("right")
            except errors.Corrupted as error:
                outcomes.append(error.code)
    finally:
        done.set()
        thread.join(timeout=20)
    assert len(outcomes) == 1000
    assert {"right", "artifact_corrupted"} <= set(outcomes) <= {"right", "artifact_corrupted", "artifact_missing"}
