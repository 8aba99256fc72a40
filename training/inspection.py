"""Owns whether a version from elsewhere may be used: its trainer reads the forecaster, in a process that may die of it.

What is read becomes ready, what is not is quarantined for good; both are told in the ledger. A forecaster that ends or
stalls the reading process is turned away, and the next ones are read by a new one.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from registry import errors, lifecycle, locks
from registry.models import ModelVersion
from training import forecasting
from training.trainers.base import ForecasterUnreadable

logger = logging.getLogger(__name__)

ACTOR = "inspection"
AT_ONCE = 200
LEASE_SECONDS = 60.0
# Of one forecaster, the start of the process and the import of its library included.
READING_SECONDS = 60.0
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """How many versions became ready, and why the others were turned away, by id."""

    admitted: int = 0
    turned_away: dict[UUID, str]


class _Reader:
    """A process that reads forecasters, started when the first is asked for and again after one ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, content: bytes, trainer: str) -> str:
        """Return an empty text, or why the trainer cannot read it. Raises ForecasterUnreadable."""
        process = self._process = self._process or _start()
        assert process.stdin is not None
        frame = {"trainer": trainer, "size": len(content), "limits": asdict(forecasting.limits())}
        try:
            process.stdin.write(json.dumps(frame).encode() + b"\n" + content)
            process.stdin.flush()
            return str(json.loads(_line(process)))
        except (OSError, ValueError) as error:
            self.end()
            raise ForecasterUnreadable("Reading it ended the process that tried.") from error

    def end(self) -> None:
        """Stop the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def inspect(*, now: Callable[[], datetime], seconds: float | None = None) -> Inspected:
    """Inspect the versions that wait, the oldest first, until none is left or the seconds are over."""
    ends_at = None if seconds is None else time.monotonic() + seconds
    admitted, turned_away = 0, dict[UUID, str]()
    # Two at once would read the same versions; what they decide twice is decided once.
    with locks.lease("inspection", seconds=LEASE_SECONDS) as lease, _reader() as reader:
        while lease.held and (waiting := _waiting()):
            verdicts = {version.pk: _verdict(version, reader) for version in waiting}
            admitted += _decide(verdicts, at=now())
            turned_away |= {version_id: why for version_id, why in verdicts.items() if why}
            if ends_at is not None and time.monotonic() > ends_at:
                break
    return Inspected(admitted=admitted, turned_away=turned_away)


def waits() -> bool:
    """Return whether any version waits for inspection."""
    return ModelVersion.objects.filter(state=ModelVersion.State.PENDING).exists()


def _waiting() -> Sequence[ModelVersion]:
    rows = ModelVersion.objects.select_related("registered_model__fleet").filter(state=ModelVersion.State.PENDING)
    return list(rows.order_by("created_at", "id")[:AT_ONCE])


def _verdict(version: ModelVersion, reader: _Reader) -> str:
    try:
        return reader.read(forecasting.content_of(version), version.trainer)
    except errors.Unavailable:
        raise
    except errors.PerennialError as error:
        return error.sentence


def _decide(verdicts: dict[UUID, str], *, at: datetime) -> int:
    refused: dict[str, list[UUID]] = defaultdict(list)
    for version_id, why in verdicts.items():
        refused[why].append(version_id)
    sound = refused.pop("", [])
    for why, version_ids in refused.items():
        lifecycle.turn_away(version_ids, actor=ACTOR, reason=why, at=at)
        logger.warning("versions from elsewhere were turned away", extra={"count": len(version_ids), "why": why})
    return len(lifecycle.admit(sound, actor=ACTOR, at=at).changed)


@contextmanager
def _reader() -> Iterator[_Reader]:
    reader = _Reader()
    try:
        yield reader
    finally:
        reader.end()


def _start() -> subprocess.Popen[bytes]:
    # Without the variables of this process: what a forecaster might reach must find no secret.
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "training.reading"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).resolve().parents[1],
        env={**kept, **threads},
    )


def _line(process: subprocess.Popen[bytes]) -> bytes:
    """Return the answer of the process. Raises OSError where it has ended or does not answer."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READING_SECONDS)
    line = process.stdout.readline() if readable else b""
    if not line:
        raise BrokenPipeError("no answer")
    return line
