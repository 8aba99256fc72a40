"""Liveness asks nobody; readiness asks everybody, and tells a database that is away from a Redis that is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from pytest_django.fixtures import Settings

from registry import lifecycle, schema, ticks
from registry.models import Tick
from registry.upkeep import store_watch
from tests.rest_client import Caller
from training import clock
from training.models import Worker


def ready() -> Any:
    return Caller().get("/readyz")


def worker(*queues: str) -> Worker:
    now = clock.now()
    name = f"w-{'-'.join(queues)}"
    return Worker.objects.create(name=name, host="h", pid=1, queues=list(queues), started_at=now, seen_at=now)


def test_liveness_needs_no_database() -> None:
    # Without the mark of the database any query would fail this test.
    answer = Caller().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_an_installation_with_all_its_parts_is_ready() -> None:
    worker("control", "export", "maintenance")
    worker("interactive", "training")
    ticks.record("dispatch", at=clock.now())
    body = ready().json()
    assert body["status"] == "ok", body
    assert body["checks"]["workers"]["training"] == 1
    assert body["checks"]["beat"]["last_tick"]


@pytest.mark.django_db
def test_a_store_at_which_nobody_looked_is_not_told_to_be_well() -> None:
    worker("control", "export", "maintenance", "interactive", "training")
    began = clock.now() - timedelta(minutes=11)
    ticks.record("dispatch", at=clock.now())
    assert ready().json()["checks"]["artifact_store"]["status"] == "unknown"
    assert ready().json()["status"] == "ok", "there was no time to look yet"
    Tick.objects.all().delete()
    for seconds in range(0, 12 * 60, 60):
        ticks.record("dispatch", at=began + timedelta(seconds=seconds))
    body = ready().json()
    assert (body["status"], body["checks"]["artifact_store"]["code"]) == ("degraded", "store_unseen")


@pytest.mark.django_db
def test_a_queue_without_a_worker_is_degraded_and_named() -> None:
    worker("control")
    ticks.record("dispatch", at=clock.now())
    answer = ready()
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "export, maintenance, interactive, training" in answer.json()["checks"]["workers"]["detail"]


@pytest.mark.django_db
def test_a_worker_that_fell_silent_does_not_count() -> None:
    silent = worker("control", "interactive", "training")
    Worker.objects.filter(pk=silent.pk).update(seen_at=clock.now() - timedelta(hours=1))
    assert ready().json()["checks"]["workers"]["training"] == 0


@pytest.mark.django_db
@pytest.mark.parametrize("age", [None, timedelta(hours=1)])
def test_a_silent_beat_is_degraded(age: timedelta | None) -> None:
    worker("control", "interactive", "training")
    if age is not None:
        ticks.record("dispatch", at=clock.now() - age)
    body = ready().json()
    assert (body["status"], body["checks"]["beat"]["status"]) == ("degraded", "degraded")


@pytest.mark.django_db
def test_without_redis_the_installation_serves_on_and_says_so(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = ready()
    assert answer.status_code == 200
    assert answer.json()["checks"]["redis"]["status"] == "degraded"


@pytest.mark.django_db
def test_a_store_that_is_away_is_degraded_because_champions_are_read_without_it(artifact_folder: Path) -> None:
    worker("control", "export", "maintenance", "interactive", "training")
    ticks.record("dispatch", at=clock.now())
    lifecycle.store_artifacts([b"bytes"], format="test-1")
    away = artifact_folder.rename(artifact_folder.with_name("away"))
    store_watch.look(at=clock.now())
    answer = ready()
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    seen = answer.json()["checks"]["artifact_store"]
    assert (seen["status"], seen["code"]) == ("degraded", "store_unmarked")
    assert "manage.py store" in seen["next_step"]
    assert str(artifact_folder) not in answer.content.decode(), "whoever asks need not know the address"
    away.rename(artifact_folder)
    store_watch.look(at=clock.now())
    assert ready().json()["checks"]["artifact_store"] == {"status": "ok", "detail": ""}
    assert ready().json()["status"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_without_database_the_installation_is_not_ready() -> None:
    broken = connections["default"]
    kept = dict(broken.settings_dict)
    broken.close()
    broken.settings_dict.update(HOST="/nonexistent", PORT="")
    try:
        answer = ready()
    finally:
        broken.close()
        broken.settings_dict.update(kept)
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["status"] == "failed"


@pytest.mark.django_db
@pytest.mark.requirement("B07")
def test_a_migration_that_is_not_applied_is_found_by_comparison() -> None:
    assert schema.unapplied() == []
    newest = max(name for app, name in MigrationLoader(connection).graph.nodes if app == "training")
    MigrationRecorder(connection).record_unapplied("training", newest)
    assert schema.unapplied() == [f"training.{newest}"]
    answer = ready()
    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"]["unapplied"] == [f"training.{newest}"]
    with pytest.raises(SystemCheckError, match=rf"training\.{newest}"):
        call_command("check", deploy=True, databases=["default"])
    call_command("migrate", check_unapplied=False, plan=True, skip_checks=False, verbosity=0)


@pytest.mark.django_db
@pytest.mark.requirement("B07")
def test_an_installation_with_all_migrations_passes_the_check() -> None:
    call_command("check", deploy=True, databases=["default"])
