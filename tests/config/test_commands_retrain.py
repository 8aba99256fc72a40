"""`manage.py retrain`: what it asks for, rehearses, carries out and says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from registry import switches
from registry.models import Event, Fleet, ModelVersion, RegisteredModel
from tests.config import commands
from training import carrying, chunks, clock
from training.models import Batch, Snapshot, TrainingRun, Worker

TABLES = (Batch, TrainingRun, Snapshot, RegisteredModel, ModelVersion, Event)

pytestmark = pytest.mark.django_db(transaction=True)


def a_worker(*queues: str) -> Worker:
    now = clock.now()
    named = {"name": f"test-{'-'.join(queues)}", "host": "test", "pid": 1, "queues": list(queues)}
    return Worker.objects.create(**named, slots=1, started_at=now, seen_at=now)


@contextmanager
def working() -> Iterator[None]:
    """Take and carry out what is queued, as dispatcher and worker together do, in a thread of this process."""
    stopped = threading.Event()

    def work() -> None:
        try:
            while not stopped.wait(0.05):
                for ticket in chunks.take(limit=1):
                    carrying.carry_out(chunk_id=ticket.chunk_id, attempt=ticket.attempt, worker="test")
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=60)


@pytest.mark.requirement("S09")
def test_inline_it_trains_the_whole_fleet_without_a_worker(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    said = commands.run("retrain", "shop", "--inline")

    assert said.status == 0
    assert "shop: 2 passed" in said.text
    models = RegisteredModel.objects.order_by("entity_key")
    assert [(model.entity_key, model.champion_id is not None) for model in models] == [("bread", True), ("cake", True)]
    for word in ("bread", "cake", "version", "MAE", "relative MAE", "verdict", "reason", "seconds"):
        assert word in said.text


def test_its_json_holds_every_run(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    answer = commands.run("retrain", "shop", "--inline", "--json").json

    assert answer["batch"] == str(Batch.objects.get().pk)
    assert [(run["entity"], run["version"], run["state"]) for run in answer["runs"]] == [
        ("bread", 1, "succeeded"),
        ("cake", 1, "succeeded"),
    ]
    assert {run["run"] for run in answer["runs"]} == {
        str(pk) for pk in ModelVersion.objects.values_list("pk", flat=True)
    }


@pytest.mark.requirement("S02")
def test_named_entities_alone_are_retrained(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    commands.run("retrain", "shop", "--inline")
    answer = commands.run("retrain", "shop", "cake", "--inline", "--json", "--days", 60).json

    assert [(run["entity"], run["version"]) for run in answer["runs"]] == [("cake", 2)]
    assert TrainingRun.objects.latest("id").details.days == 60


def test_a_failed_run_ends_it_with_status_1_and_its_reason(tmp_path: Path) -> None:
    commands.shop(tmp_path, days={"bread": 70, "new": 29})
    said = commands.run("retrain", "shop", "--inline")

    assert said.status == 1
    assert "run failed" in said.text
    assert "29" in said.text
    assert RegisteredModel.objects.get(entity_key="bread").champion_id is not None


def test_below_the_table_failed_runs_tell_code_sentence_and_next_step(tmp_path: Path) -> None:
    commands.shop(tmp_path, days={"bread": 70, **{f"new{number}": 29 for number in range(7)}})
    said = commands.run("retrain", "shop", "--inline")

    # As wide as a log: a paragraph may be broken anywhere.
    words = " ".join(said.text.split())
    failed = TrainingRun.objects.filter(code="too_few_points").order_by("registered_model__entity_key")
    assert len(failed) == 7
    told = [f"new{n}: {run.code}. {run.sentence} {run.next_step}" in words for n, run in enumerate(failed)]
    assert told == [True] * 5 + [False] * 2
    assert "2 more failed;" in words


def test_a_source_that_cannot_be_read_ends_it_with_status_1(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    (tmp_path / "sold.csv").unlink()
    said = commands.run("retrain", "shop", "--inline")

    assert said.status == 1
    assert "source_missing. " in said.text
    assert said.text.count("there is no file") == 1


def test_with_nothing_to_do_it_ends_with_status_3(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    commands.run("retrain", "shop", "--inline")
    now = clock.now()
    switches.set_fleets([Fleet.objects.get()], paused=True, actor="test", reason="test", at=now)
    said = commands.run("retrain", "shop", "bread", "--inline")

    assert said.status == 3
    assert "is paused" in said.text


@pytest.mark.requirement("S09")
def test_without_a_worker_it_says_so_and_requests_nothing(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    a_worker("control")
    said = commands.run("retrain", "shop")

    assert said.status == 1
    assert "No live worker serves the queue training" in said.text
    assert "manage.py up" in said.text
    assert "--inline" in said.text
    assert not Batch.objects.exists()


def test_with_a_worker_it_requests_and_says_how_to_follow(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    commands.run("retrain", "shop", "--inline")
    a_worker("control", "interactive", "training")

    whole = commands.run("retrain", "shop")
    assert whole.status == 0
    assert str(Batch.objects.get(queue="training").pk) in whole.text
    assert "manage.py status" in whole.text
    # A person who names a model never waits behind a fleet.
    assert commands.run("retrain", "shop", "bread").status in (0, 3)
    assert Batch.objects.filter(queue="interactive").count() == 1


def test_waiting_it_follows_the_runs_to_their_end(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    a_worker("control", "training")
    with working():
        said = commands.run("retrain", "shop", "--wait")

    assert said.status == 0
    assert "shop: 2 passed" in said.text
    assert Batch.objects.get().state == Batch.State.DONE


def test_waiting_it_gives_up_where_the_last_worker_went(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.shop(tmp_path)
    a_worker("control", "training")
    settings.PERENNIAL_TRAINING = {**settings.PERENNIAL_TRAINING, "worker_silent_seconds": 1.0}
    monkeypatch.setattr("training.following.UNSERVED_SECONDS", 0.5)
    said = commands.run("retrain", "shop", "--wait")

    assert said.status == 1
    assert "No worker serves the queue" in said.text


@pytest.mark.requirement("T14")
def test_a_dry_run_makes_every_check_and_writes_nothing(tmp_path: Path) -> None:
    commands.shop(tmp_path, days={"bread": 70, "new": 29})
    before = [table.objects.count() for table in TABLES]
    said = commands.run("retrain", "shop", "--dry-run")

    assert said.status == 1
    assert [table.objects.count() for table in TABLES] == before
    assert "1 of 2 would be trained, 1 refused." in said.text
    assert "2026-01-01" in said.text
    assert "29" in said.text


def test_a_dry_run_of_a_sound_fleet_says_ok_and_ends_with_status_0(tmp_path: Path) -> None:
    commands.shop(tmp_path, days={"bread": 100})
    said = commands.run("retrain", "shop", "--dry-run")

    assert said.status == 0
    [line] = [line for line in said.text.splitlines() if line.startswith("bread")]
    assert line.split()[-1] == "ok"


@pytest.mark.requirement("T05")
def test_a_dry_run_tells_rows_window_and_warnings_of_each_entity(tmp_path: Path) -> None:
    commands.shop(tmp_path, days={"bread": 70})
    [told] = commands.run("retrain", "shop", "--dry-run", "--json", "--days", 50).json["entities"]

    assert (told["entity"], told["days"], told["rows"]) == ("bread", 50, 50)
    assert (told["start"], told["end"]) == ("2026-01-21", "2026-03-11")
    assert (told["train_rows"], told["test_rows"], told["windows"]) == (29, 21, 3)
    assert told["warnings"] == ["50 usable observations, 90 are recommended."]


def test_a_dry_run_with_every_entity_refused_ends_with_status_1(tmp_path: Path) -> None:
    commands.shop(tmp_path, days={"new": 29})
    said = commands.run("retrain", "shop", "--dry-run", "--json")

    assert said.status == 1
    assert said.json["entities"][0]["code"] == "too_few_points"


def test_a_dry_run_reports_what_is_wrong_with_the_source(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    (tmp_path / "sold.csv").write_text("product,day\nbread,2026-01-01\n")
    said = commands.run("retrain", "shop", "--dry-run")

    assert said.status == 2
    assert "sold" in said.text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["shp"], "There is no fleet 'shp'. Did you mean shop?"),
        (["shop", "--tenant", "other"], "There is no fleet 'shop' in tenant other."),
        (["shop", "bred"], "Fleet shop has no entity 'bred'. Did you mean bread?"),
        (["shop", "bred", "--dry-run"], "Neither fleet shop nor its source has entity 'bred'. Near to it are: bread."),
        (["shop", "--days", "0"], "--days 0: allowed are 1 to 3660."),
        (["shop", "--days", "9999"], "--days 9999: allowed are 1 to 3660."),
    ],
)
def test_an_unknown_name_ends_it_with_status_2_and_the_nearest_names(
    tmp_path: Path, args: list[str], words: str
) -> None:
    commands.shop(tmp_path)
    commands.run("retrain", "shop", "--inline")
    said = commands.run("retrain", *args, *([] if "--dry-run" in args else ["--inline"]))

    assert said.status == 2
    assert words in said.text
    assert Batch.objects.count() == 1


def test_two_tenants_may_have_fleets_of_one_name(tmp_path: Path) -> None:
    commands.shop(tmp_path)
    Fleet.objects.create(tenant="other", name="shop", kind="forecast", frequency="D")

    assert "Choose one with --tenant" in commands.run("retrain", "shop", "--dry-run").text
    assert commands.run("retrain", "shop", "--dry-run", "--tenant", "default").status == 0
