"""Every task waits for the migrations."""

from __future__ import annotations

import logging

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from config import celery_app
from config.duty import Duty
from registry import schema


@pytest.mark.requirement("B07")
def test_every_task_is_of_the_class_that_waits() -> None:
    celery_app.loader.import_default_modules()
    celery_app.finalize()
    own = {name: task for name, task in celery_app.tasks.items() if not name.startswith("celery.")}
    assert own
    assert all(isinstance(task, Duty) for task in own.values())


@pytest.mark.django_db
def test_a_task_does_nothing_while_a_migration_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schema, "_reached", False)
    done: list[str] = []

    class Work(Duty):
        name = "tests.work"

        def run(self) -> None:
            done.append("work")

    Work.bind(celery_app)
    task = Work()
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("registry", "0001_initial")
    with caplog.at_level(logging.WARNING):
        task()
    assert (done, "tests.work waits" in caplog.text) == ([], True)
    recorder.record_applied("registry", "0001_initial")
    task()
    assert done == ["work"]
