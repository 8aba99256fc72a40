"""Bytes under a key: whole or not there, and nowhere else than under the root."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from registry import errors, store

DIGEST = "ab" + "0" * 62
KEY = f"artifacts/ab/{DIGEST}"

# Stops between the bytes and the rename, says so, and waits to be killed there.
WRITER = """
import os, sys
from pathlib import Path
from registry import store
def barrier(handle):
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


@pytest.mark.requirement("R21")
def test_bytes_come_back_whole_and_in_part(opened: store.Store, root: Path) -> None:
    opened.put(KEY, b"0123456789")
    assert opened.get(KEY) == b"0123456789"
    assert opened.get(KEY, start=3, length=4) == b"3456"
    assert opened.exists(KEY)
    assert files(root) == [KEY]


def test_a_snapshot_has_a_key_of_its_own(opened: store.Store) -> None:
    key = f"snapshots/12/{DIGEST}.parquet"
    opened.put(key, b"rows")
    assert list(opened.keys("snapshots/")) == [key]
    assert list(opened.keys("snapshots/12/")) == [key]
    assert list(opened.keys("artifacts/")) == []


def test_what_is_absent_is_said_to_be_missing(opened: store.Store) -> None:
    assert not opened.exists(KEY)
    with pytest.raises(store.StoreMissing, match=DIGEST):
        opened.get(KEY)
    opened.delete(KEY)


def test_deleting_removes_the_bytes(opened: store.Store, root: Path) -> None:
    opened.put(KEY, b"1")
    opened.delete(KEY)
    assert files(root) == []


def test_storing_again_changes_nothing(opened: store.Store, root: Path) -> None:
    opened.put(KEY, b"same")
    before = (root / KEY).stat()
    opened.put(KEY, b"same")
    after = (root / KEY).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_storing_again_repairs_a_damaged_file(opened: store.Store, root: Path) -> None:
    opened.put(KEY, b"same")
    (root / KEY).write_bytes(b"sane")
    opened.put(KEY, b"same")
    assert opened.get(KEY) == b"same"


@pytest.mark.requirement("X01")
@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "artifacts",
        "artifacts/../../etc/passwd",
        f"artifacts/ab/../ab/{DIGEST}",
        f"artifacts/ab/{DIGEST}/",
        f"artifacts/ab/{DIGEST}\n",
        f"artifacts/ab/{DIGEST}\0",
        f"artifacts/ab\\{DIGEST}",
        f"artifacts/cd/{DIGEST}",
        f"artifacts/AB/{DIGEST.upper()}",
        f"artifacts/ab/{DIGEST}.tmp",
        f"./{KEY}",
        f"C:{KEY}",
        f"snapshots/../{DIGEST}.parquet",
        f"snapshots/١٢/{DIGEST}.parquet",
        f"snapshots/bakery/{DIGEST}.parquet",
    ],
)
def test_a_key_with_path_tricks_is_refused(opened: store.Store, root: Path, key: str) -> None:
    for use in (opened.get, opened.exists, opened.delete, lambda refused: opened.put(refused, b"evil")):
        with pytest.raises(store.StoreKeyInvalid):
            use(key)
    assert not root.exists()


@pytest.mark.requirement("X01")
@pytest.mark.parametrize(
    "prefix", ["", "/", "..", "artifacts/..", "artifacts/../", "artifacts/a*/", "other/", "artifacts/ab"]
)
def test_a_folder_with_path_tricks_is_refused(opened: store.Store, prefix: str) -> None:
    with pytest.raises(store.StoreKeyInvalid):
        list(opened.keys(prefix))


@pytest.mark.requirement("X01")
@pytest.mark.parametrize("linked", ["artifacts", "artifacts/ab", KEY])
def test_a_link_out_of_the_store_is_not_followed(opened: store.Store, root: Path, tmp_path: Path, linked: str) -> None:
    outside = tmp_path / "outside"
    target = outside / KEY.removeprefix(linked).lstrip("/") if linked != KEY else outside / "secret"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"secret")
    (root / linked).parent.mkdir(parents=True, exist_ok=True)
    (root / linked).symlink_to(outside if linked != KEY else target)
    for use in (opened.get, opened.exists, opened.delete, lambda refused: opened.put(refused, b"evil")):
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
    found: list[str] = []
    with contextlib.suppress(store.StoreKeyInvalid):
        found.extend(opened.keys("artifacts/"))
    assert found == []


@pytest.mark.parametrize("url", ["", "/var/lib", "http://host/path", "file://other-host/path", "s3://bucket", "file:"])
def test_an_address_that_is_no_folder_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(errors.Invalid, match="is not a store"):
        store.open_store(url)


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
    assert list(opened.keys("artifacts/")) == []
    opened.put(KEY, b"later")
    assert opened.get(KEY) == b"later"


def test_a_full_disk_is_reported_and_leaves_nothing(
    opened: store.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(store.StoreUnavailable, match="No space left"):
        opened.put(KEY, b"1")
    assert files(root) == []


@pytest.mark.requirement("R26")
def test_many_threads_store_the_same_key_and_readers_see_it_whole(opened: store.Store) -> None:
    content = os.urandom(300_000)
    seen: list[bytes] = []

    def reader() -> None:
        while not seen:
            try:
                seen.append(opened.get(KEY))
            except store.StoreMissing:
                continue

    threads = [threading.Thread(target=reader) for _ in range(2)]
    threads += [threading.Thread(target=opened.put, args=(KEY, content)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert seen and set(seen) == {content}
