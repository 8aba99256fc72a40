"""Owns how a batch is followed on a terminal: the bar while it goes on, the wait for its end, the table of its runs."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from registry import terminal
from training import results, runs, workers
from training.models import Batch, TrainingRun

POLL_SECONDS = 0.25
# A worker that restarts is away for a few seconds; one that is gone for longer will not end this batch.
UNSERVED_SECONDS = 60.0
# Below this many columns a reason would be broken into six lines.
WIDE = 100
# One cause often fails a whole fleet; its first runs tell it.
MOST_FAILURES = 5
BAD = (TrainingRun.State.FAILED, TrainingRun.State.TIMED_OUT)


@contextmanager
def progress(batches: Sequence[Batch], *, console: Console | None) -> Iterator[None]:
    """Draw a bar for each batch while the body runs; without a console nobody watches and nothing is drawn."""
    if console is None:
        yield
        return
    ended = threading.Event()
    drawer = threading.Thread(target=_draw, args=(console, batches, ended), daemon=True)
    drawer.start()
    try:
        yield
    finally:
        ended.set()
        drawer.join(timeout=5)


def wait(batches: Sequence[Batch]) -> None:
    """Return when all have ended. Raises Failed where no worker is left to end one."""
    served_at = time.monotonic()
    while still_open := [batch for batch in batches if not _has_ended(batch)]:
        time.sleep(POLL_SECONDS)
        idle = workers.unserved(["control", *{batch.queue for batch in still_open}])
        served_at = served_at if idle else time.monotonic()
        if time.monotonic() - served_at > UNSERVED_SECONDS:
            raise terminal.Failed(f"No worker serves the queue {idle[0]} any more. Start one: `manage.py up`.")


def _has_ended(batch: Batch) -> bool:
    batch.refresh_from_db(fields=["state"])
    return batch.state == Batch.State.DONE


def _draw(console: Console, batches: Sequence[Batch], ended: threading.Event) -> None:
    words, bar_of = TextColumn("{task.fields[fleet]}: {task.description}"), BarColumn(bar_width=30)
    columns = (SpinnerColumn(), words, bar_of, MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            tasks = [bar.add_task("reading the source", total=None, fleet=batch.fleet.name) for batch in batches]
            while not ended.wait(POLL_SECONDS):
                for task, batch in zip(tasks, batches, strict=True):
                    _advance(bar, task, batch)
    finally:
        connection.close()


def _advance(bar: Progress, task: TaskID, batch: Batch) -> None:
    seen = runs.progress(batch)
    if seen.expected:
        open_runs = sum(seen.counts.get(state, 0) for state in TrainingRun.OPEN)
        running = seen.counts.get(TrainingRun.State.RUNNING, 0)
        words = f"{running} running" if running else "waiting for a worker" if open_runs else "done"
        bar.update(task, description=words, total=seen.expected, completed=seen.expected - open_runs)


@contextmanager
def quiet(verbosity: int) -> Iterator[None]:
    """Keep log lines of the runs out of the table, unless they are asked for; they stand in each run's own log."""
    handlers = logging.getLogger().handlers if verbosity < 2 else []
    before = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in zip(handlers, before, strict=True):
            handler.setLevel(level)


def outcome(title: str, rows: Sequence[results.Row], *, width: int) -> Group:
    """Return the table of a batch's runs for a console of this width; a narrow one gets the reasons below the table."""
    heading, is_wide = f"{title}: {summary(rows)}", width >= WIDE
    columns = ["entity", "version>", "MAE>", "relative MAE>", "verdict", *(["reason~"] if is_wide else []), "seconds>"]
    table = terminal.table(heading, columns, [_cells(row, with_reason=is_wide) for row in rows])
    return Group(table) if is_wide else Group(table, "", *(Text(f"{row.entity}: {row.reason}") for row in rows))


def failures(rows: Sequence[results.Row]) -> list[str]:
    """Return a line for each failed run with its code, its sentence and the next step: the first few, then a count."""
    failed = [row for row in rows if row.state in BAD]
    told = [f"{row.entity}: {row.code}. {row.reason} {row.next_step}".rstrip() for row in failed[:MOST_FAILURES]]
    rest = len(failed) - len(told)
    return [*told, f"{rest} more failed; the table and the admin show each."] if rest else told


def _cells(row: results.Row, *, with_reason: bool) -> list[object]:
    measured = [terminal.number(row.mae), terminal.number(row.relative_mae, 3)]
    seconds = None if row.seconds is None else f"{row.seconds:.1f}"
    return [row.entity, row.version, *measured, row.verdict, *([row.reason] if with_reason else []), seconds]


def summary(rows: Sequence[results.Row]) -> str:
    """Return the count of each verdict in words."""
    counts = Counter(row.verdict for row in rows)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "no runs"
