"""`manage.py status`: one look at everything, for people and for programs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from registry import lifecycle, switches, ticks
from registry.models import Fleet
from registry.upkeep import store_watch
from tests import factories
from tests.config import commands
from training import clock, policy_terms, runs
from training.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_empty_installation_names_the_next_steps() -> None:
    said = commands.run("status")

    assert said.status == 0
    assert "No fleet yet. Next: manage.py apply examples/bakery/fleet.toml" in said.text
    assert "No worker is alive. Next: manage.py up" in said.text
    assert "Last tick: never; beat has not run yet. Next: manage.py up" in said.text


def test_it_shows_fleets_models_and_their_last_runs(tmp_path: Path) -> None:
    commands.shop(tmp_path, days={"bread": 70, "new": 29})
    commands.run("retrain", "shop", "--inline")
    answer = commands.run("status", "--json").json

    [fleet] = answer["fleets"]
    assert (fleet["name"], fleet["models"], fleet["champions"], fleet["paused"]) == ("shop", 2, 1, False)
    assert fleet["last_batch"] == "1 failed, 1 succeeded"
    assert fleet["next_slot"] is not None
    bread, new = answer["models"]
    assert (bread["entity"], bread["champion"], bread["trainer"]) == ("bread", 1, "seasonal_naive")
    assert bread["relative_mae"] == 1.0
    assert (bread["last_run"], new["last_run"], new["champion"]) == ("passed", "run failed", None)
    text = commands.run("status").text
    for word in ("Fleets", "Models of shop", "v1 seasonal_naive", "run failed"):
        assert word in text


def test_it_shows_open_batches_and_live_workers(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    now = clock.now()
    Worker.objects.create(name="w1", host="h", pid=1, queues=["control"], slots=2, started_at=now, seen_at=now)
    gone = now - timedelta(hours=1)
    Worker.objects.create(name="w0", host="h", pid=1, queues=["training"], slots=2, started_at=gone, seen_at=gone)
    reason = policy_terms.Reason(trigger="manual")
    batch = runs.request(fleet=Fleet.objects.get(), entities=None, reason=reason, at=now)
    answer = commands.run("status", "--json").json

    assert [(each["batch"], each["queue"]) for each in answer["open_batches"]] == [(str(batch.pk), "interactive")]
    assert [(each["name"], each["queues"], each["slots"]) for each in answer["workers"]] == [("w1", ["control"], 2)]


def test_a_pause_and_the_switch_of_the_installation_are_shown(tmp_path: Path, settings: Settings) -> None:
    commands.shop(tmp_path)
    settings.PERENNIAL_TRAINING = {**settings.PERENNIAL_TRAINING, "enabled": False}
    switches.set_fleets([Fleet.objects.get()], paused=True, actor="test", reason="test", at=clock.now())
    said = commands.run("status")

    assert "paused" in said.text
    assert "Schedules: off for the whole installation (PERENNIAL_TRAINING_ENABLED)" in said.text


def test_a_silent_beat_is_told() -> None:
    ticks.record("dispatch", at=clock.now())
    assert "silent" not in commands.run("status").text

    ticks.record("dispatch", at=clock.now() - timedelta(minutes=5))
    assert "Last tick: 5 min ago; beat is silent. Next: manage.py up" in commands.run("status").text


def test_a_store_that_is_away_is_told_with_what_to_do(artifact_folder: Path) -> None:
    lifecycle.store_artifacts([b"bytes"], format="test-1")
    away = artifact_folder.rename(artifact_folder.with_name("away"))
    store_watch.look(at=clock.now() - timedelta(minutes=5))
    store_watch.look(at=clock.now())
    said = " ".join(commands.run("status").text.split())
    assert "The artifact store has lost its mark" in said
    assert "(store_unmarked, first seen 5 min ago) Next: Run manage.py store" in said
    assert commands.run("status", "--json").json["stores"][0]["code"] == "store_unmarked"

    away.rename(artifact_folder)
    store_watch.look(at=clock.now())
    assert "artifact store" not in commands.run("status").text
    assert commands.run("status", "--json").json["stores"] == []


def test_a_champion_that_is_quarantined_is_told_wherever_it_is_listed() -> None:
    model = factories.registered_model(fleet=factories.fleet(name="shop"), entity_key="bread")
    broken = factories.champion(registered_model=model)
    assert "quarantined" not in commands.run("status").text
    lifecycle.quarantine([broken.pk], actor="ada", cause="manual", reason="Its file is damaged.", at=factories.NOW)
    said = commands.run("status")
    assert "v1 quarantined" in said.text and "1 champion quarantined: the last good one" in " ".join(said.text.split())
    answer = commands.run("status", "--json").json
    assert (answer["champions_quarantined"], answer["models"][0]["champion_state"]) == (1, "quarantined")
    assert "v1 quarantined" in commands.run("models", "shop").text
    [listed] = commands.run("models", "shop", "--json").json["models"]
    assert listed["champion"]["state"] == "quarantined"


def test_one_fleet_and_a_limit_keep_it_short(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    commands.run("retrain", "shop", "--inline")
    Fleet.objects.create(tenant="default", name="other", kind="forecast", frequency="D")
    answer = commands.run("status", "--json", "--fleet", "shop", "--limit", 1).json

    assert [each["name"] for each in answer["fleets"]] == ["shop"]
    assert (len(answer["models"]), answer["models_left_out"]) == (1, 1)
    assert "1 more; see --limit and --fleet" in commands.run("status", "--limit", 1).text


def test_an_unknown_fleet_ends_it_with_status_2(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    said = commands.run("status", "--fleet", "shp")

    assert said == commands.Said(2, "There is no fleet 'shp'. Did you mean shop?")
