"""Owns how long rows and files of snapshots stay: while a kept version cites them, a batch is open, or they are young.

Files of snapshots are removed under one lock, which whoever records a snapshot shares, and looks for the file under: a
row never ends without its file. The store is asked nothing else under it. Knows no data frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from registry import conf as registry_conf
from registry import ownership
from registry.models import ModelVersion
from registry.store import Entry, Store
from training import conf
from training.models import Batch, Snapshot, Source

# Who records a snapshot waits meanwhile, and a slow store answers in tenths of a second.
REMOVED_AT_ONCE = 20
PREFIX = "snapshots/"
# Any number, the same in every process and no other lock's.
_LOCK = 7_206_113_409


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


def record(source: Source, digest: str, data: bytes, *, values: Mapping[str, Any]) -> Snapshot:
    """Store the bytes of a reading and return its row; equal rows are stored once, and young again."""
    opened, location = _opened(), location_of(source, digest)
    opened.put(location, data)
    with transaction.atomic():
        _lock("pg_advisory_xact_lock_shared")
        if not opened.exists(location):
            # Swept between the two: it lay there, old, and no row named it.
            opened.put(location, data)
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
    while ids := list(_unneeded(before).order_by("pk").values_list("pk", flat=True)[:REMOVED_AT_ONCE]):
        yield _remove(ids, before)


def sweep_orphans(*, at: datetime) -> Iterator[Swept]:
    """Remove old files of snapshots that no row names; works as it is consumed. Raises StoreUnavailable."""
    before = at - timedelta(hours=registry_conf.current().orphan_grace_hours)
    entries = (entry for entry in _opened().entries(PREFIX) if entry.modified < before)
    while some := list(islice(entries, REMOVED_AT_ONCE)):
        yield _remove_nameless(some, before)


def _remove(ids: Sequence[int], before: datetime) -> Swept:
    opened = _opened()
    lying = _lying(opened, Snapshot.objects.filter(pk__in=ids).values_list("location", flat=True))
    with transaction.atomic():
        _lock("pg_advisory_xact_lock")
        rows = _unneeded(before).filter(pk__in=ids).order_by("pk").select_for_update(of=("self",))
        locations = dict(rows.values_list("pk", "location"))
        Batch.objects.filter(snapshot__in=locations).update(snapshot=None)
        Snapshot.objects.filter(pk__in=locations).delete()
        # Files last: without their rows they are nobody's, should the commit be the last thing that works.
        opened.delete(list(locations.values()))
    entries = [lying[each] for each in locations.values() if each in lying]
    return Swept(snapshots=len(locations), files=len(entries), size=sum(entry.size for entry in entries))


def _remove_nameless(listed: Sequence[Entry], before: datetime) -> Swept:
    opened = _opened()
    # Its age may have changed since it was listed. Not compared with it: some stores list coarser times than they tell.
    lying = _lying(opened, [each.key for each in listed])
    old = [each for each in lying.values() if each.modified < before]
    with transaction.atomic():
        _lock("pg_advisory_xact_lock")
        digests = [_digest(each.key) for each in old]
        named = set(Snapshot.objects.filter(digest__in=digests).values_list("location", flat=True))
        going = [each for each in old if each.key not in named]
        opened.delete([each.key for each in going])
    return Swept(files=len(going), size=sum(each.size for each in going))


def _lying(opened: Store, keys: Iterable[str]) -> dict[str, Entry]:
    return {key: entry for key in keys if (entry := opened.find(key))}


def _unneeded(before: datetime) -> QuerySet[Snapshot]:
    kept = ModelVersion.objects.filter(snapshot_digest=OuterRef("digest")).exclude(state=ModelVersion.State.DELETED)
    open_batches = Batch.objects.filter(snapshot=OuterRef("pk"), state=Batch.State.OPEN)
    return Snapshot.objects.filter(~Q(Exists(kept)), ~Q(Exists(open_batches)), created_at__lt=before)


def _digest(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".parquet")


def _opened() -> Store:
    return ownership.artifact_store()


def _lock(function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [_LOCK])
