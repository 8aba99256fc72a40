"""Owns what is let go of: old versions marked as due with files of their own, and the process that then works alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.nodes import PROJECT
from benchmarks.registry import growth
from benchmarks.registry.site import Server

TIMEOUT_SECONDS = 3600
# Older than any object that may still be waiting for its row.
OLD = 30 * 86_400

_MARK = """
UPDATE registry_modelversion AS v SET state = 'archived', sweep_after = now() - interval '1 hour'
FROM (
    SELECT v.id FROM registry_modelversion AS v JOIN registry_registeredmodel AS m ON m.id = v.registered_model_id
    WHERE v.number <= %s AND m.champion_id <> v.id ORDER BY v.registered_model_id, v.number LIMIT %s
) AS chosen WHERE chosen.id = v.id RETURNING v.artifact_digest
"""


def child(task: str, environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Run one task in a process of its own and return what it prints."""
    command = [sys.executable, "-m", "benchmarks.registry.letting_go", task, *arguments]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def mark(server: Server, database: str, *, versions: int, artifacts: Path) -> None:
    """Mark old versions as due, each with a file of its own in the store."""
    with server.connect(database) as connection:
        rows = connection.execute(_MARK, [growth.VERSIONS_OF_A_MODEL // 2, versions]).fetchall()
        connection.execute("ANALYZE registry_modelversion")
    for (digest,) in rows:
        path = artifacts / "artifacts" / str(digest)[:2] / str(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 2048)
        os.utime(path, (time.time() - OLD, time.time() - OLD))
