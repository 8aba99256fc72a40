"""A store in a bucket: conditional writes with a checksum, deadlines, and a bucket that does not answer."""

from __future__ import annotations

import base64
import hashlib
import multiprocessing
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

import pytest
from pytest_django import Settings

from registry import conf, store
from tests import object_server
from tests.object_server import KEYS, Bucket

DIGEST = "ab" + "0" * 62
KEY = f"artifacts/ab/{DIGEST}"


def opened_now() -> store.Store:
    return store.open_store(conf.current().artifact_url)


@pytest.fixture
def nowhere(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """A store whose server notes the headers of what is put, and never answers a question."""
    seen: list[dict[str, str]] = []
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.end_headers()

        def do_GET(self) -> None:
            ended.wait(30)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    there = {"artifact_url": "s3://bucket/nowhere", "store_endpoint": endpoint, "store_seconds": 0.5}
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, **there}
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    yield seen
    ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_object_lies_under_the_prefix_of_the_store(bucket: Bucket) -> None:
    opened_now().put(KEY, b"1")
    assert bucket.keys() == [KEY]
    assert bucket.read(KEY) == b"1"


def test_a_write_creates_only_what_is_absent_and_carries_its_checksum(nowhere: list[dict[str, str]]) -> None:
    opened_now().put(KEY, b"the bytes")
    [headers] = nowhere
    assert headers["if-none-match"] == "*"
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(b"the bytes").digest()).decode()


@pytest.mark.timeout(30)
def test_a_server_that_does_not_answer_is_given_up_after_the_deadline(nowhere: list[dict[str, str]]) -> None:
    began = time.monotonic()
    with pytest.raises(store.StoreUnavailable, match=f"s3://bucket/nowhere failed for {KEY}"):
        opened_now().get(KEY)
    assert time.monotonic() - began < 10


def test_a_server_that_is_away_is_unavailable(bucket: Bucket, settings: Settings) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{probe.getsockname()[1]}"
        settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "store_endpoint": away}
        opened = opened_now()
        for use in (opened.get, opened.exists, lambda key: opened.put(key, b"1"), lambda key: opened.delete([key])):
            with pytest.raises(store.StoreUnavailable, match="AWS_"):
                use(KEY)
        with pytest.raises(store.StoreUnavailable):
            list(opened.entries("artifacts/"))


@pytest.mark.requirement("R23")
def test_a_bucket_that_is_gone_is_not_a_lost_file(bucket: Bucket) -> None:
    opened = opened_now()
    opened.put(KEY, b"1")
    bucket.remove()
    for use in (opened.get, opened.exists, lambda key: opened.put(key, b"1"), lambda key: opened.delete([key])):
        with pytest.raises(store.StoreUnavailable, match=r"no such bucket|NoSuchBucket"):
            use(KEY)
    with pytest.raises(store.StoreUnavailable, match="NoSuchBucket"):
        list(opened.entries("artifacts/"))


def test_a_listing_leaves_out_what_is_no_key_and_goes_over_pages(bucket: Bucket) -> None:
    opened = opened_now()
    keys = [f"artifacts/ab/ab{number:062x}" for number in range(1005)]
    stored = keys[: 2 * object_server.PAGE + 5]
    for key in stored:
        bucket.write(key, b"1")
    bucket.write("artifacts/ab/notes.txt", b"1")
    bucket.write("artifacts/readme", b"1")
    assert [entry.key for entry in opened.entries("artifacts/")] == stored
    # More than one request of a thousand; that most are not there is no failure.
    opened.delete([*keys[len(stored) :], *stored])
    assert sorted(bucket.keys()) == ["artifacts/ab/notes.txt", "artifacts/readme"]


def test_a_store_is_opened_once_with_its_connections(bucket: Bucket) -> None:
    assert opened_now() is opened_now()


def child(opened: store.Store, answer: Connection) -> None:
    try:
        opened.get(KEY)
    except store.StoreUnavailable as error:
        answer.send(str(error))


@pytest.mark.timeout(30)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_from_one_that_used_the_store_is_told_so_instead_of_waiting_for_ever(bucket: Bucket) -> None:
    opened = opened_now()
    opened.put(KEY, b"1")
    ours, theirs = multiprocessing.Pipe()
    forked = multiprocessing.get_context("fork").Process(target=child, args=(opened, theirs))
    forked.start()
    try:
        assert ours.poll(20) and "before this process was forked" in ours.recv()
    finally:
        forked.kill()
        forked.join(10)


def test_without_the_library_the_way_out_is_named() -> None:
    # A process of its own: the library cannot be taken away from one that has loaded it.
    text = """
import sys
sys.modules["obstore"] = None
from registry.store import objects
try:
    objects.open_store("s3://bucket/prefix", endpoint="", seconds=1)
except objects.CloudMissing as error:
    print(error.code, error)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "cloud_missing s3://bucket/prefix needs the library obstore, which is not installed. "
        "Install it: uv sync --extra cloud.\n"
    )
