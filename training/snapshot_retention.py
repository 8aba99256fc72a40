"""Owns how long rows and files of snapshots stay: while a kept version cites them, a batch is open, or they are young.

Files of snapshots are removed under one lock, which whoever records a snapshot shares, and looks for the file under: a
row never ends without its file. The store is asked nothing else under it. Knows no data frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, BinaryIO

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from registry import conf as registry_conf
from registry import ownership, sweep_locks, ticks
from registry.models import ModelVersion
from registry.retention import removal
from registry.store import Entry, Store
from training import conf
from training.models import Batch, Snapshot, Source

# Their names are looked up in one statement; the store is asked for those alone that no row names.
LOOKED_AT_ONCE = 1000
PREFIX = "snapshots/"
PLACE = "snapshots"
"""Bookmark: the source in whose folder the sweep of nameless files is."""


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What one step of a sweep removed."""

    snapshots: int = 0
    files: int = 0
    size: int = 0
    """Bytes."""


def location_of(source: Source, digest: str) -> str:
    """Return the key under which a snapshot of this source lies."""
    return f"{PREFIX}{source.pk}/{digest}.parquet"


def record(source: Source, digest: str, file: BinaryIO, *, values: Mapping[str, Any]) -> Snapshot:
    """Store the file of a reading and return its row; equal rows are stored once, and young again."""
    opened, location = _opened(), location_of(source, digest)
    opened.put_file(location, file)
    with transaction.atomic():
        sweep_locks.share(sweep_locks.SNAPSHOTS)
        if not opened.exists(location):
            # Swept between the two: it lay there, old, and no row named it.
            opened.put_file(location, file)
        defaults = {**values, "location": location}
        found, _ = Snapshot.objects.update_or_create(
            source=source, digest=digest, defaults={"created_at": Now()}, create_defaults=defaults
        )
    return found


def sweep(*, at: datetime) -> Iterator[Swept]:
    """Remove snapshots that nothing needs any more, the oldest first; works as it is consumed. Raises StoreUnavailable.

    An ended batch whose snapshot goes names none from then on; the versions keep its digest.
    """
    before = at - timedelta(days=conf.current().snapshot_days)
    while ids := list(_unneeded(before).order_by("pk").values_list("pk", flat=True)[: removal.REMOVED_AT_ONCE]):
        yield _remove(ids, before)


def sweep_orphans(*, at: datetime) -> Iterator[Swept]:
    """Remove old files of snapshots that no row names, from the source on where the last run ended.

    Works as it is consumed, with a step for each `LOOKED_AT_ONCE` files at least. Raises StoreUnavailable.
    """
    before = at - timedelta(hours=registry_conf.current().orphan_grace_hours)
    opened, first = _opened(), f"{PREFIX}{ticks.reached(PLACE)}/"
    old = (each for each in opened.entries(PREFIX) if each.key >= first and each.modified < before)
    while some := list(islice(old, LOOKED_AT_ONCE)):
        ticks.keep(PLACE, _source(some[0].key), at=at)
        strays = _nameless(some)
        # Also where there are none: each is a step, after which time may be over.
        for group in list(removal.slices(strays)) or [[]]:
            yield _remove_strays(opened, group, before)
    ticks.keep(PLACE, 0, at=at)


def _remove(ids: Sequence[int], before: datetime) -> Swept:
    opened = _opened()
    lying = _lying(opened, Snapshot.objects.filter(pk__in=ids).values_list("location", flat=True))
    with transaction.atomic(durable=True):
        rows = _unneeded(before).filter(pk__in=ids).order_by("pk").select_for_update(of=("self",))
        locations = dict(rows.values_list("pk", "location"))
        Batch.objects.filter(snapshot__in=locations).update(snapshot=None)
        Snapshot.objects.filter(pk__in=locations).delete()
    # Files once that is committed: without their rows they are nobody's, should this be the last thing that works.
    return replace(
        _remove_files(opened, [lying[each] for each in locations.values() if each in lying]), snapshots=len(locations)
    )


def _remove_strays(opened: Store, listed: Sequence[Entry], before: datetime) -> Swept:
    # Its age may have changed since it was listed. Not compared with it: some stores list coarser times than they tell.
    lying = _lying(opened, [each.key for each in listed])
    return _remove_files(opened, [each for each in lying.values() if each.modified < before])


def _remove_files(opened: Store, entries: Sequence[Entry]) -> Swept:
    """Remove files that no row names, looked up under the lock: somebody may have recorded one of them meanwhile."""
    if not entries:
        return Swept()
    going = removal.remove(opened, lambda: _nameless(entries), lock=sweep_locks.SNAPSHOTS)
    return Swept(files=len(going), size=sum(each.size for each in going))


def _nameless(entries: Sequence[Entry]) -> list[Entry]:
    digests = [_digest(each.key) for each in entries]
    named = set(Snapshot.objects.filter(digest__in=digests).values_list("location", flat=True))
    return [each for each in entries if each.key not in named]


def _lying(opened: Store, keys: Iterable[str]) -> dict[str, Entry]:
    return {key: entry for key in keys if (entry := opened.find(key))}


def _unneeded(before: datetime) -> QuerySet[Snapshot]:
    kept = ModelVersion.objects.filter(snapshot_digest=OuterRef("digest")).exclude(state=ModelVersion.State.DELETED)
    open_batches = Batch.objects.filter(snapshot=OuterRef("pk"), state=Batch.State.OPEN)
    return Snapshot.objects.filter(~Q(Exists(kept)), ~Q(Exists(open_batches)), created_at__lt=before)


def _source(key: str) -> int:
    # A folder that somebody else made may bear a number that no source has, and no bookmark takes.
    return min(int(key.removeprefix(PREFIX).partition("/")[0]), 2**63 - 1)


def _digest(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".parquet")


def _opened() -> Store:
    return ownership.artifact_store()
