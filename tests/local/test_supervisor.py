"""The supervisor of `up`, proved with small programs in place of Perennial's own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import state
from tests.local.conftest import is_gone, wait_until

SLEEPER = ["sleep", "600"]
# Notes its own number and that of a child, then ignores every polite request.
STUBBORN = ["sh", "-c", "trap '' TERM INT; sleep 600 & echo child $!; while :; do wait; done"]


class Set:
    """One supervisor with its programs, in a folder of its own."""

    def __init__(self, folder: Path, programs: dict[str, list[str]]) -> None:
        self.folder = folder
        self.output = folder.parent / f"output-{len(list(folder.parent.iterdir()))}"
        with self.output.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.local.stand_in", str(folder), json.dumps(programs)],
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=state.PROJECT,
            )

    @property
    def said(self) -> str:
        """Everything written so far."""
        return self.output.read_text()

    @property
    def page(self) -> dict[str, Any]:
        """What `up.json` says now."""
        read: dict[str, Any] = json.loads((self.folder / "up.json").read_text())
        return read

    def pid(self, name: str) -> int:
        """The process behind a name."""
        return int(self.page["processes"][name]["pid"])

    @property
    def grandchild(self) -> int:
        """The number that a program said its child has."""
        found = re.search(r"child (\d+)", self.said)
        assert found is not None
        return int(found[1])

    def wait_until_ready(self) -> None:
        """Return once the line that scripts wait for stands there."""
        wait_until(lambda: "ready  http://127.0.0.1:1/admin/" in self.said)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    """Starts sets of programs and ends them after the test."""
    sets: list[Set] = []

    def start(**programs: list[str]) -> Set:
        sets.append(Set(tmp_path / "state", programs))
        return sets[-1]

    yield start
    for one in sets:
        one.process.kill()
        one.process.wait()


def test_every_line_carries_the_name_of_its_process(running: Any) -> None:
    one = running(web=["sh", "-c", "echo first; printf 'second'; sleep 600"], training=SLEEPER)
    one.wait_until_ready()

    one.end()

    lines = one.said.splitlines()
    assert "web      | first" in lines
    assert "web      | second" in lines
    assert lines[-1] == "up       | stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_every_process_and_leaves_nothing(running: Any, number: signal.Signals) -> None:
    one = running(web=SLEEPER, stubborn=STUBBORN)
    one.wait_until_ready()
    grandchild = one.grandchild
    left = [one.pid("web"), one.pid("stubborn"), grandchild]

    status = one.end(number)

    assert status == 0
    assert all(map(is_gone, left))
    assert "did not end in time" in one.said
    assert not (one.folder / "up.json").exists()


def test_signals_that_come_again_while_stopping_change_nothing(running: Any) -> None:
    one = running(stubborn=STUBBORN)
    one.wait_until_ready()
    left = one.pid("stubborn")
    one.process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in one.said)

    one.process.send_signal(signal.SIGINT)
    status = one.end(signal.SIGTERM)

    assert status == 0
    assert is_gone(left)
    assert "Traceback" not in one.said


def test_crashed_process_is_started_again_after_growing_pauses(running: Any) -> None:
    one = running(web=SLEEPER, broken=["sh", "-c", "exit 3"])

    wait_until(lambda: one.said.count("started again in 0.4 s") >= 2)

    pauses = re.findall(r"broken \| ended with exit status 3, started again in (\S+) s", one.said)
    assert pauses[:5] == ["0.1", "0.2", "0.4", "0.4", "0.4"][: len(pauses)]
    assert "ready" not in one.said
    assert not is_gone(one.pid("web"))


def test_killed_process_is_replaced_and_its_own_children_do_not_go_on(running: Any) -> None:
    one = running(web=["sh", "-c", "sleep 600 & echo child $!; wait"])
    one.wait_until_ready()
    killed = one.pid("web")
    grandchild = one.grandchild

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: one.page["processes"]["web"]["pid"] not in (None, killed))
    assert one.page["processes"]["web"]["restarts"] == 1
    assert is_gone(grandchild)
    assert "web | killed by SIGKILL, started again in 0.1 s" in one.said
    wait_until(lambda: "up  | everything is ready again" in one.said)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's parent-death signal is Linux alone")
def test_killed_supervisor_takes_its_processes_along(running: Any) -> None:
    one = running(web=SLEEPER, training=SLEEPER)
    one.wait_until_ready()
    left = [one.pid("web"), one.pid("training")]

    one.end(signal.SIGKILL)

    wait_until(lambda: all(map(is_gone, left)))


def test_second_supervisor_says_which_one_is_running(running: Any) -> None:
    one = running(web=SLEEPER)
    one.wait_until_ready()

    other = running(web=SLEEPER)

    assert other.process.wait(timeout=20) == 1
    assert f"already running for {one.folder}: process {one.process.pid}, http://127.0.0.1:1/admin/" in other.said
    assert not is_gone(one.pid("web"))


def test_folder_is_free_again_after_a_supervisor_was_killed(running: Any) -> None:
    one = running(web=SLEEPER)
    one.wait_until_ready()
    one.end(signal.SIGKILL)

    other = running(web=SLEEPER)
    other.wait_until_ready()

    assert other.page["pid"] == other.process.pid


def test_reader_of_the_output_that_leaves_ends_everything(tmp_path: Path) -> None:
    programs = {"web": ["sh", "-c", "while :; do echo tick; sleep 0.05; done"]}
    argv = [sys.executable, "-m", "tests.local.stand_in", str(tmp_path / "state"), json.dumps(programs)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=state.PROJECT) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        left = json.loads((tmp_path / "state" / "up.json").read_text())["processes"]["web"]["pid"]
        process.stdout.close()
        process.wait(timeout=20)

    assert is_gone(left)
