"""The demo: its data arrives piece by piece, and the command ends clean on real processes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from config.demonstration import examples
from config.demonstration.examples import EXAMPLES
from tests.config import commands

ROOT = Path(__file__).resolve().parents[2]


def stamps(path: Path) -> pd.Series[str]:
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    return frame["ds"].astype(str)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_each_delivery_brings_newer_rows_until_everything_has_come(example: examples.Example, tmp_path: Path) -> None:
    copy, whole = tmp_path / example.name / example.data, examples.FOLDER / example.name / example.data
    for day in example.days:
        delivery = examples.deliver(example, into=tmp_path)
        assert (delivery.through, delivery.is_new) == (day, True)
        assert date.fromisoformat(stamps(copy).max()[:10]) == day
        assert delivery.rows == len(stamps(copy))
    assert stamps(copy).equals(stamps(whole))

    before = copy.read_bytes()
    assert not examples.deliver(example, into=tmp_path).is_new
    assert copy.read_bytes() == before


def test_the_bakery_has_at_least_twelve_daily_series() -> None:
    frame = pd.read_parquet(examples.FOLDER / "bakery" / "bakery_daily.parquet")
    assert frame["series_id"].nunique() >= 12
    assert frame.groupby("series_id")["ds"].diff().dropna().eq(pd.Timedelta(days=1)).all()


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_STATE_DIR", str(tmp_path))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = commands.run("demo", "--once", "--port", port)

    assert said.status == 1
    assert f"Port {port} is taken by another program. Choose another with --port" in said.text


@pytest.mark.timeout(300)
def test_the_whole_demo_runs_on_its_own_servers_and_ends_clean() -> None:
    # A short path: sockets below it have no room for a long one.
    with tempfile.TemporaryDirectory(prefix="demo") as folder:
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        environment = {
            **kept,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PERENNIAL_STATE_DIR": folder,
            "COLUMNS": "160",
        }
        done = subprocess.run(
            [sys.executable, "manage.py", "demo", "--once", "--port", "0"],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert not (Path(folder) / "up.json").exists(), "the processes were left behind"

    assert not re.search(r"warning|traceback|error", said, re.IGNORECASE), said
    assert len(re.findall(r"^store0\d_\w+ ", done.stdout, re.MULTILINE)) == 24
    assert len(re.findall(r"^R1[05] ", done.stdout, re.MULTILINE)) == 4
    assert re.search(r"^store0\d_\w+ +2 .* refused +MAE .* of seasonal naive", done.stdout, re.MULTILINE)
    again = r"`make up` starts the web page again:\s+http://127.0.0.1:8000/admin/, user admin, password \S{16} "
    assert re.search(again, done.stdout)
