"""Embedded PostgreSQL and Redis, as real commands meet them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import environ
import psycopg
import pytest
import redis

from local import errors, postgres, state
from tests.local.conftest import Machine, answer, is_gone, wait_until


def query(database_url: str, statement: str) -> Any:
    """The first column of the first row; None where the statement returns no rows."""
    found = environ.Env.db_url_config(database_url)
    with psycopg.connect(host=found["HOST"], dbname=found["NAME"], user=found["USER"], autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_first_start_serves_both_and_a_second_command_attaches_to_the_same(machine: Machine) -> None:
    first = machine.attach()
    before = machine.pid("postgres"), machine.pid("redis"), machine.pid("keeper")

    second = machine.attach()

    assert first == second
    assert (machine.pid("postgres"), machine.pid("redis"), machine.pid("keeper")) == before
    assert query(first["database_url"], "SELECT current_database() || current_setting('TimeZone')") == "perennialUTC"
    assert query(first["database_url"], "SHOW server_version_num") >= "180000"
    policy = redis.Redis.from_url(first["redis_url"]).config_get("maxmemory-policy")
    assert policy == {"maxmemory-policy": "noeviction"}


def test_nothing_listens_on_tcp_and_the_folders_are_private(machine: Machine) -> None:
    told = machine.attach()

    assert query(told["database_url"], "SHOW listen_addresses") == ""
    assert redis.Redis.from_url(told["redis_url"]).config_get("port") == {"port": "0"}
    for folder in (machine.folder.root, machine.folder.sockets):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_last_command_to_leave_stops_both_servers(machine: Machine) -> None:
    machine.attach()
    staying = machine.start()
    answer(staying)
    running = machine.pids()

    machine.commands.pop(0).communicate(timeout=10)
    assert not any(map(is_gone, running))

    machine.leave()
    wait_until(lambda: all(map(is_gone, running)))
    assert not machine.folder.pid_file("postgres").exists()
    assert not machine.folder.keeper_socket.exists()


def test_killed_command_counts_as_one_that_left(machine: Machine) -> None:
    command = machine.start()
    answer(command)
    running = machine.pids()

    command.kill()

    wait_until(lambda: all(map(is_gone, running)))


def test_command_that_comes_while_the_servers_stop_gets_new_ones(machine: Machine) -> None:
    told = machine.attach()
    keeper = machine.pid("keeper")

    os.kill(keeper, signal.SIGTERM)
    again = machine.attach()

    assert again == told
    assert machine.pid("keeper") != keeper
    assert query(again["database_url"], "SELECT 1") == 1


def test_keeper_killed_with_its_servers_running_is_replaced_and_no_data_is_lost(machine: Machine) -> None:
    told = machine.attach()
    query(told["database_url"], "CREATE TABLE kept AS SELECT 42 AS value")
    before = machine.pids()

    os.kill(machine.pid("keeper"), signal.SIGKILL)
    again = machine.attach()

    assert again == told
    assert query(again["database_url"], "SELECT value FROM kept") == 42
    assert redis.Redis.from_url(again["redis_url"]).ping()
    wait_until(lambda: all(map(is_gone, before)))


def test_server_that_crashed_is_started_again_but_not_while_a_hold_file_exists(machine: Machine) -> None:
    told = machine.attach()
    crashed = machine.pid("postgres")
    os.kill(crashed, signal.SIGKILL)
    wait_until(lambda: machine.folder.pid_file("postgres").exists() and machine.pid("postgres") != crashed)
    wait_until(lambda: postgres_answers(told["database_url"]))

    machine.folder.hold_file("redis").touch()
    os.kill(machine.pid("redis"), signal.SIGKILL)
    wait_until(lambda: not machine.folder.pid_file("redis").exists())
    assert machine.attach() == told, "a command may start while a server is held down"
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(told["redis_url"], retry=None).ping()

    machine.folder.hold_file("redis").unlink()
    wait_until(machine.folder.pid_file("redis").exists)
    wait_until(lambda: redis_answers(told["redis_url"]))


def test_long_running_command_gets_its_servers_back_after_their_keeper_was_killed(machine: Machine) -> None:
    told = machine.attach()
    killed = machine.pid("keeper")
    os.kill(killed, signal.SIGKILL)

    def is_replaced() -> bool:
        machine.renew()
        return machine.pid("keeper") != killed

    wait_until(is_replaced)
    assert query(told["database_url"], "SELECT 1") == 1
    assert redis_answers(told["redis_url"])


def postgres_answers(database_url: str) -> bool:
    """Whether the database takes a connection now."""
    try:
        return bool(query(database_url, "SELECT 1") == 1)
    except psycopg.OperationalError:
        return False


def redis_answers(redis_url: str) -> bool:
    """Whether Redis takes a connection now."""
    try:
        return bool(redis.Redis.from_url(redis_url, retry=None).ping())
    except redis.ConnectionError:
        return False


def test_many_commands_at_once_share_one_keeper(machine: Machine) -> None:
    told = [answer(command) for command in [machine.start() for _ in range(6)]]

    assert len({tuple(sorted(one.items())) for one in told}) == 1
    started = (machine.folder.log_file("postgres")).read_text().count("database system is ready to accept connections")
    assert started == 1


def test_state_path_too_long_for_a_socket_address_works(far_machine: Machine) -> None:
    told = far_machine.attach()

    assert query(told["database_url"], "SELECT 1") == 1
    assert redis.Redis.from_url(told["redis_url"]).ping()
    assert len(os.fsencode(far_machine.folder.sockets)) <= state.MAX_ROOT_BYTES
    assert stat.S_IMODE(far_machine.folder.sockets.stat().st_mode) == 0o700


def test_first_start_that_was_interrupted_is_done_again(machine: Machine) -> None:
    state.prepare(machine.folder)
    half_made = machine.folder.root / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")

    told = machine.attach()

    assert query(told["database_url"], "SELECT 1") == 1
    assert not half_made.exists()


def test_pid_file_of_a_number_that_now_belongs_to_another_program_is_no_obstacle(machine: Machine) -> None:
    told = machine.attach()
    machine.leave()
    wait_until(lambda: not machine.folder.keeper_socket.exists())
    wait_until(lambda: not machine.folder.pid_file("postgres").exists())
    (machine.folder.root / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    machine.folder.pid_file("redis").write_text(f"{os.getpid()}\n")

    assert machine.attach() == told
    assert query(told["database_url"], "SELECT 1") == 1


def test_with_both_urls_set_nothing_is_started(machine: Machine) -> None:
    told = machine.attach(DATABASE_URL="postgres://db.example/perennial", REDIS_URL="redis://cache.example/0")

    assert told == {"database_url": "postgres://db.example/perennial", "redis_url": "redis://cache.example/0"}
    assert not machine.folder.root.exists()


def test_one_url_replaces_one_server_alone(machine: Machine) -> None:
    told = machine.attach(DATABASE_URL="postgres://db.example/perennial")

    assert told["database_url"] == "postgres://db.example/perennial"
    assert redis.Redis.from_url(told["redis_url"]).ping()
    assert not machine.folder.pid_file("postgres").exists()


def test_server_that_cannot_start_is_a_sentence_with_the_next_step(machine: Machine) -> None:
    state.prepare(machine.folder)
    data = machine.folder.root / "postgres"
    data.mkdir(mode=0o700)
    (data / "PG_VERSION").write_text("9\n")

    told = machine.attach()

    assert told["code"] == "server_not_ready"
    assert "DATABASE_URL" in told["sentence"]
    assert str(machine.folder.log_file("postgres")) in told["sentence"]


def test_state_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    foreign = Path("/usr")
    if os.geteuid() == 0:
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        os.chown(foreign, 65534, 65534)

    with pytest.raises(errors.LocalError, match="belongs to another user") as refusal:
        state.prepare(state.State(root=foreign))

    assert refusal.value.code == "foreign_state"


@pytest.mark.parametrize(("version", "code"), [("5.0.7", "redis_too_old"), ("6.2.0", "ok"), ("8.0.1", "ok")])
def test_redis_of_the_machine_is_taken_from_6_2_on(tmp_path: Path, version: str, code: str) -> None:
    server = tmp_path / "redis-server"
    server.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0 bits=64'\n")
    server.chmod(0o755)
    asked = (
        "from local import errors, redis\n"
        "try: print('ok', redis.find_binary())\n"
        "except errors.LocalError as refusal: print(refusal.code, refusal)"
    )

    # Without site-packages there is no bundled server to fall back to.
    said = subprocess.run(
        [sys.executable, "-S", "-c", asked],
        cwd=state.PROJECT,
        env={"PATH": str(tmp_path) + ":/bin"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert said.startswith(f"{code} ")
    assert str(server) in said
    assert ("REDIS_URL" in said) is (code != "ok")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_root_runs_postgresql_in_a_user_namespace_or_as_nobody(machine: Machine) -> None:
    runner = postgres.find_runner(state.prepare(machine.folder))

    assert runner.become is not None
