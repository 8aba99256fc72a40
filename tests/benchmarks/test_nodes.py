"""What a benchmark starts ends with it, whatever it makes of being told to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks import nodes, scratch
from tests.installation import until

STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""


def ends(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"


def test_a_process_that_does_not_stop_is_killed_with_its_children(tmp_path: Path) -> None:
    told = tmp_path / "child"
    argv = [sys.executable, "-c", STUBBORN, str(told)]
    with nodes.process(argv, out=tmp_path / "said.out", stop_seconds=0.5) as started:
        child = int(until(lambda: told.read_text() if told.exists() else None, seconds=20, what="the child") or 0)
    assert started.returncode is not None
    until(lambda: ends(child), seconds=5, what="the end of the child")


def test_who_ends_before_it_is_ready_is_told_of(tmp_path: Path) -> None:
    with (
        nodes.process([sys.executable, "-c", ""], out=tmp_path / "said.out") as started,
        pytest.raises(nodes.SiteFailed, match="say why"),
    ):
        nodes.wait([started], ready=lambda: False, folder=tmp_path)


def test_a_scratch_folder_is_gone_with_its_block() -> None:
    with scratch.folder() as folder:
        (folder / "below").mkdir()
    assert not folder.exists()
