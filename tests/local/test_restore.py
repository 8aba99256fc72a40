"""A backup restored into a new server, with PostgreSQL's own tools: the ledger goes on, and no reader misses a line."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest
from django.db import connection

from local import postgres, state
from registry import history
from tests import factories
from tests.local.conftest import Machine
from tests.registry.test_after_restore import pretend_restored

WRITE = """
from registry import history, timestamps
from registry.models import RegisteredModel
model = RegisteredModel.objects.get()
line = history.Line(kind="x.y.z", actor="a", cause="c", at=timestamps.utc_now(), registered_model_id=model.pk)
history.announce([line])
"""


def tool(name: str, *arguments: str) -> None:
    subprocess.run([postgres._binary(name), *arguments], check=True, capture_output=True, timeout=120)


def manage(servers: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    urls = {"DATABASE_URL": servers["database_url"], "REDIS_URL": servers["redis_url"]}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=state.PROJECT, env=kept | urls | {"DJANGO_SETTINGS_MODULE": "config.settings"}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.requirement("R14")
@pytest.mark.django_db(transaction=True)
def test_a_reader_goes_on_behind_its_cursor_after_a_restore_into_a_new_server(machine: Machine) -> None:
    factories.champion(registered_model=factories.registered_model())
    # The server that is backed up has been running for longer than the one that takes its place.
    pretend_restored(by=50_000_000)
    source = connection.settings_dict
    dump = str(machine.folder.root.parent / "perennial.dump")
    tool("pg_dump", "-h", source["HOST"], "-U", source["USER"], "-d", source["NAME"], "-Fc", "-f", dump)
    servers = machine.attach()
    target = ["-h", str(machine.folder.sockets), "-U", "perennial", "-d", "perennial"]
    tool("pg_restore", *target, "--clean", "--if-exists", dump)
    with psycopg.connect(host=str(machine.folder.sockets), user="perennial", dbname="perennial") as restored:
        rows = restored.execute("SELECT txid, id FROM registry_event ORDER BY txid, id").fetchall()
    cursor = history.Cursor(*rows[-1])
    refused = manage(servers, "shell", "-c", WRITE)
    assert refused.returncode != 0
    assert "after_restore" in refused.stderr
    told = manage(servers, "after_restore")
    assert (told.returncode, "lower number" in told.stdout) == (0, True), told
    assert manage(servers, "shell", "-c", WRITE).returncode == 0
    assert manage(servers, "verify_history").returncode == 0
    read = f"from registry import history; print(history.read(history.Cursor({cursor.txid}, {cursor.id}), limit=9)[0])"
    assert manage(servers, "shell", "-c", read).stdout.count("<Event: x.y.z #3>") == 1
    whole = manage(servers, "shell", "-c", "from registry import history; print(len(history.read(limit=9)[0]))")
    assert whole.stdout.split()[-1] == str(len(rows) + 1) == "3"
