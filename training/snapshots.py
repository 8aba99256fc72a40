"""Keeps the rows of one reading by digest, so that every run of a batch sees the same and can be repeated."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator, Sequence
from time import monotonic, sleep
from typing import BinaryIO

from registry import ownership, store
from training import panels, policies, row_files, snapshot_retention, sources, turns
from training.dataset import Panel
from training.models import Batch, RetrainingPolicy, Snapshot, Source
from training.trainers.base import Grid

READ_SECONDS = 300.0
"""Longest wait for another worker that reads the same source."""
POLL_SECONDS = 0.2
HASHED_AT_ONCE = 1024**2
FOOTERS_KEPT = 8
"""A worker reads many slices of few snapshots; an end has some megabytes in memory."""
_footers: dict[str, panels.Footer] = {}
"""By location, the one used last at the end."""
_lock = threading.Lock()


def ensure(batch: Batch) -> Snapshot:
    """Return the snapshot of a batch, reading the source where nobody has yet. Raises what `take` raises."""
    waited_until = monotonic() + READ_SECONDS
    while (found := _existing(batch)) is None:
        # Whoever holds the lease reads; without Redis two may read, and the compare-and-set picks one.
        with turns.take(batch.pk) as turn:
            if turn.held or monotonic() > waited_until:
                return _existing(batch) or _record(batch, _take(batch))
        sleep(POLL_SECONDS)
    return found


def _existing(batch: Batch) -> Snapshot | None:
    batch.refresh_from_db(fields=["snapshot"])
    return batch.snapshot


def _record(batch: Batch, taken: Snapshot) -> Snapshot:
    Batch.objects.filter(pk=batch.pk, snapshot=None).update(snapshot=taken)
    return _existing(batch) or taken


def _take(batch: Batch) -> Snapshot:
    grid = sources.grid_of(batch.fleet)
    return take(policies.source_of(batch.fleet, batch.policy), grid, days=_days(batch, grid))


def _days(batch: Batch, grid: Grid) -> int:
    """Return the longest look-back that a run of the batch may ask for; shorter ones are cut when read."""
    if batch.look_back_days:
        return batch.look_back_days
    named = [batch.policy] if batch.policy else policies.ranked(batch.fleet)
    return max(policies.look_back_days(policy, daily=grid.dated) for policy in named)


def days_of(batch: Batch, policy: RetrainingPolicy, grid: Grid) -> int:
    """Return the look-back of one run, in days before the newest observation of the snapshot."""
    return batch.look_back_days or policies.look_back_days(policy, daily=grid.dated)


def take(source: Source, grid: Grid, *, days: float | None = None) -> Snapshot:
    """Read the last `days` days of a source and store them by their digest; equal rows are stored once.

    On its way the snapshot is a file without a name in the folder of the system for such files (TMPDIR). Raises what
    `sources.write` raises, and StoreUnavailable.
    """
    with tempfile.TemporaryFile(prefix="perennial-snapshot-") as file:
        written = sources.write(source, grid, file, days=days)
        return snapshot_retention.record(
            source,
            _digest(file),
            file,
            values={
                "window_start": row_files.aware(written.oldest),
                "window_end": row_files.aware(written.newest),
                "rows": written.rows,
                "entities": written.entities,
            },
        )


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while part := file.read(HASHED_AT_ONCE):
        digest.update(part)
    return digest.hexdigest()


def read(snapshot: Snapshot, *, entities: Sequence[str] | None = None) -> Panel:
    """Return the rows of these entities; what holds others alone is not read. Raises store.StoreMissing."""
    fetch, known = _opened(snapshot.location)
    return panels.read(fetch, known, entities=entities)


def entities(snapshot: Snapshot) -> list[str]:
    """Return the entity keys that a snapshot holds, sorted. Raises store.StoreMissing."""
    fetch, known = _opened(snapshot.location)
    return panels.entities(fetch, known)


def _opened(location: str) -> tuple[panels.Fetch, panels.Footer]:
    """Return how to read a snapshot, and its end, which this process reads once: a location names its bytes."""
    opened = ownership.artifact_store()

    def fetch(spans: Sequence[panels.Span]) -> Iterator[bytes]:
        places = [store.Place(key=location, start=first, length=length) for first, length in spans]
        for found in opened.get_each(places):
            if not isinstance(found, bytes):
                raise found
            yield found

    with _lock:
        known = _footers.pop(location, None)
    if known is None:
        known = panels.footer(fetch, size=_size(opened, location))
    with _lock:
        _footers[location] = known
        while len(_footers) > FOOTERS_KEPT:
            del _footers[next(iter(_footers))]
    return fetch, known


def _size(opened: store.Store, location: str) -> int:
    entry = opened.find(location)
    if entry is None:
        raise store.StoreMissing(f"Nothing is stored under {location}.")
    return entry.size
