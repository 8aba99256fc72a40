"""Commands that hold servers of a state folder of their own, as separate processes; everything ends with its test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local import children, state

# Attaches, says where, and stays until its input is closed; renews for every line of input.
COMMAND = """
import json, sys
from dataclasses import asdict
from local import errors, servers
try:
    print(json.dumps(asdict(servers.attach(durable=False))), flush=True)
except errors.LocalError as refusal:
    print(json.dumps({"code": refusal.code, "sentence": str(refusal)}), flush=True)
for line in sys.stdin:
    servers.renew()
    print("renewed", flush=True)
"""


@dataclass
class Machine:
    """One state folder and the commands that a test has started in it."""

    folder: state.State
    commands: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Start a command; it attaches while the test goes on."""
        kept = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "REDIS_URL")}
        command = subprocess.Popen(
            [sys.executable, "-c", COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=state.PROJECT,
            env=kept | {"PERENNIAL_STATE_DIR": str(self.folder.root)} | environment,
        )
        self.commands.append(command)
        return command

    def attach(self, **environment: str) -> dict[str, str]:
        """Start a command and return what it was told."""
        return answer(self.start(**environment))

    def renew(self) -> None:
        """Let the command started last look after its servers."""
        command = self.commands[-1]
        assert command.stdin is not None
        assert command.stdout is not None
        command.stdin.write("renew\n")
        command.stdin.flush()
        assert command.stdout.readline() == "renewed\n"

    def leave(self) -> None:
        """End every command the ordinary way."""
        for command in self.commands:
            command.communicate(timeout=30)
        self.commands.clear()

    def pid(self, server: str) -> int:
        """The process of a server, or of the keeper."""
        return int(self.folder.pid_file(server).read_text())

    def pids(self) -> list[int]:
        """Every process that this folder's files name."""
        return [int(file.read_text()) for file in self.folder.root.glob("*.pid")]


def answer(command: subprocess.Popen[str]) -> dict[str, str]:
    """What a started command was told; waits for it."""
    assert command.stdout is not None
    told: dict[str, str] = json.loads(command.stdout.readline())
    return told


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Poll until the condition holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def is_gone(process: int) -> bool:
    """Whether a process has ended; a zombie has."""
    return children.command_line(process) == ""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """An empty state folder whose servers are gone after the test."""
    yield from _machine(tmp_path / "state")


@pytest.fixture
def far_machine(tmp_path: Path) -> Iterator[Machine]:
    """The same, below a path too long for a socket address."""
    yield from _machine(tmp_path / ("d" * 100) / "state")


def _machine(root: Path) -> Iterator[Machine]:
    found = Machine(folder=state.State(root=root.resolve()))
    yield found
    left = found.pids()
    for command in found.commands:
        command.kill()
        command.communicate()
    for process in left:
        # No need to wait until the keeper finds out by itself.
        if "local.keeper" in children.command_line(process):
            os.kill(process, signal.SIGTERM)
    try:
        wait_until(lambda: all(map(is_gone, left)))
    finally:
        for process in left:
            if not is_gone(process):
                os.kill(process, signal.SIGKILL)
        if found.folder.sockets.parent != found.folder.root:
            shutil.rmtree(found.folder.sockets, ignore_errors=True)
