"""A real S3 server of the test's own, as a process on loopback: moto's, with the keys and buckets that a test needs."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.installation import until

# Of a listing, so that a test needs few objects for a second page.
PAGE = 100
KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "only-for-tests", "AWS_REGION": "us-east-1"}


@dataclass
class ObjectServer:
    """A server that runs until it is stopped."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @functools.cached_property
    def client(self) -> Any:
        """A client of another make than ours, to look and to do damage with."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=KEYS["AWS_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait(timeout=10)


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server; a test uses the prefix `perennial` in it."""

    name: str
    server: ObjectServer

    @property
    def url(self) -> str:
        """The address of a store in it."""
        return f"s3://{self.name}/perennial"

    def create(self) -> None:
        """Make it."""
        self.server.client.create_bucket(Bucket=self.name)

    def keys(self) -> list[str]:
        """The keys below the prefix."""
        pages = self.server.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [each["Key"].removeprefix("perennial/") for page in pages for each in page.get("Contents", [])]

    def write(self, key: str, data: bytes) -> None:
        """Put other bytes under a key, behind the back of the store."""
        self.server.client.put_object(Bucket=self.name, Key=f"perennial/{key}", Body=data)

    def read(self, key: str) -> bytes:
        """Return the bytes under a key."""
        body: bytes = self.server.client.get_object(Bucket=self.name, Key=f"perennial/{key}")["Body"].read()
        return body

    def remove(self) -> None:
        """Remove the bucket with all that is in it."""
        for key in self.keys():
            self.server.client.delete_object(Bucket=self.name, Key=f"perennial/{key}")
        self.server.client.delete_bucket(Bucket=self.name)


def start(folder: Path) -> ObjectServer:
    """Start a server with nothing in it; its log is in the folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
        )
    server = ObjectServer(port=port, process=process)
    try:
        until(lambda: _answers(port) or None, seconds=60, what="the S3 server")
    except BaseException:
        server.stop()
        raise
    return server


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
