"""The list of workers, as they report themselves; nothing is started or stopped here."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display as column

from registry import display, timestamps
from registry.admin import base
from training import conf
from training.models import Worker


def condition(worker: Worker) -> str:
    """Return the one word for a worker: live, silent or stopped."""
    if worker.stopped_at is not None:
        return "stopped"
    silent = timedelta(seconds=conf.current().worker_silent_seconds)
    return "silent" if timestamps.utc_now() - worker.seen_at > silent else "live"


@admin.register(Worker)
class WorkerAdmin(base.ScopedAdmin):
    """One process start of a worker."""

    tenant_path = ""
    always_readonly = True
    list_display = ("name", "state", "queue_list", "slots", "host", "pid", "started", "seen")
    search_fields = ("name", "host")

    @column(description="state")
    def state(self, worker: Worker) -> Any:
        return display.badge(condition(worker))

    @column(description="queues")
    def queue_list(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @column(description="started", ordering="started_at")
    def started(self, worker: Worker) -> Any:
        return display.instant(worker.started_at, seconds=True)

    @column(description="last seen", ordering="seen_at")
    def seen(self, worker: Worker) -> Any:
        return display.instant(worker.seen_at, seconds=True)
