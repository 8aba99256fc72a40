"""`manage.py apply`: its words and its exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry.models import Fleet
from tests import database, deliveries
from tests.config import commands, fleet_files

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db


def test_it_tells_what_it_made_and_what_comes_next(tmp_path: Path) -> None:
    said = commands.run("apply", fleet_files.write(tmp_path))

    assert said.status == 0
    assert "+ fleet bakery: created" in said.text
    assert 'cron: "30 18' not in said.text, "defaults are not worth a line"
    assert "Next: manage.py retrain bakery" in said.text


def test_a_fleet_that_is_not_retrained_here_takes_versions_from_elsewhere(tmp_path: Path) -> None:
    file = fleet_files.write(tmp_path, text=fleet_files.FLEET.partition("[source]")[0])
    said = commands.run("apply", file)
    assert said.status == 0 and "retrain bakery" not in said.text
    assert "Next: manage.py register bakery ENTITY --create --bundle FILE" in said.text
    bundle = tmp_path / "bread.bundle"
    bundle.write_bytes(deliveries.packed())
    registered = commands.run("register", "bakery", "bread", "--create", "--bundle", bundle)
    assert registered.status == 0, registered.text


def test_applied_again_it_says_that_nothing_changed(tmp_path: Path) -> None:
    file = fleet_files.write(tmp_path)
    commands.run("apply", file)

    assert commands.run("apply", file) == commands.Said(0, "Fleet bakery: nothing to change.\n")


def test_a_dry_run_shows_old_and_new_and_writes_nothing(tmp_path: Path) -> None:
    commands.run("apply", fleet_files.write(tmp_path))
    said = commands.run(
        "apply", fleet_files.write(tmp_path, text=fleet_files.changed("horizon = 7", "horizon = 9")), "--dry-run"
    )

    assert "    horizon: 7 -> 9" in said.text
    assert "Dry run: nothing was written." in said.text
    assert Fleet.objects.get().horizon == 7


def test_every_wrong_file_is_told_at_once_and_no_file_is_applied(tmp_path: Path) -> None:
    sound = fleet_files.write(tmp_path)
    wrong = fleet_files.write(tmp_path, text=fleet_files.changed("horizon = 7", "horizon = 0"), name="wrong.toml")
    said = commands.run("apply", sound, wrong, tmp_path / "absent.toml")

    assert said.status == 2
    assert "wrong.toml: 1 problem\n  fleet.horizon = 0\n      allowed: 1 to 10000" in said.text
    assert "absent.toml: cannot be read: No such file or directory." in said.text
    assert "Nothing was changed." in said.text
    assert not Fleet.objects.exists()


def test_what_was_made_by_hand_is_refused_with_the_next_step(tmp_path: Path) -> None:
    Fleet.objects.create(tenant="default", name="bakery", kind="forecast", frequency="D")
    file = fleet_files.write(tmp_path)

    refused = commands.run("apply", file)
    assert (refused.status, "--adopt" in refused.text) == (1, True)
    adopted = commands.run("apply", file, "--adopt")
    assert (adopted.status, "~ fleet bakery: adopted" in adopted.text) == (0, True)


@pytest.mark.requirement("S09")
def test_a_malformed_file_ends_the_process_with_status_2_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[fleet]\nname = "x\n')
    done = subprocess.run(
        [sys.executable, "manage.py", "apply", str(file)], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": database.url()},
    )  # fmt: skip

    assert done.returncode == 2, done.stderr
    assert "not TOML, line 2, column 10" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["bakery", "solar"])
def test_the_examples_are_sound(name: str) -> None:
    folder = ROOT / "examples" / name

    assert commands.run("apply", folder / "fleet.toml").status == 0
    assert "BSD 3-Clause License" in (folder / "LICENSE").read_text()
