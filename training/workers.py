"""Which workers are alive, as they report themselves in the database; one that is silent counts as gone."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import QuerySet, Sum
from django.db.models.functions import Now

from training import conf
from training.models import Worker


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process start of a worker node."""

    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    slots: int
    version: str


# Made before a worker forks, so that its children have it too: containers may share a host's name and no processes.
_MARK = secrets.token_hex(4)


def name_of(pid: int) -> str:
    """Return the name under which this process, or a child of it, claims chunks; no other worker's child has it."""
    return f"{socket.gethostname()}.{_MARK}:{pid}"


def live() -> QuerySet[Worker]:
    """Return the workers seen within `worker_silent_seconds`."""
    limit = Now() - timedelta(seconds=conf.current().worker_silent_seconds)
    return Worker.objects.filter(seen_at__gte=limit, stopped_at=None)


def serving(queue: str) -> bool:
    """Return whether a live worker takes work from this queue."""
    return live().filter(queues__contains=[queue]).exists()


def slots(queue: str) -> int:
    """Return how many runs of this queue can go on at once."""
    total: int | None = live().filter(queues__contains=[queue]).aggregate(total=Sum("slots"))["total"]
    return total or 0


def unserved(queues: Sequence[str]) -> list[str]:
    """Return those of the queues that no live worker serves."""
    served = {queue for worker in live() for queue in worker.queues}
    return [queue for queue in queues if queue not in served]


def report(identity: Identity) -> None:
    """Say that this worker is alive."""
    fixed = {
        "host": identity.host,
        "pid": identity.pid,
        "queues": list(identity.queues),
        "slots": identity.slots,
        "version": identity.version,
    }
    Worker.objects.update_or_create(
        name=identity.name,
        defaults={**fixed, "seen_at": Now()},
        create_defaults={**fixed, "seen_at": Now(), "started_at": Now()},
    )


def leave(name: str) -> None:
    """Say that this worker has stopped."""
    Worker.objects.filter(name=name, stopped_at=None).update(stopped_at=Now())
