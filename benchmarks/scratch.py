"""Owns the scratch folder of a benchmark: removed at the end, with whatever its servers write while they stop."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TRIES, REST_SECONDS = 50, 0.2


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Give a scratch folder for a block. Embedded servers end when theirs is gone, and write as they do."""
    # Whoever ends it ends its processes with it, which have sessions of their own, and removes the folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    made = Path(tempfile.mkdtemp(prefix="perennial-bench-"))
    try:
        yield made
    finally:
        for _ in range(TRIES):
            shutil.rmtree(made, ignore_errors=True)
            if not made.exists():
                break
            time.sleep(REST_SECONDS)
