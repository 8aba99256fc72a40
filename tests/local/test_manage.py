"""The doors: manage.py without an environment, and `up` where it refuses."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from local import state


def run(script: Path, *, python: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    return subprocess.run(
        [*python, str(script), "status"], env=environment, check=False, capture_output=True, text=True, timeout=30
    )


def test_python_without_the_environment_is_told_to_run_make_setup(tmp_path: Path) -> None:
    script = shutil.copy(state.PROJECT / "manage.py", tmp_path)

    done = run(Path(script), python=[sys.executable, "-S"], environment={"PATH": os.environ["PATH"]})

    assert done.returncode == 1
    assert done.stderr == "The environment of this project is not set up. Run `make setup`, then try again.\n"


def test_python_beside_the_environment_continues_in_it(tmp_path: Path) -> None:
    script = shutil.copy(state.PROJECT / "manage.py", tmp_path)
    inside = tmp_path / ".venv" / "bin" / "python"
    inside.parent.mkdir(parents=True)
    inside.write_text('#!/bin/sh\necho "in the environment: $2"\n')
    inside.chmod(0o755)

    done = run(Path(script), python=[sys.executable, "-S"], environment={"PATH": os.environ["PATH"]})

    assert done.stdout == "in the environment: status\n"


def test_port_that_is_taken_is_refused_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(CommandError, match=rf"Port {port} is taken .* Choose one with --web-port"):
            call_command("up", web_port=port)


@pytest.mark.parametrize("slots", [0, -1])
def test_training_workers_that_would_fit_nothing_are_refused(slots: int) -> None:
    with pytest.raises(CommandError, match=rf"--training-workers {slots} would fit nothing.*--only"):
        call_command("up", training_workers=slots, web_port=0)


def test_unknown_process_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CommandError, match=r"no process 'wbe'.* web, beat, control, .*interactive, training"):
        call_command("up", only="wbe", web_port=0)
