"""`python -m training.reading`: tries whether trainers can read forecasters, in a process that may die of it. Pure.

Its memory is limited, its environment empty, and it knows no database. On standard input it takes lines of JSON: to
one with `trainer` alone it answers whether that trainer is there to read; after one with `size` and `limits` as well
it takes that many bytes of a bundle, and answers what became of them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from registry import errors
from registry.bundle import Limits, examination
from training.trainers import table
from training.trainers.base import ForecasterUnreadable, Triable

# Libraries map about one GiB of address space; the rest is for the forecaster, whose size is bounded before.
MEMORY_BYTES = 4 * 1024**3


class Outcome(StrEnum):
    """What became of a forecaster, or of the trainer that was to read it."""

    READY = "ready"
    """The trainer is there; now its bytes may come."""
    ABSENT = "absent"
    """The trainer cannot be used here, which says nothing about the bytes."""
    READ = "read"
    REFUSED = "refused"
    """The trainer looked at the bytes and refused them; it will do so again."""
    UNREAD = "unread"
    """Nobody can tell: time or memory ran out, the process ended, or this code failed. Another time it may be read."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An outcome, and why it is none that was hoped for."""

    outcome: Outcome
    why: str = ""


def main(asked: IO[bytes], answers: IO[str]) -> None:
    """Answer frame by frame until the input ends."""
    while line := asked.readline():
        frame: dict[str, Any] = json.loads(line)
        if "size" in frame:
            content = asked.read(frame["size"])
            _say(read(content, trainer=frame["trainer"], limits=Limits(**frame["limits"])), answers)
        else:
            _say(prepare(frame["trainer"]), answers)


def prepare(trainer: str) -> Answer:
    """Import what the trainer needs, which takes seconds and is not the fault of any forecaster."""
    try:
        table.find(trainer)
    except errors.PerennialError as error:
        return Answer(outcome=Outcome.ABSENT, why=error.sentence)
    except Exception as error:  # A broken library raises anything at import, and that is the fault of no forecaster.
        return Answer(outcome=Outcome.ABSENT, why=f"{type(error).__name__}: {str(error)[:300]}")
    return Answer(outcome=Outcome.READY)


def read(content: bytes, *, trainer: str, limits: Limits) -> Answer:
    """Return whether the trainer reads the forecaster, else the sentence why not.

    Only what is raised on purpose is a refusal: trainers tell so what a hostile file makes their libraries raise.
    """
    try:
        data = examination.examined_forecaster(content, format=table.format_of(trainer), limits=limits)
        forecaster = table.find(trainer).load(data)
        if isinstance(forecaster, Triable):
            # A second line: what would end a process that serves ends this one.
            forecaster.try_out()
    except Exception as error:  # An error of this code says nothing about the file, and must not condemn it for good.
        return _failed(error)
    return Answer(outcome=Outcome.READ)


def _failed(error: Exception) -> Answer:
    if _lacked_memory(error):
        return Answer(outcome=Outcome.UNREAD, why=f"reading it takes more than {MEMORY_BYTES} bytes of memory.")
    if isinstance(error, errors.PerennialError):
        # What is said of forecasters that serve is no way out for one that never did.
        serves = isinstance(error, ForecasterUnreadable) and not error.tells_sender
        return Answer(outcome=Outcome.REFUSED, why=error.sentence if serves else str(error))
    place = traceback.extract_tb(error.__traceback__)[-1]
    told = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:300]}"
    return Answer(outcome=Outcome.UNREAD, why=f"reading it ended with {told}")


def _lacked_memory(error: BaseException | None) -> bool:
    # A trainer may have told it in its own words.
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _say(answer: Answer, answers: IO[str]) -> None:
    print(json.dumps(asdict(answer)), file=answers, flush=True)


def _limit_memory() -> None:
    if importlib.util.find_spec("resource") is None:
        return  # Windows has no such limit
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _die_first() -> None:
    """Let the system end this process, which is made for it, before the worker that waits for it."""
    score = Path("/proc/self/oom_score_adj")
    if score.exists():  # on Linux alone; in some containers it cannot be written
        with suppress(OSError):
            score.write_text("1000")


if __name__ == "__main__":
    _die_first()
    _limit_memory()
    # What a library prints, in Python or beneath it, must not pass for an answer.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        main(sys.stdin.buffer, answers)
