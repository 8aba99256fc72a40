"""Keeps the lease of a claimed chunk alive from a thread of its own; says when it is lost, and never takes it back."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from django.db import Error, connection

from training import chunks, conf

logger = logging.getLogger(__name__)


class Pulse:
    """The heartbeat of one claim."""

    def __init__(self, claim: chunks.Claim) -> None:
        self.claim = claim
        self._lost = threading.Event()
        self._stop = threading.Event()

    def check(self) -> None:
        """Raise LeaseLost where another worker may already have the chunk."""
        if self._lost.is_set():
            raise chunks.LeaseLost(f"Worker {self.claim.worker} lost chunk {self.claim.chunk_id}.")

    def run(self) -> None:
        """Renew until stopped or lost. A database that does not answer is asked again: the lease may still hold."""
        while not self._stop.wait(conf.current().heartbeat_seconds) and not self._lost.is_set():
            try:
                if not chunks.beat(self.claim):
                    self._lost.set()
            except Error as error:
                logger.warning("a heartbeat failed", extra={"chunk": self.claim.chunk_id, "error": str(error)})
            finally:
                connection.close()

    def stop(self) -> None:
        self._stop.set()


@contextlib.contextmanager
def beating(claim: chunks.Claim) -> Iterator[Pulse]:
    """Keep a claim alive for the length of a block."""
    pulse = Pulse(claim)
    thread = threading.Thread(target=pulse.run, name=f"heartbeat-{claim.chunk_id}", daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        pulse.stop()
        thread.join(timeout=10)
