"""Runs over HTTP: asked for, followed, cancelled, deleted; a request writes rows and never waits for a broker."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from registry.models import Fleet, RegisteredModel
from registry.reports import Scorecard
from tests import factories
from tests.rest_client import Caller, caller, problem
from training import chunks
from training.models import Batch, RunLog, TrainingRun
from training.policy_terms import RunDetails

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


@pytest.fixture
def bakery() -> Fleet:
    fleet = factories.fleet(name="bakery")
    factories.policy(fleet=fleet, name="nightly")
    for entity in ("bread", "roll"):
        factories.registered_model(fleet=fleet, entity_key=entity)
    return fleet


@pytest.fixture
def operator() -> Caller:
    return caller(role="operator")


def _bread(bakery: Fleet) -> RegisteredModel:
    return bakery.registered_models.get(entity_key="bread")


@pytest.mark.requirement("P01")
@pytest.mark.requirement("P02")
@pytest.mark.requirement("S07")
def test_one_model_is_asked_for_and_its_run_can_be_followed(operator: Caller, bakery: Fleet) -> None:
    answer = operator.post("runs", {"fleet": "bakery", "entity": "bread", "days": 400, "reason": "New oven."})
    assert answer.status_code == 202, answer.json()
    body = answer.json()
    [run] = body["runs"]
    assert answer.headers["Location"] == run["url"]
    assert (run["state"], run["entity"], run["queue"], run["policy"]) == ("queued", "bread", "interactive", "nightly")
    assert run["reasons"][0]["trigger"] == "api"
    assert run["reasons"][0]["sentence"] == "New oven."
    assert body["batch"]["look_back_days"] == 400
    assert operator.get(run["url"]).json()["id"] == run["id"]
    assert operator.get(body["batch"]["url"]).json()["progress"]["expected"] == 1
    assert [row["id"] for row in operator.get(body["batch"]["runs_url"]).json()["results"]] == [run["id"]]


def test_a_whole_fleet_is_asked_for_and_its_batch_can_be_followed(operator: Caller, bakery: Fleet) -> None:
    answer = operator.post("runs", {"fleet": "bakery"})
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == body["batch"]["url"]
    assert {run["entity"] for run in body["runs"]} == {"bread", "roll"}
    assert body["batch"]["queue"] == "training"


def test_a_request_that_meets_an_open_run_names_it(operator: Caller, bakery: Fleet) -> None:
    first = operator.post("runs", {"fleet": "bakery", "entity": "bread"}).json()["runs"][0]
    second = operator.post("runs", {"fleet": "bakery", "entity": "bread"}).json()["runs"][0]
    assert (second["state"], second["code"], second["joined"]) == ("skipped", "joined", first["id"])


def test_an_evaluation_of_a_model_without_champion_is_skipped_with_a_reason(operator: Caller, bakery: Fleet) -> None:
    run = operator.post("runs", {"fleet": "bakery", "entity": "bread", "kind": "evaluate"}).json()["runs"][0]
    assert (run["kind"], run["state"], run["code"]) == ("evaluate", "skipped", "no_champion")


def test_an_unknown_fleet_or_entity_starts_nothing(operator: Caller, bakery: Fleet) -> None:
    problem(operator.post("runs", {"fleet": "cakes"}), status=404, code="fleet_unknown")
    body = problem(operator.post("runs", {"fleet": "bakery", "entity": "cake"}), status=404, code="entity_unknown")
    assert body["errors"][0]["pointer"] == "#/entity"
    problem(operator.post("runs", {"fleet": "bakery", "tenant": "globex"}), status=404, code="fleet_unknown")
    assert not Batch.objects.exists()


def test_a_fleet_without_policy_is_a_conflict(operator: Caller) -> None:
    factories.fleet(name="bare")
    problem(operator.post("runs", {"fleet": "bare"}), status=409, code="policy_missing")


def test_waiting_answers_at_once_when_all_has_ended(operator: Caller, bakery: Fleet) -> None:
    bakery.paused = True
    bakery.save()
    answer = operator.post("runs", {"fleet": "bakery", "entity": "bread", "background": False})
    assert answer.status_code == 200
    assert answer.json()["runs"][0]["code"] == "paused"


@pytest.mark.requirement("S07")
def test_waiting_gives_up_after_its_bound_and_says_how_far_it_is(
    operator: Caller, bakery: Fleet, settings: Settings
) -> None:
    settings.PERENNIAL_TRAINING = {**settings.PERENNIAL_TRAINING, "wait_seconds": 0.6}
    began = time.monotonic()
    answer = operator.post("runs", {"fleet": "bakery", "entity": "bread", "background": False})
    assert 0.5 < time.monotonic() - began < 5
    assert answer.status_code == 202
    assert answer.json()["progress"]["counts"] == {"queued": 1}


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("S07")
def test_waiting_sees_the_end_that_somebody_else_writes(operator: Caller, bakery: Fleet, settings: Settings) -> None:
    settings.PERENNIAL_TRAINING = {**settings.PERENNIAL_TRAINING, "wait_seconds": 20.0}

    def carry_out() -> None:
        try:
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                run = TrainingRun.objects.filter(state="queued").first()
                if run is not None:
                    TrainingRun.objects.filter(pk=run.pk).update(state="succeeded")
                    chunks.refresh(run.batch_id)
                    return
                time.sleep(0.05)
        finally:
            connections.close_all()

    worker = threading.Thread(target=carry_out)
    worker.start()
    answer = operator.post("runs", {"fleet": "bakery", "entity": "bread", "background": False})
    worker.join()
    assert answer.status_code == 200
    assert answer.json()["runs"][0]["state"] == "succeeded"
    assert answer.json()["progress"]["percent"] == 100


def test_a_request_needs_no_broker(operator: Caller, bakery: Fleet, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert operator.post("runs", {"fleet": "bakery", "entity": "bread"}).status_code == 202


@pytest.mark.requirement("P01")
def test_runs_are_filtered(operator: Caller, bakery: Fleet) -> None:
    bread, roll = bakery.registered_models.order_by("entity_key")
    failed = factories.run(registered_model=bread, state="failed")
    waiting = factories.run(registered_model=roll)

    def ids(**filters: Any) -> list[str]:
        return [row["id"] for row in operator.get("runs", **filters).json()["results"]]

    assert ids() == [str(waiting.pk), str(failed.pk)]
    assert ids(state="failed") == [str(failed.pk)]
    assert ids(fleet="bakery", entity="roll") == [str(waiting.pk)]
    assert ids(fleet="other") == []
    assert ids(batch=str(failed.batch_id)) == [str(failed.pk)]
    assert ids(kind="evaluate") == []
    problem(operator.get("runs", batch="x"), status=400, code="malformed")


@pytest.mark.requirement("P01")
def test_a_run_tells_what_it_used_found_and_wrote(operator: Caller, bakery: Fleet) -> None:
    model = _bread(bakery)
    details = RunDetails(rows=400, train_rows=372, trainer="ridge", metrics={"mae": 1.5}, warnings=("few points",))
    run = factories.run(
        registered_model=model, state="succeeded", verdict="passed", report=factories.gate_report(), details=details
    )
    for number in range(3):
        RunLog.objects.create(
            run=run, at=factories.NOW + timedelta(seconds=number), level="info", message=f"line {number}"
        )
    body = operator.get(f"runs/{run.pk}").json()
    assert body["report"]["checks"][0]["rule"] == "floor"
    assert body["details"]["metrics"] == {"mae": 1.5}
    assert [line["message"] for line in body["log"]] == ["line 0", "line 1", "line 2"]


def test_an_open_run_is_cancelled_and_an_ended_one_is_not(operator: Caller, bakery: Fleet) -> None:
    run = factories.run(registered_model=_bread(bakery))
    body = operator.post(f"runs/{run.pk}/cancel").json()
    assert (body["state"], body["code"]) == ("cancelled", "cancelled")
    assert "user-" in body["detail"]
    problem(operator.post(f"runs/{run.pk}/cancel"), status=409, code="run_ended")


@pytest.mark.requirement("P01")
def test_the_record_of_an_ended_run_is_deleted(bakery: Fleet) -> None:
    approver = caller(role="approver")
    run = factories.run(registered_model=_bread(bakery), state="failed")
    answer = approver.delete(f"runs/{run.pk}")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(approver.get(f"runs/{run.pk}"), status=404, code="run_unknown")


def test_an_open_run_and_one_that_made_a_version_stay(bakery: Fleet) -> None:
    approver = caller(role="approver")
    model = _bread(bakery)
    version = factories.version(registered_model=model, scorecard=Scorecard())
    waiting = factories.run(registered_model=model)
    made = factories.run(registered_model=model, state="succeeded", version=version)
    problem(approver.delete(f"runs/{waiting.pk}"), status=409, code="run_open")
    problem(approver.delete(f"runs/{made.pk}"), status=409, code="run_kept")


def test_an_operator_deletes_nothing(operator: Caller, bakery: Fleet) -> None:
    run = factories.run(registered_model=_bread(bakery), state="failed")
    problem(operator.delete(f"runs/{run.pk}"), status=403, code="permission_denied")
    assert TrainingRun.objects.filter(pk=run.pk).exists()


@pytest.mark.requirement("T12")
def test_a_batch_tells_how_far_it_is(operator: Caller, bakery: Fleet) -> None:
    bread, roll = bakery.registered_models.order_by("entity_key")
    batch = factories.batch(fleet=bakery)
    factories.run(registered_model=bread, batch=batch, state="succeeded")
    factories.run(registered_model=roll, batch=batch)
    body = operator.get(f"batches/{batch.pk}").json()
    assert body["progress"] == {"expected": 2, "counts": {"succeeded": 1, "queued": 1}, "percent": 50, "state": "open"}
    rows = operator.get("batches", fleet="bakery", state="open").json()["results"]
    assert [row["id"] for row in rows] == [str(batch.pk)]
    assert operator.get("batches", state="done").json()["results"] == []
