"""A store in a folder: nothing half-written, nothing outside the root, and a lost mount is no lost file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry import store

DIGEST = "ab" + "0" * 62
KEY = f"artifacts/ab/{DIGEST}"
OTHER = f"artifacts/cd/cd{DIGEST[2:]}"

# Stops between the bytes and the rename, says so, and waits to be killed there.
WRITER = """
import os, stat, sys
from pathlib import Path
from registry import store
def barrier(handle):
    if stat.S_ISREG(os.fstat(handle).st_mode):
        print("written", flush=True)
        sys.stdin.read()
os.fsync = barrier
store.DiskStore(Path(sys.argv[1])).put(sys.argv[2], b"x" * 1_000_000)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def opened(root: Path) -> store.Store:
    return store.open_store(root.as_uri())


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_storing_again_writes_nothing_but_makes_the_file_young(opened: store.Store, root: Path) -> None:
    opened.put(KEY, b"same")
    os.utime(root / KEY, (0, 0))
    before = (root / KEY).stat()
    began = datetime.now(UTC)
    assert opened.put(KEY, b"same") is False
    assert (root / KEY).stat().st_ino == before.st_ino
    [entry] = opened.entries("artifacts/")
    assert entry.modified >= began - timedelta(seconds=1)


def test_storing_again_makes_the_name_durable_that_another_may_only_just_have_given(
    opened: store.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.put(KEY, b"same")
    synced = watched(monkeypatch)
    assert opened.put(KEY, b"same") is False
    assert (root / KEY).parent.stat().st_ino in synced


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the files and folders that are made durable from now on, by their inodes."""
    synced: list[int] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    return synced


def test_the_first_file_makes_every_folder_durable_and_the_next_needs_only_its_own(
    opened: store.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = watched(monkeypatch)
    opened.put(KEY, b"first")
    above = [root / "artifacts", root]
    assert {each.stat().st_ino for each in [root / KEY, (root / KEY).parent, *above]} == set(synced)
    synced.clear()
    opened.put(OTHER, b"other")
    assert synced == [(root / OTHER).stat().st_ino, (root / OTHER).parent.stat().st_ino]


def test_what_another_process_stored_is_durable_with_its_folder_once_it_is_stored_again(
    opened: store.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / KEY).parent.mkdir(parents=True)
    (root / KEY).write_bytes(b"same")
    synced = watched(monkeypatch)
    assert opened.put(KEY, b"same") is False
    assert {(root / "artifacts").stat().st_ino, (root / KEY).parent.stat().st_ino} <= set(synced)


def test_a_file_where_a_folder_should_be_stands_in_the_way_of_its_own_keys_alone(
    opened: store.Store, root: Path
) -> None:
    (root / "artifacts").mkdir(parents=True)
    (root / OTHER).parent.write_bytes(b"")
    opened.put(KEY, b"1")
    with pytest.raises(store.StoreUnavailable):
        opened.put(OTHER, b"2")


def test_folders_of_snapshots_are_made_one_by_one(opened: store.Store, root: Path) -> None:
    opened.put(f"snapshots/42/{'a' * 64}.parquet", b"1")
    assert [each.name for each in (root / "snapshots").iterdir()] == ["42"]


def test_a_folder_that_somebody_removed_is_made_again(opened: store.Store, root: Path) -> None:
    opened.put(KEY, b"1")
    (root / KEY).unlink()
    (root / KEY).parent.rmdir()
    opened.put(KEY, b"1")
    assert opened.get(KEY) == b"1"


@pytest.mark.requirement("R23")
def test_a_lost_mount_is_not_a_lost_file(opened: store.Store, root: Path, tmp_path: Path) -> None:
    opened.put(KEY, b"1")
    root.rename(tmp_path / "elsewhere")
    for is_there in (False, True):
        if is_there:
            root.mkdir()
        for read in (opened.get, opened.exists):
            with pytest.raises(store.StoreUnavailable, match="mounted"):
                read(KEY)


def test_a_file_of_another_owner_is_replaced_to_make_it_young(
    opened: store.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.put(KEY, b"same")
    os.utime(root / KEY, (0, 0))

    def refused(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refused)
    assert opened.put(KEY, b"same") is False
    assert (root / KEY).stat().st_mtime > 0


@pytest.mark.requirement("X01")
@pytest.mark.parametrize("linked", ["artifacts", "artifacts/ab", KEY])
def test_a_link_out_of_the_store_is_not_followed(opened: store.Store, root: Path, tmp_path: Path, linked: str) -> None:
    outside = tmp_path / "outside"
    target = outside / KEY.removeprefix(linked).lstrip("/") if linked != KEY else outside / "secret"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"secret")
    (root / linked).parent.mkdir(parents=True, exist_ok=True)
    (root / linked).symlink_to(outside if linked != KEY else target)
    uses: list[Callable[[str], object]] = [opened.get, opened.exists]
    uses += [lambda refused: opened.delete([refused]), lambda refused: opened.put(refused, b"evil")]
    for use in uses:
        with pytest.raises(store.StoreKeyInvalid, match="link"):
            use(KEY)
    assert target.read_bytes() == b"secret"


@pytest.mark.parametrize("linked", ["artifacts", "artifacts/ab"])
def test_a_listing_does_not_follow_links(opened: store.Store, root: Path, tmp_path: Path, linked: str) -> None:
    outside = tmp_path / "outside"
    (outside / KEY).parent.mkdir(parents=True)
    (outside / KEY).write_bytes(b"secret")
    (root / linked).parent.mkdir(parents=True)
    (root / linked).symlink_to(outside / linked)
    found: list[store.Entry] = []
    with contextlib.suppress(store.StoreKeyInvalid):
        found.extend(opened.entries("artifacts/"))
    assert found == []


@pytest.mark.requirement("R07")
def test_a_process_killed_in_the_middle_leaves_nothing_under_the_key(opened: store.Store, root: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None and writer.stdin is not None
    assert writer.stdout.readline() == "written\n"
    writer.send_signal(signal.SIGKILL)
    assert writer.wait(timeout=10) == -signal.SIGKILL
    for stream in (writer.stdout, writer.stdin):
        stream.close()
    [left] = files(root)
    assert left != KEY and left.endswith(".tmp") and (root / left).stat().st_size == 1_000_000
    assert not opened.exists(KEY)
    assert list(opened.entries("artifacts/")) == []
    opened.put(KEY, b"later")
    assert opened.get(KEY) == b"later"
    assert len(opened.folders()) == 256 and "artifacts/ab/" in opened.folders()
    assert opened.sweep_temporary("artifacts/ab/", older_than=datetime.now(UTC) - timedelta(hours=1)) == 0
    os.utime(root / left, (0, 0))
    assert opened.sweep_temporary("artifacts/ab/", older_than=datetime.now(UTC) - timedelta(hours=1)) == 1
    assert files(root) == [KEY]


def test_a_full_disk_is_reported_and_leaves_nothing(
    opened: store.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(store.StoreUnavailable, match="No space left"):
        opened.put(KEY, b"1")
    assert files(root) == []
