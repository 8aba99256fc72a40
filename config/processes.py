"""Owns which processes make up one installation, and how each is known to be ready. Starts none of them."""

from __future__ import annotations

import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config import celery_app
from local import state
from local.supervised import Process

HOST = "127.0.0.1"
WEB_THREADS = 4
WORKER_ENV = {
    # Remaps SIGTERM, so that a worker finishes or hands back what it runs before it leaves.
    "REMAP_SIGTERM": "SIGQUIT",
    # Celery warns root about pickled messages; only JSON is accepted here.
    "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
}


def installation(*, web_port: int, training_slots: int | None = None) -> list[Process]:
    """Return web, beat and the workers of one machine, in the order of their start."""
    return [
        web(port=web_port),
        beat(),
        worker("control", queues="control", slots=1),
        # Of its own: a store or a network folder that hangs holds it for minutes.
        worker("export", queues="export", slots=1),
        # Of its own: what frees space works for a minute at a time, and the dispatcher is asked every second.
        worker("maintenance", queues="maintenance", slots=1),
        worker("interactive", queues="interactive", slots=1),
        worker("training", queues="training,monitoring", slots=training_slots or cores()),
    ]


def web(*, port: int) -> Process:
    """Return the web process: admin and REST on the loopback address."""
    processes = os.environ.get("PERENNIAL_WEB_PROCESSES", "1")
    argv = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"{HOST}:{port}", "--worker-class", "gthread"]
    argv += ["--workers", processes, "--threads", str(WEB_THREADS), "--graceful-timeout", "20", "--no-control-socket"]
    return Process("web", tuple(argv), env={"PERENNIAL_ROLE": "web"}, is_ready=lambda: answers(port))


def beat() -> Process:
    """Return the one ticker; its schedule lies in the database."""
    return Process("beat", (*_celery(), "beat", "--pidfile=", "--loglevel=INFO"))


def worker(name: str, *, queues: str, slots: int) -> Process:
    """Return one prefork worker with a node name that is unique among machines and state folders."""
    node = f"{name}@{socket.gethostname()}.{state.locate().digest}"
    options = ["-Q", queues, "-n", node, "--concurrency", str(slots), "--pool", "prefork", "--loglevel=INFO"]
    argv = (*_celery(), "worker", *options, "--without-gossip", "--without-mingle")
    return Process(name, argv, env=WORKER_ENV, is_ready=_answers_ping(node))


def cores() -> int:
    """Return how many cores this process may use; containers often allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def answers(port: int) -> bool:
    """Whether the web process on this port says that it is alive."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=1) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port(port: int) -> int:
    """Return this port, or any free one for 0. Raises OSError where another program listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


def _celery() -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "-A", "config", "--quiet")


def _answers_ping(node: str) -> Callable[[], bool]:
    def ping() -> bool:
        # A connection of its own: one from the pool may be left over from a broker that has been restarted.
        try:
            with celery_app.connection_for_write() as connection:
                return bool(celery_app.control.ping(destination=[node], timeout=0.3, connection=connection))
        except (OperationalError, RedisError, OSError):
            return False

    return ping
