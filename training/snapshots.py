"""Keeps the rows of one reading by digest, so that every run of a batch sees the same and can be repeated."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import UTC
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet

from registry import conf, locks, ownership
from training import dataset, policies, snapshot_retention, sources
from training.models import Batch, RetrainingPolicy, Snapshot, Source
from training.trainers.base import Grid

if TYPE_CHECKING:
    import pandas as pd

ROWS_IN_GROUP = 50_000
READ_SECONDS = 300.0
"""Longest wait for another worker that reads the same source."""
POLL_SECONDS = 0.2


def ensure(batch: Batch) -> Snapshot:
    """Return the snapshot of a batch, reading the source where nobody has yet. Raises what `sources.read` raises."""
    waited_until = monotonic() + READ_SECONDS
    while (found := _existing(batch)) is None:
        # Whoever holds the lease reads; without Redis two may read, and the compare-and-set picks one.
        with locks.lease(f"snapshot:{batch.pk}", seconds=conf.current().lock_lease_seconds) as lease:
            if lease.held or monotonic() > waited_until:
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
    source = policies.source_of(batch.fleet, batch.policy)
    frame = sources.read(source, grid)
    return keep(source, dataset.look_back(frame, days=_days(batch, grid)))


def _days(batch: Batch, grid: Grid) -> int:
    """Return the longest look-back that a run of the batch may ask for; shorter ones are cut when read."""
    if batch.look_back_days:
        return batch.look_back_days
    named = [batch.policy] if batch.policy else policies.ranked(batch.fleet)
    return max(policies.look_back_days(policy, daily=grid.dated) for policy in named)


def days_of(batch: Batch, policy: RetrainingPolicy, grid: Grid) -> int:
    """Return the look-back of one run, in days before the newest observation of the snapshot."""
    return batch.look_back_days or policies.look_back_days(policy, daily=grid.dated)


def keep(source: Source, frame: pd.DataFrame) -> Snapshot:
    """Store a normalised frame by its digest, sorted by entity and time; equal rows are stored once."""
    data = _pack(frame)
    stamps = frame["time"]
    return snapshot_retention.record(
        source,
        hashlib.sha256(data).hexdigest(),
        data,
        values={
            "window_start": stamps.min().to_pydatetime().replace(tzinfo=UTC),
            "window_end": stamps.max().to_pydatetime().replace(tzinfo=UTC),
            "rows": len(frame),
            "entities": int(frame["entity"].nunique()),
        },
    )


def _pack(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pyarrow.parquet.write_table(
        table.replace_schema_metadata(None), buffer, compression="zstd", row_group_size=ROWS_IN_GROUP
    )
    return buffer.getvalue()


def read(snapshot: Snapshot, *, entities: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rows of these entities; row groups of others are not read. Raises store.StoreMissing."""
    data = ownership.artifact_store().get(snapshot.location)
    filters = None if entities is None else [("entity", "in", list(entities))]
    frame: pd.DataFrame = pyarrow.parquet.read_table(io.BytesIO(data), filters=filters).to_pandas()
    return frame


def entities(snapshot: Snapshot) -> list[str]:
    """Return the entity keys that a snapshot holds, sorted."""
    data = ownership.artifact_store().get(snapshot.location)
    column = pyarrow.parquet.read_table(io.BytesIO(data), columns=["entity"])["entity"]
    return sorted(column.unique().to_pylist())
