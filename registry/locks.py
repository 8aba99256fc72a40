"""Owns leases in Redis, which save double work. Gives no correctness: claims, fences and constraints of the rows do."""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
import threading
import time
from collections.abc import Iterator

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from registry import conf

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 1.0
# Both compare the token in the step that changes the key: a lapsed holder must not touch its successor's lease.
_RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2]) or 0"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0"
_END = """
local token = redis.call('get', KEYS[1])
return token and string.sub(token, 1, #ARGV[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0
"""


class Lease:
    """What `lease` hands out. `held` is False when another has it; `degraded` says that Redis did not answer."""

    def __init__(self, key: str, *, seconds: float, holder: str = "") -> None:
        self._key = key
        self._token = _token_of(holder) + secrets.token_hex(16)
        self._seconds = seconds
        self._valid_until = 0.0
        self._ended = threading.Event()
        self.held = False
        self.degraded = False

    def owned(self) -> bool:
        """Whether the lease is still this holder's, asked of Redis; without an answer until it would have lapsed.

        A degraded lease is always owned: nobody can say otherwise, and the caller stands on its database claim.
        """
        if self.degraded or not self.held:
            return self.held
        if time.monotonic() >= self._valid_until:
            return False
        try:
            return _client(conf.redis_url()).get(self._key) == self._token.encode()
        except redis.RedisError:
            return time.monotonic() < self._valid_until

    def _acquire(self) -> None:
        asked_at = time.monotonic()
        try:
            taken = _client(conf.redis_url()).set(self._key, self._token, nx=True, px=self._milliseconds)
        except redis.RedisError as error:
            logger.warning("Redis does not answer; proceeding on the database claim alone: %s", error)
            self.held = self.degraded = True
            return
        self.held = bool(taken)
        self._valid_until = asked_at + self._seconds

    def _keep(self) -> None:
        while not self._ended.wait(self._seconds / 3) and time.monotonic() < self._valid_until:
            asked_at = time.monotonic()
            try:
                renewed = self._run(_RENEW, str(self._milliseconds))
            except redis.RedisError as error:
                logger.warning("A lease was not renewed: %s", error)
                continue
            self._valid_until = asked_at + self._seconds if renewed else 0.0

    def _release(self) -> None:
        try:
            self._run(_RELEASE)
        except redis.RedisError as error:
            logger.warning("A lease was not released and lapses by itself: %s", error)

    def _run(self, script: str, *arguments: str) -> object:
        return _client(conf.redis_url()).eval(script, 1, self._key, self._token, *arguments)

    @property
    def _milliseconds(self) -> int:
        return max(1, int(self._seconds * 1000))


def end(name: str, *, holder: str) -> None:
    """Take the lease from a holder that is known to be dead; one that another has stays."""
    with contextlib.suppress(redis.RedisError):
        _client(conf.redis_url()).eval(_END, 1, conf.lock_prefix() + name, _token_of(holder))


def _token_of(holder: str) -> str:
    return f"{holder}/" if holder else ""


@contextlib.contextmanager
def lease(name: str, *, seconds: float, holder: str = "") -> Iterator[Lease]:
    """Hold a lease for the block, renewed at a third of `seconds` by a thread; never waits for another holder.

    Always yields: look at `held` before the work, and at `owned()` before publishing what came of it. Named with its
    holder it can be ended by who knows that this one is dead.
    """
    found = Lease(conf.lock_prefix() + name, seconds=seconds, holder=holder)
    found._acquire()
    if not found.held or found.degraded:
        yield found
        return
    keeper = threading.Thread(target=found._keep, name=f"lease {name}", daemon=True)
    keeper.start()
    try:
        yield found
    finally:
        found._ended.set()
        keeper.join(timeout=CONNECT_SECONDS + ANSWER_SECONDS)
        found._release()


@functools.lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    # No retries: a lock that waits for Redis would make Redis a part that is needed.
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
