"""Owns the installation: servers, tables and store in a scratch folder, and the processes as `manage.py up` runs them.

A second node is another `manage.py up` with a state folder of its own; it shares PostgreSQL, Redis and the store.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import nodes

BUCKET = "fleet"
KINDS = ("artifacts", "snapshots")


@contextlib.contextmanager
def prepared(folder: Path, *, store: str, more: Mapping[str, str] | None = None) -> Iterator[int | None]:
    """Make the scratch folder this process's installation for a block; gives the process of an S3 server, if any."""
    for name in [name for name in os.environ if name.startswith(("PERENNIAL_", "DATABASE_", "REDIS_"))]:
        del os.environ[name]
    # One key for all nodes: what one signs another verifies.
    os.environ |= {"PERENNIAL_STATE_DIR": str(folder), "PERENNIAL_SECRET_KEY": "of-a-benchmark-alone-" * 4}
    os.environ |= more or {}
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_object_server(folder)) if store == "s3" else None
        _set_up()
        yield server


def _set_up() -> None:
    from local import servers

    servers.export(servers.attach())
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


@contextlib.contextmanager
def _object_server(folder: Path) -> Iterator[int]:
    """Run an S3 server on loopback, keep its address in the environment, and give its process."""
    from tests import object_server

    server = object_server.start(folder)
    try:
        bucket = object_server.Bucket(name=BUCKET, server=server)
        bucket.create()
        os.environ |= {
            **object_server.KEYS,
            "PERENNIAL_REGISTRY_ARTIFACT_URL": bucket.url,
            "PERENNIAL_REGISTRY_STORE_ENDPOINT": server.endpoint,
        }
        yield server.process.pid
    finally:
        server.stop()


def stored() -> dict[str, dict[str, int]]:
    """Return objects and bytes of the store, by the first part of their keys."""
    from registry import ownership

    opened = ownership.artifact_store()
    found = {}
    for kind in KINDS:
        sizes = [entry.size for entry in opened.entries(f"{kind}/")]
        found[kind] = {"objects": len(sizes), "bytes": sum(sizes)}
    return found


def database_process() -> int:
    """Return the process of the embedded PostgreSQL server."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        (folder,) = cursor.fetchone()
    return int((Path(folder) / "postmaster.pid").read_text().splitlines()[0])


@contextlib.contextmanager
def running(folder: Path, *, count: int, slots: int) -> Iterator[list[int]]:
    """Run beat, control and the training workers of each node; give the process of each node. Raises SiteFailed."""
    with contextlib.ExitStack() as stack:
        folders = [folder, *(folder / f"node-{number}" for number in range(2, count + 1))]
        started = [stack.enter_context(_node(own, first=own is folder, slots=slots)) for own in folders]
        nodes.wait(started, ready=lambda: _serve(folders), folder=folder)
        yield [process.pid for process in started]


def _node(folder: Path, *, first: bool, slots: int) -> contextlib.AbstractContextManager[nodes.Process]:
    only = "beat,control,training" if first else "training"
    argv = [*nodes.UP, "--only", only, "--no-migrate", "--training-workers", str(slots)]
    return nodes.process(argv, out=folder / "up.out", environment={"PERENNIAL_STATE_DIR": str(folder)})


def _serve(folders: Sequence[Path]) -> bool:
    from training import workers

    return all(nodes.said(each).get("ready") for each in folders) and not workers.unserved(["control", "training"])
