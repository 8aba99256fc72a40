"""Whatever the schedule names can be sent as beat sends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from config import celery_app
from config.schedule import Sweep, sweeps
from training.conf import TrainingConf

SWEEPS = sweeps(TrainingConf())


@pytest.fixture(params=SWEEPS)
def sweep(request: pytest.FixtureRequest, redis_server: redis.Redis) -> Iterator[Sweep]:
    """One of them, whose queue is empty afterwards as it was before."""
    found = SWEEPS[request.param]
    yield found
    redis_server.delete(f"{settings.CELERY_BROKER_TRANSPORT_OPTIONS['global_keyprefix']}{found.queue}")


def test_a_periodic_task_can_be_sent(sweep: Sweep) -> None:
    celery_app.loader.import_default_modules()
    assert celery_app.tasks[sweep.task].apply_async(queue=sweep.queue).id
