"""What a worker does besides tasks: loads libraries before it forks, reports itself, looks after its children."""

from __future__ import annotations

import gc
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
LOOK_SECONDS = 1.0
"""Between two looks for children that died; costs no query while none does."""
REPLACE_SECONDS = 0.5
"""Between two looks of the pool itself, in which it starts the successors of children that ended."""


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
            # What was loaded stays: no child need look through it for garbage, which would also copy its pages.
            gc.collect()
            gc.freeze()


class GiveWay(bootsteps.Step):
    """Lower the priority of a worker that only does what nobody waits for; its children inherit it."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        from training import conf

        if set(worker.app.amqp.queues.consume_from) <= PATIENT_QUEUES and hasattr(os, "nice"):
            os.nice(conf.current().niceness)


class Survivors(bootsteps.StartStopStep):
    """Replace a child that ended, and give back at once what one had in hand that died.

    Without it, as after the death of all, the lease runs out. Looked at from a thread of the main process, and acted on
    one look later: not while the pool forks the next child.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._known: set[int] = set()
        self._gone: set[int] = set()

    def start(self, worker: Any) -> None:
        self._thread = threading.Thread(target=self._watch, args=(worker.pool,), name="survivors", daemon=True)
        self._thread.start()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Have the pool look after its children often: it may miss the end of one, and then looks every five seconds.

        So a worker of one child stood still for as long each time that child was renewed (celery/celery#9588).
        """
        hub.call_repeatedly(REPLACE_SECONDS, worker.pool.maintain_pool)

    def stop(self, worker: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def terminate(self, worker: Any) -> None:
        """End at a soft shutdown too, which ends steps by this name."""
        self.stop(worker)

    def _watch(self, pool: Any) -> None:
        from training import workers

        while not self._stop.wait(LOOK_SECONDS) and (living := self._living(pool)) is not None:
            if due := self.look(living):
                self._gone -= self._give_back({workers.name_of(pid): pid for pid in due})

    @staticmethod
    def _living(pool: Any) -> set[int] | None:
        """Return the pids of the children; None of a pool that is being closed, or has none."""
        try:
            # One that is being started has no pid yet.
            return {pid for pid in pool.info["processes"] if pid}
        except (AttributeError, KeyError):
            return None

    def look(self, living: set[int]) -> set[int]:
        """Return the children whose work is to be given back: gone at the look before, and no other has their pid."""
        due = self._gone - living
        self._gone = due | (self._known - living)
        self._known = living
        return due

    @staticmethod
    def _give_back(children: dict[str, int]) -> set[int]:
        """Return those that have nothing in hand any more; the others are tried again."""
        from django.db import Error, connection

        from training import stalled

        try:
            holding = stalled.bereave(list(children))
        except Error as error:
            logger.warning("the work of a dead child could not be given back", extra={"error": str(error)})
            return set()
        finally:
            connection.close()
        return {pid for name, pid in children.items() if name not in holding}


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
