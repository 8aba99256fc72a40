"""What every kind of store does, on a folder and on a real S3 server: bytes under a key, whole or not there."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from registry import conf, store
from registry.store import objects

DIGEST = "ab" + "0" * 62
KEY = f"artifacts/ab/{DIGEST}"
SNAPSHOT = f"snapshots/12/{DIGEST}.parquet"
# The clock of an object store has whole seconds.
CLOCK = timedelta(seconds=2)


@pytest.fixture(params=["disk", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> store.Store:
    if request.param == "s3":
        request.getfixturevalue("bucket")
        return store.open_store(conf.current().artifact_url)
    return store.open_store((tmp_path / "store").as_uri())


def keys(opened: store.Store, prefix: str) -> list[str]:
    return [entry.key for entry in opened.entries(prefix)]


@pytest.mark.requirement("R21")
@pytest.mark.requirement("R23")
def test_bytes_come_back_whole_and_in_part(opened: store.Store) -> None:
    assert opened.put(KEY, b"0123456789")
    assert opened.get(KEY) == b"0123456789"
    assert opened.get(KEY, start=3) == b"3456789"
    assert opened.get(KEY, start=3, length=4) == b"3456"
    assert opened.get(KEY, length=11) == b"0123456789"
    assert opened.get(KEY, start=8, length=11) == b"89"
    assert opened.get(KEY, start=10, length=1) == opened.get(KEY, start=11, length=1) == b""
    assert opened.exists(KEY)


def test_many_are_read_in_their_order_and_each_that_cannot_be_says_why(opened: store.Store) -> None:
    stored = {f"artifacts/{fan:02x}/{fan:02x}{'0' * 62}": bytes([fan]) * 10 for fan in range(40)}
    for key, data in stored.items():
        opened.put(key, data)
    parts = [store.Place(key=key, start=2, length=3) for key in reversed(stored)]
    assert list(opened.get_each(parts)) == [bytes([fan]) * 3 for fan in reversed(range(40))]
    absent = store.Place(key=KEY[:-1] + "1")
    whole = [store.Place(key=key) for key in stored]
    first, missing, refused, last = opened.get_each([whole[0], absent, store.Place(key="../x"), whole[39]])
    assert (first, last) == (bytes(10), bytes([39]) * 10)
    assert isinstance(missing, store.StoreMissing) and isinstance(refused, store.StoreKeyInvalid)


def test_what_is_absent_is_said_to_be_missing(opened: store.Store) -> None:
    opened.put(KEY, b"another")
    absent = KEY[:-1] + "1"
    assert not opened.exists(absent)
    reads: list[Callable[[], bytes]] = [lambda: opened.get(absent), lambda: opened.get(absent, length=3)]
    for read in reads:
        with pytest.raises(store.StoreMissing, match=absent):
            read()


def test_many_are_deleted_at_once_and_missing_ones_are_fine(opened: store.Store) -> None:
    stored = [f"artifacts/{fan:02x}/{fan:02x}{'0' * 62}" for fan in range(5)]
    for key in stored:
        opened.put(key, key.encode())
    opened.delete([*stored[:4], KEY])
    assert keys(opened, "artifacts/") == stored[4:]
    opened.delete([])
    opened.delete([KEY])


def test_a_listing_is_in_the_order_of_the_keys_with_size_and_time(opened: store.Store) -> None:
    began = datetime.now(UTC)
    stored = [f"snapshots/{source}/{DIGEST}.parquet" for source in ("1", "10", "12", "2")]
    stored += [f"artifacts/{fan}/{fan}{'0' * 62}" for fan in ("00", "ab", "ff")]
    for number, key in enumerate(stored):
        opened.put(key, b"x" * number)
    entries = list(opened.entries("snapshots/"))
    assert [(entry.key, entry.size) for entry in entries] == [(key, number) for number, key in enumerate(stored[:4])]
    assert all(began - CLOCK <= entry.modified <= datetime.now(UTC) + CLOCK for entry in entries)
    assert keys(opened, "artifacts/") == stored[4:]
    assert keys(opened, "artifacts/ab/") == [stored[5]]
    assert keys(opened, "snapshots/1/") == [stored[0]]
    assert keys(opened, "snapshots/3/") == []


def test_the_second_time_the_object_is_said_to_have_been_there(opened: store.Store) -> None:
    assert opened.put(KEY, b"same") is True
    assert opened.put(KEY, b"same") is False
    assert opened.get(KEY) == b"same"


@pytest.mark.parametrize("size", [0, 10, objects.PART_BYTES, 2 * objects.PART_BYTES + 5])
def test_a_file_is_stored_from_its_beginning_and_made_young_when_stored_again(
    opened: store.Store, tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        file.seek(size // 2)
        assert opened.put_file(SNAPSHOT, file) is True
        assert opened.get(SNAPSHOT) == content
        assert opened.put_file(SNAPSHOT, file) is False
        opened.put(SNAPSHOT, b"damaged")
        assert opened.put_file(SNAPSHOT, file) is False
    assert opened.get(SNAPSHOT) == content
    assert keys(opened, "snapshots/") == [SNAPSHOT]


def test_storing_again_repairs_other_bytes(opened: store.Store) -> None:
    opened.put(KEY, b"sane")
    assert opened.put(KEY, b"same") is False
    assert opened.get(KEY) == b"same"


def test_nothing_half_written_is_swept_where_all_is_whole(opened: store.Store) -> None:
    opened.put(KEY, b"whole")
    opened.put(SNAPSHOT, b"whole")
    late = datetime.now(UTC) + timedelta(days=1)
    for folder in ("artifacts/", "artifacts/ab/", "snapshots/"):
        assert opened.sweep_temporary(folder, older_than=late) == 0
    assert (opened.get(KEY), opened.get(SNAPSHOT)) == (b"whole", b"whole")


MARK = store.Mark(installation=uuid4(), purpose="artifacts")
OTHER = store.Mark(installation=uuid4(), purpose="backup")


def test_an_empty_store_says_nothing_of_whose_it_is_and_the_first_who_claims_it_has_it(opened: store.Store) -> None:
    assert opened.mark() is None
    assert opened.claim(MARK) == opened.mark() == MARK
    assert opened.claim(OTHER) == opened.mark() == MARK
    assert opened.claim(OTHER, replacing=True) == opened.mark() == OTHER


def test_the_mark_is_no_object_of_the_store(opened: store.Store) -> None:
    opened.claim(MARK)
    assert keys(opened, "artifacts/") == keys(opened, "snapshots/") == []
    with pytest.raises(store.StoreKeyInvalid):
        opened.get("perennial-store.json")


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
        f"artifacts/%61b/{DIGEST}",
        f"artifacts%2fab%2f{DIGEST}",
        f"artifacts/ab/{DIGEST}?x",
        f"artifacts/ab/{DIGEST}#x",
        f"./{KEY}",
        f"C:{KEY}",
        f"file:///{KEY}",
        f"snapshots/../{DIGEST}.parquet",
        f"snapshots/%2e%2e/{DIGEST}.parquet",
        f"snapshots/%252e%252e/{DIGEST}.parquet",
        f"snapshots/..\\..\\{DIGEST}.parquet",
        f"snapshots/\u2024\u2024/{DIGEST}.parquet",
        f"snapshots/١٢/{DIGEST}.parquet",
        f"snapshots/bakery/{DIGEST}.parquet",
        f"snapshots/{'1' * 10_000}/{DIGEST}.parquet",
    ],
    ids=lambda key: ascii(key)[:60],
)
def test_a_key_with_path_tricks_is_refused(opened: store.Store, key: str) -> None:
    uses: list[Callable[[str], object]] = [opened.get, opened.exists]
    uses += [lambda refused: opened.delete([refused]), lambda refused: opened.put(refused, b"evil")]
    uses += [lambda refused: opened.put_file(refused, io.BytesIO(b"evil"))]
    for use in uses:
        with pytest.raises(store.StoreKeyInvalid):
            use(key)
    assert keys(opened, "artifacts/") == keys(opened, "snapshots/") == []


@pytest.mark.requirement("X01")
@pytest.mark.parametrize(
    "prefix", ["", "/", "..", "artifacts/..", "artifacts/../", "artifacts/a*/", "other/", "artifacts/ab"]
)
def test_a_folder_with_path_tricks_is_refused(opened: store.Store, prefix: str) -> None:
    with pytest.raises(store.StoreKeyInvalid):
        keys(opened, prefix)


@pytest.mark.requirement("R26")
def test_many_threads_store_the_same_key_and_readers_see_it_whole(opened: store.Store) -> None:
    opened.put(f"artifacts/00/{'0' * 64}", b"so that there is a folder")
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


@pytest.mark.parametrize(
    ("url", "other", "is_within"),
    [
        ("file:///var/lib/artifacts", "file:///var/lib/artifacts/", True),
        ("file:///var/lib/artifacts", "file:///var/lib/x/../artifacts/backup", True),
        ("file:///var/lib/artifacts/live", "file:///var/lib/artifacts", True),
        ("file:///var/lib/artifacts", "file:///var/lib/artifacts-backup", False),
        ("s3://bucket/live", "s3://bucket/live/backup", True),
        ("s3://bucket", "s3://bucket/backup", True),
        ("s3://bucket/live", "s3://bucket/backup", False),
        ("s3://bucket/live", "s3://other/live", False),
        ("file:///bucket/live", "s3://bucket/live", False),
    ],
)
def test_two_addresses_overlap_where_one_is_within_the_other(url: str, other: str, is_within: bool) -> None:
    assert store.overlap(url, other) is store.overlap(other, url) is is_within


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/var/lib",
        "http://host/path",
        "file://other-host/path",
        "file:",
        "s3:",
        "s3:///path",
        "s3://key:secret@bucket/path",
        "s3://bucket:9000/path",
        "s3://bucket/path?region=x",
        "gs://bucket/path",
        "az://container/path",
    ],
)
def test_an_address_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(store.StoreAddressInvalid, match="is not a store") as refused:
        store.open_store(url)
    assert "s3://bucket/prefix" in str(refused.value)
    assert "secret" not in str(refused.value)
