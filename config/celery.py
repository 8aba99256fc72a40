"""The Celery application. The message is a hint, the row is the record: no results, no retries, no chords."""

from __future__ import annotations

import os

from celery import Celery

from config.worker_steps import GiveWay, Preload, Presence, Survivors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("perennial", task_cls="config.duty:Duty")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].update({GiveWay, Preload, Presence, Survivors})
