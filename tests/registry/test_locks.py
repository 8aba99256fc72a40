"""A lease is held by one, lapses with its holder, shows its loss, and never makes Redis a part that is needed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable

import pytest
import redis
from pytest_django import Settings

from registry import conf, locks

HOLDER = """
import sys, django
django.setup()
from registry import locks
with locks.lease(sys.argv[1], seconds=float(sys.argv[2])) as lease:
    print(lease.held, flush=True)
    sys.stdin.readline()
    print(lease.owned(), flush=True)
"""


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4()}"


def wait_until(condition: Callable[[], object], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.01)


def test_a_second_holder_is_told_that_the_lease_is_held(name: str) -> None:
    with locks.lease(name, seconds=30) as first:
        assert first.held and not first.degraded and first.owned()
        with locks.lease(name, seconds=30) as second:
            assert not second.held and not second.degraded and not second.owned()
        assert first.owned(), "leaving without the lease must not release it"
    with locks.lease(name, seconds=30) as third:
        assert third.held


def test_a_lease_is_ended_for_a_holder_that_is_dead_and_not_for_another(name: str) -> None:
    with locks.lease(name, seconds=30, holder="host.1:12") as held:
        for other in ("host.1:1", "host.1:123", "host"):
            locks.end(name, holder=other)
            assert held.owned()
        locks.end(name, holder="host.1:12")
        assert not held.owned()
        with locks.lease(name, seconds=30) as successor:
            assert successor.held


def test_other_names_are_other_leases(name: str) -> None:
    with locks.lease(name, seconds=30) as first, locks.lease(f"{name}-b", seconds=30) as second:
        assert first.held and second.held


def test_of_many_threads_one_holds_the_lease(name: str) -> None:
    barrier, held = threading.Barrier(8), []

    def take() -> None:
        barrier.wait(20)
        with locks.lease(name, seconds=30) as lease:
            held.append(lease.held)
            barrier.wait(20)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(held) == [False] * 7 + [True]


def test_a_lease_is_renewed_for_as_long_as_its_block_lasts(name: str, redis_server: redis.Redis) -> None:
    key = conf.lock_prefix() + name
    with locks.lease(name, seconds=0.6) as lease:
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > 1.5)
        assert lease.owned() and 0 < redis_server.pttl(key) <= 600
    assert not redis_server.exists(key)


def test_a_lease_lapses_with_its_holder(name: str) -> None:
    holder = start_holder(name, seconds=0.5)
    with locks.lease(name, seconds=5) as early:
        assert not early.held
    holder.send_signal(signal.SIGKILL)
    end(holder)
    wait_until(lambda: taken(name))


def taken(name: str) -> bool:
    with locks.lease(name, seconds=5) as lease:
        return lease.held


def test_a_lost_lease_is_seen_by_its_holder_and_not_released_under_its_successor(
    name: str, redis_server: redis.Redis
) -> None:
    key = conf.lock_prefix() + name
    with locks.lease(name, seconds=30) as lease:
        redis_server.set(key, "somebody else")
        assert not lease.owned()
    assert redis_server.get(key) == b"somebody else"
    redis_server.delete(key)


def test_a_lease_that_was_emptied_is_lost(name: str, redis_server: redis.Redis) -> None:
    with locks.lease(name, seconds=30) as lease:
        redis_server.delete(conf.lock_prefix() + name)
        assert not lease.owned()


def test_a_renewal_does_not_extend_the_lease_of_another(name: str, redis_server: redis.Redis) -> None:
    key = conf.lock_prefix() + name
    with locks.lease(name, seconds=0.3) as lease:
        redis_server.set(key, "somebody else", px=60_000)
        wait_until(lambda: lease._valid_until == 0.0)
        assert redis_server.pttl(key) > 30_000
    redis_server.delete(key)


def test_a_frozen_holder_that_wakes_up_knows_that_it_lost(name: str) -> None:
    holder = start_holder(name, seconds=0.5)
    holder.send_signal(signal.SIGSTOP)
    wait_until(lambda: taken(name))
    holder.send_signal(signal.SIGCONT)
    assert holder.stdin is not None and holder.stdout is not None
    holder.stdin.write("go\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "False\n"
    end(holder)


def start_holder(name: str, *, seconds: float) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ},
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    return holder


def end(holder: subprocess.Popen[str]) -> None:
    holder.communicate(timeout=20)


def test_without_redis_the_lease_is_degraded_and_the_work_goes_on_quickly(name: str, settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock?db=0"
    begun = time.monotonic()
    with locks.lease(name, seconds=30) as lease:
        assert lease.held and lease.degraded and lease.owned()
    assert time.monotonic() - begun < 1


def test_with_a_redis_that_does_not_answer_the_lease_is_degraded_within_its_deadline(
    name: str, settings: Settings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        begun = time.monotonic()
        with locks.lease(name, seconds=30) as lease:
            assert lease.held and lease.degraded
        assert time.monotonic() - begun < 2 * (locks.CONNECT_SECONDS + locks.ANSWER_SECONDS)


def test_a_redis_that_goes_away_leaves_the_lease_until_it_would_have_lapsed(name: str, settings: Settings) -> None:
    with locks.lease(name, seconds=1.0) as lease:
        settings.REDIS_URL = "unix:///nonexistent/redis.sock?db=0"
        assert lease.owned()
        wait_until(lambda: not lease.owned())


def test_an_error_inside_the_block_releases_the_lease(name: str) -> None:
    with pytest.raises(ZeroDivisionError), locks.lease(name, seconds=30):
        _ = 1 / 0
    assert taken(name)
