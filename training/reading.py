"""`python -m training.reading`: tries whether trainers can read forecasters, in a process that may die of it. Pure.

Its memory is limited, its environment empty, and it knows no database. It takes frames on standard input, a line of
JSON (`trainer`, `size`) and that many bytes of a bundle, and answers each with a line: empty, or why it cannot be read.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import IO, Any

from registry import bundle, errors
from training.trainers import table

# Libraries map about one GiB of address space; the rest is for the forecaster, whose size is bounded before.
MEMORY_BYTES = 4 * 1024**3


def main(asked: IO[bytes], answers: IO[str]) -> None:
    """Answer frame by frame until the input ends."""
    while line := asked.readline():
        frame: dict[str, Any] = json.loads(line)
        limits = bundle.Limits(**frame["limits"])
        print(json.dumps(read(asked.read(frame["size"]), trainer=frame["trainer"], limits=limits)), file=answers)
        answers.flush()


def read(content: bytes, *, trainer: str, limits: bundle.Limits) -> str:
    """Return an empty text where the trainer reads the forecaster, else the sentence why not."""
    try:
        table.find(trainer).load(bundle.unpack(content, limits=limits).forecaster)
    except errors.PerennialError as error:
        return error.sentence
    except MemoryError:
        return f"Reading it took more than the {MEMORY_BYTES} bytes of memory allowed."
    except Exception as error:  # A hostile file makes a library raise anything; whatever it is, it was not read.
        return f"Reading it ended with {type(error).__name__}: {str(error)[:300]}"
    return ""


def _limit_memory() -> None:
    if importlib.util.find_spec("resource") is None:
        return  # Windows has no such limit
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    _limit_memory()
    # What a library prints must not pass for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    main(sys.stdin.buffer, answers)
