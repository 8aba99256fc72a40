"""Real processes are killed, and Redis is emptied or stopped: every run ends, none twice, and the neighbours go on."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from local import state
from tests import fleets
from tests.installation import Installation, until

pytestmark = pytest.mark.timeout(300)
TWENTY = [f"e{number:02d}" for number in range(20)]


def children(site: Installation, batch: str) -> list[int]:
    """The pids of the worker processes that have a chunk of this batch in hand."""
    rows = site.sql(
        "SELECT worker FROM training_chunk WHERE batch_id = %s AND state = 'running' AND kind = 'work'", batch
    )
    return [int(worker.rsplit(":", 1)[1]) for (worker,) in rows]


def one_chunk(site: Installation, batch: str) -> None:
    """Put all runs of a prepared batch into one chunk, before a worker has it."""
    first = "(SELECT min(id) FROM training_chunk WHERE batch_id = %s AND kind = 'work')"
    site.sql(f"UPDATE training_trainingrun SET chunk_id = {first} WHERE batch_id = %s", batch, batch)
    used = "EXISTS (SELECT 1 FROM training_trainingrun r WHERE r.chunk_id = c.id)"
    site.sql(f"DELETE FROM training_chunk c WHERE batch_id = %s AND kind = 'work' AND NOT {used}", batch)


def versions(site: Installation, batch: str) -> dict[str, int]:
    """The number of versions that each model of a batch has."""
    rows = site.sql(
        """
        SELECT m.entity_key, count(v.id) FROM training_trainingrun r
        JOIN registry_registeredmodel m ON m.id = r.registered_model_id
        LEFT JOIN registry_modelversion v ON v.registered_model_id = m.id WHERE r.batch_id = %s GROUP BY 1
        """,
        batch,
    )
    return dict(rows)


@contextmanager
def frozen(site: Installation, name: str) -> Iterator[None]:
    """Stop a process for the length of a block."""
    pid = site.pid(name)
    os.kill(pid, signal.SIGSTOP)
    # Its child still ends what it was given: nothing may be handed out behind our back.
    silent = "SELECT now() - max(at) > interval '2 seconds' FROM registry_tick"
    try:
        until(lambda: site.sql(silent)[0][0] or None, seconds=20, what="the end of the ticks")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def chunk_of_twenty(site: Installation, tmp_path: Path, *, name: str, days: int = 500, looseness: float = 0.05) -> str:
    """Ask for twenty slow runs in one chunk (CmdStan's); the dispatcher is held back until they are one.

    The looser the trend, and the more days, the longer CmdStan takes.
    """
    fleets.apply(site, tmp_path, name=name, entities=TWENTY, trainer="seasonal_naive", days=days)
    site.batch_done(fleets.trigger(site, fleet=name), seconds=90)
    site.sql(
        "UPDATE training_retrainingpolicy p SET trainers = %s::jsonb FROM registry_fleet f"
        " WHERE f.id = p.fleet_id AND f.name = %s",
        json.dumps([{"name": "prophet", "params": {"optimizer": "cmdstan", "changepoint_prior_scale": looseness}}]),
        name,
    )
    with frozen(site, "control"):
        made = site.http("POST", "/api/v1/runs", {"fleet": name})
        batch = str(made.body["batch"]["id"])
        # The models are known: their chunk can be formed here as the reading of the source would.
        site.manage("shell", "-c", FORM.format(batch=batch))
        one_chunk(site, batch)
    return batch


FORM = """
from training import forming
from training.models import Batch, Chunk
batch = Batch.objects.get(pk="{batch}")
Chunk.objects.filter(batch=batch).update(state="done")
forming.form(batch)
"""


@pytest.mark.requirement("R26", "S06")
def test_a_worker_killed_in_the_middle_of_a_chunk_of_twenty_loses_nothing(site: Installation, tmp_path: Path) -> None:
    batch = chunk_of_twenty(site, tmp_path, name="killed")
    done = "SELECT count(*) FROM training_trainingrun WHERE batch_id = %s AND state = 'succeeded'"
    until(lambda: site.sql(done, batch)[0][0] >= 2, seconds=60, what="the first commit of the chunk")
    finished = set(site.sql("SELECT id FROM training_trainingrun WHERE batch_id = %s AND state = 'succeeded'", batch))
    [pid] = children(site, batch)
    os.kill(pid, signal.SIGKILL)
    # Its lease says nothing of it for an hour: the worker's main process saw it die, and gives its work back.
    site.sql("UPDATE training_chunk SET lease_until = now() + interval '1 hour' WHERE worker LIKE %s", f"%:{pid}")
    assert site.batch_done(batch, seconds=90) == {"succeeded": 20}
    assert set(versions(site, batch).values()) == {2}
    after = site.sql("SELECT id, attempt FROM training_trainingrun WHERE batch_id = %s", batch)
    assert {attempt for run, attempt in after if (run,) in finished} == {1}
    assert {attempt for run, attempt in after if (run,) not in finished} == {2}


def test_the_only_child_of_a_worker_has_a_successor_within_seconds_each_time_it_ends(site: Installation) -> None:
    # Whether the pool notices an end at once is a race: of several one is lost.
    for _ in range(6):
        [child] = children_of(site.pid("control"))
        os.kill(child, signal.SIGKILL)
        succeeded(site, child)
        ticks_again(site)


def children_of(pid: int) -> set[int]:
    """The processes that a process has begun."""
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def succeeded(site: Installation, child: int) -> None:
    """Wait until control has another child than this one."""
    until(lambda: children_of(site.pid("control")) - {child} or None, seconds=3, what="the next child")


def ticks_again(site: Installation) -> None:
    """Wait for a tick that is later than now."""
    now = site.sql("SELECT now()")[0][0]
    until(lambda: site.sql("SELECT max(at) > %s FROM registry_tick", now)[0][0], seconds=20, what="a tick")


def test_a_run_that_kills_its_process_every_time_is_quarantined_and_takes_no_neighbour(
    site: Installation, tmp_path: Path
) -> None:
    batch = chunk_of_twenty(site, tmp_path, name="poison")
    running = """
        SELECT c.worker FROM training_trainingrun r JOIN training_chunk c ON c.id = r.chunk_id
        JOIN registry_registeredmodel m ON m.id = r.registered_model_id
        WHERE r.batch_id = %s AND m.entity_key = 'e00' AND r.state = 'running' AND c.state = 'running'
    """
    stop = threading.Event()

    def kill_whoever_begins_it() -> None:
        killed: set[int] = set()
        while not stop.is_set():
            for (worker,) in site.sql(running, batch):
                pid = int(worker.rsplit(":", 1)[1])
                if pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            stop.wait(0.02)

    nemesis = threading.Thread(target=kill_whoever_begins_it)
    nemesis.start()
    try:
        counts = site.batch_done(batch, seconds=200)
    finally:
        stop.set()
        nemesis.join(timeout=10)
    assert counts == {"succeeded": 19, "failed": 1}
    query = """
        SELECT r.state, r.code, r.losses, r.next_step <> '' FROM training_trainingrun r
        JOIN registry_registeredmodel m ON m.id = r.registered_model_id WHERE r.batch_id = %s AND m.entity_key = 'e00'
    """
    assert site.sql(query, batch) == [("failed", "quarantined", 3, True)]
    assert versions(site, batch) == {entity: 1 if entity == "e00" else 2 for entity in TWENTY}


@pytest.mark.requirement("S08")
def test_the_web_process_killed_and_redis_emptied_while_a_batch_runs_cost_nothing(
    site: Installation, tmp_path: Path
) -> None:
    fleets.apply(site, tmp_path, name="emptied", entities=TWENTY, trainer="prophet", days=500)
    batch = fleets.trigger(site, fleet="emptied")
    some = "SELECT count(*) FROM training_trainingrun WHERE batch_id = %s AND state = 'succeeded'"
    until(lambda: site.sql(some, batch)[0][0] >= 1, seconds=60, what="the first run")
    web = site.pid("web")
    os.kill(web, signal.SIGKILL)
    with redis.Redis(unix_socket_path=str(state.locate(site.folder).sockets / "redis.sock")) as broker:
        broker.flushall()
    assert site.batch_done(batch, seconds=120) == {"succeeded": 20}
    assert set(versions(site, batch).values()) == {1}
    until(lambda: site.page()["processes"]["web"]["ready"], seconds=60, what="the web process")
    assert site.pid("web") != web
    assert site.http("GET", f"/api/v1/batches/{batch}").body["progress"]["percent"] == 100


@contextmanager
def redis_stopped(site: Installation) -> Iterator[None]:
    """Keep Redis down for the length of a block."""
    hold = site.folder / "redis.hold"
    hold.touch()
    os.kill(int((site.folder / "redis.pid").read_text()), signal.SIGKILL)
    try:
        yield
    finally:
        hold.unlink()


def inline(site: Installation, entity: str) -> tuple[list[tuple[str, str]], str]:
    """Ask for an inline run and return the states and codes of such runs of this entity, and what the command said."""
    said = site.manage("retrain", "absent", entity, "--inline", check=False)
    query = """
        SELECT r.state, r.code FROM training_trainingrun r
        JOIN registry_registeredmodel m ON m.id = r.registered_model_id JOIN registry_fleet f ON f.id = m.fleet_id
        WHERE f.name = 'absent' AND r.queue = 'inline' AND m.entity_key = %s
    """
    return site.sql(query, entity), said.stdout + said.stderr


@pytest.mark.requirement("S06", "S09")
def test_an_inline_run_of_a_model_that_a_worker_has_ends_locked_also_with_redis_stopped(
    site: Installation, tmp_path: Path
) -> None:
    batch = chunk_of_twenty(site, tmp_path, name="absent", days=680, looseness=2.0)
    running = "SELECT count(*) FROM training_trainingrun WHERE batch_id = %s AND state = 'running'"
    until(lambda: site.sql(running, batch)[0][0] > 0, seconds=60, what="a run that is being fitted")
    # The last two of the chunk: the worker has them for as long as it fits the eighteen before.
    states, said = inline(site, "e19")
    assert states == [("skipped", "locked")]
    assert "1 skipped" in said
    with redis_stopped(site):
        states, said = inline(site, "e18")
        assert states == [("skipped", "locked")]
        asked = time.monotonic()
        answer = site.http("POST", "/api/v1/runs", {"fleet": "killed", "entity": "e01"})
        assert answer.status == 202
        assert time.monotonic() - asked < 5
    assert site.batch_done(batch, seconds=120) == {"succeeded": 20}
    assert site.batch_done(str(answer.body["batch"]["id"]), seconds=120) == {"succeeded": 1}
