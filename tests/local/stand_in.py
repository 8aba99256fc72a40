"""A supervisor of small programs: `python -m tests.local.stand_in STATE_DIR JSON`; JSON maps names to arguments."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from local import errors, state, supervisor
from local.supervised import Process, Timing

QUICK = Timing(first_pause=0.1, longest_pause=0.4, healthy_seconds=60, grace_seconds=1.5, settle_seconds=0.3)


def main(state_dir: str, programs: str) -> None:
    """Supervise until told to stop; a refusal is a sentence and exit status 1."""
    folder = state.prepare(state.locate(Path(state_dir)))
    processes = [Process(name, tuple(argv)) for name, argv in json.loads(programs).items()]
    site = supervisor.Site(folder=folder, address="http://127.0.0.1:1/admin/")
    try:
        with supervisor.claimed(folder):
            supervisor.Supervisor(processes, site=site, stream=sys.stdout, timing=QUICK).run()
    except errors.LocalError as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main(*sys.argv[1:])
