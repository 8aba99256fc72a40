"""Whether this installation may serve: checks before a start, and readiness while it runs. Repairs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from django.core import checks
from django.db import DatabaseError, InterfaceError
from django.urls import URLPattern, URLResolver, get_resolver
from redis.backoff import NoBackoff
from redis.retry import Retry

from registry import conf, errors, metrics, ownership, schema, ticks
from registry.history import restoring
from registry.upkeep import store_watch
from training import clock, workers

API_ROUTE = "api/v1/"
QUEUES = ("control", "export", "maintenance", "interactive", "training")
REDIS_SECONDS = 1.0
TICK_SILENT = timedelta(seconds=60)  # the dispatcher ticks every second, the slowest sweep every quarter of a minute


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look found: `ok`, `degraded` (work waits or is done twice) or `failed` (nothing can be served).

    Also `unknown`, where nobody has looked yet; that counts for nothing.
    """

    name: str
    state: str
    sentence: str
    details: dict[str, Any]


def ready() -> list[Finding]:
    """Look at every part that serving needs. Without a database the parts behind it are left out."""
    database = _database()
    if database.state == "failed":
        return [database, _redis()]
    now = clock.now()
    migrations = _migrations()
    behind = [_ledger(), *_stores(now)] if migrations.state == "ok" else []
    return [database, migrations, *behind, _redis(), _workers(), _beat(now)]


def verdict(findings: Sequence[Finding]) -> str:
    """Return the worst state of them: `ok`, `degraded` or `failed`."""
    states = {finding.state for finding in findings}
    return next((state for state in ("failed", "degraded") if state in states), "ok")


def _database() -> Finding:
    try:
        clock.now()
    except (DatabaseError, InterfaceError):
        return Finding(name="database", state="failed", sentence="The database does not answer.", details={})
    return Finding(name="database", state="ok", sentence="", details={})


def _migrations() -> Finding:
    missing = schema.unapplied()
    if missing:
        sentence = f"{len(missing)} migrations are not applied. Run `manage.py migrate`."
        return Finding(name="migrations", state="failed", sentence=sentence, details={"unapplied": missing})
    return Finding(name="migrations", state="ok", sentence="", details={})


def _ledger() -> Finding:
    if restoring.is_needed():
        sentence = "The database was restored into a younger server and takes no events. Run `manage.py after_restore`."
        return Finding(name="ledger", state="failed", sentence=sentence, details={})
    return Finding(name="ledger", state="ok", sentence="", details={})


def _stores(now: datetime) -> list[Finding]:
    """Never `failed`: champions and forecasts are read from rows, and runs wait or end with an error of their own."""
    known = store_watch.known(now=now)
    return [_store(purpose, known) for purpose in ownership.in_use()]


def _store(purpose: str, known: Mapping[str, store_watch.Trouble | None]) -> Finding:
    name = {ownership.ARTIFACTS: "artifact_store", ownership.BACKUP: "backup_store"}[purpose]
    if purpose not in known:
        sentence = "No worker has looked at it yet since periodic jobs run."
        return Finding(name=name, state="unknown", sentence=sentence, details={})
    if (trouble := known[purpose]) is None:
        return Finding(name=name, state="ok", sentence="", details={})
    details = {"code": trouble.code, "next_step": trouble.next_step, "since": trouble.since.isoformat()}
    return Finding(name=name, state="degraded", sentence=trouble.sentence, details=details)


def _redis() -> Finding:
    asked = redis.Redis.from_url(
        conf.redis_url(),
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        asked.ping()
    except redis.RedisError:
        sentence = "Redis does not answer: runs are taken up when it does; reading, promoting and rolling back go on."
        return Finding(name="redis", state="degraded", sentence=sentence, details={})
    finally:
        asked.close()
    return Finding(name="redis", state="ok", sentence="", details={})


def _workers() -> Finding:
    alive = list(workers.live())
    counts = {queue: sum(queue in worker.queues for worker in alive) for queue in QUEUES}
    unserved = [queue for queue, number in counts.items() if not number]
    sentence = f"No worker takes work from: {', '.join(unserved)}." if unserved else ""
    return Finding(name="workers", state="degraded" if unserved else "ok", sentence=sentence, details=counts)


def _beat(now: datetime) -> Finding:
    last = ticks.last()
    is_silent = last is None or now - last > TICK_SILENT
    sentence = "No periodic job has run lately: celery-beat or the control worker is down." if is_silent else ""
    details = {"last_tick": last.isoformat() if last else None}
    return Finding(name="beat", state="degraded" if is_silent else "ok", sentence=sentence, details=details)


# A check of deployments alone: `manage.py migrate` runs the others first, and must not refuse what it is there to mend.
@checks.register(checks.Tags.database, deploy=True)
def migrations_are_applied(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse a database that is older than the code: `manage.py check --deploy --database default`."""
    if not databases or "default" not in databases:
        return []
    missing = schema.unapplied()
    if not missing:
        return []
    return [
        checks.Error(
            f"Migrations are not applied: {', '.join(missing)}.", hint="Run `manage.py migrate`.", id="perennial.E001"
        )
    ]


@checks.register(checks.Tags.security)
def every_route_declares_its_roles(**kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse an API view that does not say which role each of its methods needs."""
    return [
        checks.Error(f"The route /{route} does not declare the roles of {method}.", id="perennial.E002")
        for route, callback in routes()
        if route.startswith(API_ROUTE)
        for method in _undeclared(callback)
    ]


@checks.register(checks.Tags.compatibility)
def every_added_metric_keeps_its_contract(**kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse to start beside a metric plug-in that would fail every request that needs the catalogue."""
    try:
        metrics.catalogue()
    except metrics.MetricInvalid as error:
        return [checks.Error(error.sentence, hint=error.next_step, id="perennial.E003")]
    return []


@checks.register(checks.Tags.files)
def the_backup_store_is_another_place(**kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse a second store within the first one: what takes the one takes the copies too."""
    try:
        ownership.refuse_overlap()
    except errors.PerennialError as error:
        return [checks.Error(error.sentence, hint=error.next_step, id="perennial.E004")]
    return []


def routes() -> list[tuple[str, Callable[..., Any]]]:
    """Return every URL pattern with its view."""
    return _walk(get_resolver().url_patterns, "")


def _walk(patterns: Sequence[URLPattern | URLResolver], prefix: str) -> list[tuple[str, Callable[..., Any]]]:
    found: list[tuple[str, Callable[..., Any]]] = []
    for each in patterns:
        route = prefix + str(each.pattern)
        found += _walk(each.url_patterns, route) if isinstance(each, URLResolver) else [(route, each.callback)]
    return found


def _undeclared(callback: Callable[..., Any]) -> list[str]:
    view = getattr(callback, "view_class", None)
    declared: Mapping[str, str] | None = getattr(view, "required", None)
    if declared is None:
        return ["any method"]
    return [
        name.upper()
        for name in ("get", "post", "put", "patch", "delete")
        if hasattr(view, name) and name.upper() not in declared
    ]
