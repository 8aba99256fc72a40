"""The whole loop with real processes: asked for over HTTP, carried out by workers, read over HTTP."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests import fleets
from tests.installation import Installation, until

pytestmark = pytest.mark.timeout(240)


@pytest.mark.requirement("S02", "S07", "T11", "C05", "R25")
def test_a_trigger_over_http_ends_in_a_champion_and_its_forecast_under_one_id(
    site: Installation, tmp_path: Path
) -> None:
    fleets.apply(site, tmp_path, name="light", entities=("a", "b"), trainer="prophet")
    answer = site.http("POST", "/api/v1/runs", {"fleet": "light", "reason": "first light"})
    assert answer.status == 202
    address = answer.headers["Location"]
    until(lambda: site.http("GET", address).body["batch"]["state"] == "done", seconds=90, what="the batch")
    champion = site.http("GET", "/api/v1/models/light/a/champion").body
    forecast = site.http("GET", "/api/v1/models/light/a/forecast").body
    query = """
        SELECT r.id::text, v.artifact_digest, v.artifact_size
        FROM training_trainingrun r JOIN registry_modelversion v ON v.id = r.id
        JOIN registry_registeredmodel m ON m.id = v.registered_model_id JOIN registry_fleet f ON f.id = m.fleet_id
        WHERE f.name = 'light' AND m.entity_key = 'a'
    """
    [(run_id, digest, size)] = site.sql(query)
    stored = (site.folder / "artifacts" / "artifacts" / digest[:2] / digest).read_bytes()
    assert (hashlib.sha256(stored).hexdigest(), len(stored)) == (digest, size)
    assert (champion["id"], champion["artifact"]["digest"]) == (run_id, digest)
    assert (forecast["version"], forecast["digest"], len(forecast["points"])) == (run_id, digest, 7)
    history = site.http("GET", "/api/v1/models/light/a/history").body["results"]
    assert run_id in {event["to_version"] for event in history}
    assert run_id in site.log


@pytest.mark.requirement("S01", "S08")
def test_beat_alone_fires_a_policy_that_becomes_due(site: Installation) -> None:
    query = """
        SELECT b.slot, b.id::text FROM training_batch b JOIN registry_fleet f ON f.id = b.fleet_id
        WHERE f.name = 'minutely' AND b.slot IS NOT NULL ORDER BY b.slot LIMIT 1
    """
    [(slot, batch)] = until(lambda: site.sql(query) or None, seconds=75, what="a batch of the schedule")
    assert slot.second == 0
    assert site.batch_done(batch, seconds=60) == {"succeeded": 1}
    policy = site.http("GET", "/api/v1/policies/minutely/nightly").body
    assert len(policy["next_slots"]) == 3
    [(key,)] = site.sql(
        "SELECT p.id FROM training_retrainingpolicy p JOIN registry_fleet f ON f.id = p.fleet_id WHERE f.name = %s",
        "minutely",
    )
    shown = site.admin(f"/admin/training/retrainingpolicy/{key}/change/")
    assert f"{slot:%Y-%m-%d %H:%M}" in shown
    assert batch in shown
    assert "Next slots" in shown and "Beat's last tick" in shown.replace("&#x27;", "'")
    runs = site.admin(f"/admin/training/batch/{batch}/change/")
    assert f"{slot:%Y-%m-%d %H:%M}" in runs and "succeeded" in runs
    paused = site.http("POST", "/api/v1/policies/minutely/nightly/pause", {})
    assert paused.status == 200, paused


def test_workers_that_nobody_waits_for_give_way_to_the_others(site: Installation) -> None:
    query = "SELECT queues, pid FROM training_worker WHERE stopped_at IS NULL"
    patience = {tuple(queues): os.getpriority(os.PRIO_PROCESS, pid) for queues, pid in site.sql(query)}
    patient = [nice for queues, nice in patience.items() if set(queues) <= {"training", "monitoring"}]
    others = [nice for queues, nice in patience.items() if not set(queues) <= {"training", "monitoring"}]
    assert patient and others
    assert min(patient) > max(others)


@pytest.mark.requirement("S06")
def test_a_chunk_whose_message_comes_twice_is_fitted_once(site: Installation, tmp_path: Path) -> None:
    fleets.apply(site, tmp_path, name="twice", entities=("a",), trainer="prophet")
    batch = fleets.trigger(site, fleet="twice")
    query = "SELECT id, attempt FROM training_chunk WHERE batch_id = %s AND kind = 'work' AND attempt > 0"
    [(chunk, attempt)] = until(lambda: site.sql(query, batch) or None, seconds=60, what="a dispatched chunk")
    message = f"carry_out.apply_async(kwargs=dict(chunk_id={chunk}, attempt={attempt}), queue=queue)"
    site.manage(
        "shell",
        "-c",
        f"from training.tasks import carry_out\nfor queue in ('interactive', 'training', 'training'): {message}",
    )
    assert site.batch_done(batch, seconds=60) == {"succeeded": 1}
    versions = "(SELECT count(*) FROM registry_modelversion v WHERE v.id = r.id)"
    runs = site.sql(f"SELECT attempt, {versions} FROM training_trainingrun r WHERE batch_id = %s", batch)
    assert runs == [(1, 1)]


@pytest.mark.requirement("R09", "R14", "R22")
def test_a_flipped_bit_is_refused_by_name_and_the_previous_champion_serves_at_once(
    site: Installation, tmp_path: Path
) -> None:
    data = fleets.apply(site, tmp_path, name="flipped", entities=("a",))
    site.batch_done(fleets.trigger(site, fleet="flipped"), seconds=60)
    first = site.http("GET", "/api/v1/models/flipped/a/champion").body
    fleets.write(data, entities=("a",), days=130)
    site.batch_done(fleets.trigger(site, fleet="flipped", entity="a"), seconds=60)
    second = site.http("GET", "/api/v1/models/flipped/a/champion").body
    assert second["id"] != first["id"]
    [(digest,)] = site.sql("SELECT artifact_digest FROM registry_modelversion WHERE id = %s", second["id"])
    file = site.folder / "artifacts" / "artifacts" / digest[:2] / digest
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(bytes(damaged))
    fleets.write(data, entities=("a",), days=150)
    batch = fleets.trigger(site, fleet="flipped", entity="a", kind="evaluate")
    site.batch_done(batch, seconds=60)
    [(code, sentence)] = site.sql("SELECT code, sentence FROM training_trainingrun WHERE batch_id = %s", batch)
    assert "corrupt" in code
    assert second["id"] in sentence
    rolled = site.http("POST", "/api/v1/models/flipped/a/rollback", {"reason": "the file is damaged"})
    assert rolled.status in (200, 201)
    assert site.http("GET", "/api/v1/models/flipped/a/forecast").body["version"] == first["id"]


def test_a_second_up_says_that_one_is_running(site: Installation) -> None:
    said: subprocess.CompletedProcess[str] = site.manage("up", "--web-port", "0", check=False)
    assert said.returncode == 1
    assert str(site.page()["pid"]) in said.stderr
