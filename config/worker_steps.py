"""What a worker does besides tasks: loads the libraries before it forks, and reports itself in the database."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import socket
import threading
from typing import Any

from celery import bootsteps

logger = logging.getLogger(__name__)
SCIENTIFIC_QUEUES = {"interactive", "training", "monitoring"}
PATIENT_QUEUES = {"training", "monitoring"}
"""Nobody waits for what is on these."""


class Preload(bootsteps.Step):
    """Load the scientific libraries once in the parent, so that its children share their pages and start at once."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        if SCIENTIFIC_QUEUES & set(worker.app.amqp.queues.consume_from):
            importlib.import_module("training.carrying")
            for path in ("training.trainers.prophet", "training.trainers.sklearn", "training.trainers.seasonal_naive"):
                importlib.import_module(path)
            importlib.import_module("training.trainers.prophet_map.together").warm_up()


class GiveWay(bootsteps.Step):
    """Lower the priority of a worker that only does what nobody waits for; its children inherit it."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        from training import conf

        if set(worker.app.amqp.queues.consume_from) <= PATIENT_QUEUES and hasattr(os, "nice"):
            os.nice(conf.current().niceness)


class Presence(bootsteps.StartStopStep):
    """Report this worker every heartbeat, from a thread of its main process."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._identity = self._identify(worker)

    @staticmethod
    def _identify(worker: Any) -> Any:
        from training.workers import Identity

        return Identity(
            name=f"{worker.hostname}:{os.getpid()}",
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=tuple(sorted(worker.app.amqp.queues.consume_from)),
            slots=worker.concurrency or 1,
            version=importlib.metadata.version("celery"),
        )

    def start(self, worker: Any) -> None:
        self._thread = threading.Thread(target=self._report, name="presence", daemon=True)
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def terminate(self, worker: Any) -> None:
        """Sign off at a soft shutdown too, which ends steps by this name."""
        self.stop(worker)

    def _report(self) -> None:
        from django.db import Error, connection

        from training import conf, workers

        period = conf.current().heartbeat_seconds
        while True:
            try:
                workers.report(self._identity)
            except Error as error:
                logger.warning("this worker could not report itself", extra={"error": str(error)})
            finally:
                connection.close()
            if self._stop.wait(period):
                break
        try:
            workers.leave(self._identity.name)
        except Error as error:
            logger.warning("this worker could not sign off", extra={"error": str(error)})
        finally:
            connection.close()
