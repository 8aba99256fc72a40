"""Owns the comparison of store and rows, in both directions: objects without a row, and rows without an object.

Goes through the store one of its 256 folders at a time, in the order of digests, so that memory does not grow with it.
Concludes from a listing alone neither that an object is nobody's nor that one is missing: both are looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from django.db import connection
from django.db.models import Q

from registry import artifacts, deadlines, lifecycle, ownership
from registry.deadlines import Deadline
from registry.models import ModelVersion
from registry.retention import objects
from registry.retention.objects import Removed
from registry.store import Entry, Store
from registry.upkeep import containers

FOLDERS = 256
DIGESTS_AT_ONCE = 5000
# Up to here strays may be most of a small store without another database behind it.
FEW = 100
CAUSE = "orphans"
REASON = "Its object is not in the store."

# Two indexes give their first rows each; neither is read to its end.
_DIGESTS = """
SELECT digest FROM (
    (SELECT DISTINCT artifact_digest AS digest FROM registry_modelversion
     WHERE artifact_container = '' AND state <> 'deleted' AND artifact_digest > %(after)s AND artifact_digest < %(end)s
     ORDER BY 1 LIMIT %(limit)s)
    UNION
    (SELECT DISTINCT artifact_container FROM registry_modelversion
     WHERE artifact_container <> '' AND state <> 'deleted'
     AND artifact_container > %(after)s AND artifact_container < %(end)s
     ORDER BY 1 LIMIT %(limit)s)
) AS needed ORDER BY digest LIMIT %(limit)s
"""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one folder of the store and the rows about it do not agree on."""

    folder: int
    objects: int
    """All that lie in it."""
    strays: tuple[Entry, ...] = ()
    """Objects that no row needs, old enough to be nobody's."""
    absent: tuple[UUID, ...] = ()
    """Versions whose object is not in the store."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A folder in numbers."""

    folder: int
    objects: int
    strays: int
    absent: int


@dataclass(frozen=True, kw_only=True)
class Tidied:
    """How many half-written files of one folder went, and at which folder to go on; 0 after the last."""

    files: int
    resume: int


def survey(folder: int, *, at: datetime) -> Survey:
    """Return the numbers of what `look` finds. Raises StoreUnavailable."""
    found = look(folder, at=at)
    return Survey(folder=folder, objects=found.objects, strays=len(found.strays), absent=len(found.absent))


def is_foreign(surveys: Sequence[Survey]) -> bool:
    """Whether the store looks like that of another database: most of it belongs to no row of this one."""
    strays = sum(each.strays for each in surveys)
    return strays > FEW and strays * 2 > sum(each.objects for each in surveys)


def look(folder: int, *, at: datetime) -> Found:
    """Return what a folder and the rows about it do not agree on; changes nothing. Raises StoreUnavailable."""
    opened = ownership.artifact_store()
    entries = _Counted(opened.entries(f"artifacts/{folder:02x}/"))
    strays: list[Entry] = []
    lost: list[str] = []
    for digest, entry in _differences(entries, _digests(folder)):
        if entry is None:
            lost.append(digest)
        elif entry.modified < objects.old_before(at):
            strays.append(entry)
    absent = tuple(_absent(opened, lost))
    return Found(folder=folder, objects=entries.count, strays=tuple(strays), absent=absent)


def compact(folder: int) -> int:
    """Write the mostly unneeded containers of a folder anew and return how many; the old ones will be strays."""
    return sum(containers.compact(each) for each in containers.wasteful(folder))


def delete(found: Found, *, at: datetime, until: Deadline = deadlines.NEVER) -> Removed:
    """Remove the strays of a folder, those that are nobody's still. Call it outside a transaction."""
    return objects.remove([_digest(entry.key) for entry in found.strays], at=at, until=until)


def clean(folder: int, *, at: datetime, until: Deadline) -> bool:
    """Compact a folder and remove its strays; False where time ended it. Call it outside a transaction."""
    for container in containers.wasteful(folder):
        containers.compact(container)
        if until.is_over:
            return False
    return not delete(look(folder, at=at), at=at, until=until).left


def quarantine(found: Found, *, actor: str, at: datetime, reason: str = REASON) -> int:
    """Quarantine the versions of a folder whose object is missing, and return how many were not already."""
    if not found.absent:
        return 0
    outcome = lifecycle.quarantine(found.absent, actor=actor, cause=CAUSE, reason=reason, at=at)
    return len(outcome.changed)


def sweep_temporary(*, at: datetime, first: int = 0) -> Iterator[Tidied]:
    """Remove what killed writers left half-written, folder by folder from that place on; works as it is consumed."""
    opened = ownership.artifact_store()
    folders = opened.folders()
    for place, folder in enumerate(folders[first:], start=first + 1):
        files = opened.sweep_temporary(folder, older_than=objects.old_before(at))
        yield Tidied(files=files, resume=place % len(folders))


class _Counted:
    """Entries, counted as they pass."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self.count = 0
        self._entries = entries

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._entries:
            self.count += 1
            yield entry


def _differences(entries: Iterable[Entry], digests: Iterator[str]) -> Iterator[tuple[str, Entry | None]]:
    """Yield digests that one side alone has, with the entry where it is the store's."""
    stored = ((_digest(entry.key), entry) for entry in entries)
    needed = ((digest, None) for digest in digests)
    for _, pairs in groupby(merge(stored, needed, key=itemgetter(0)), key=itemgetter(0)):
        sides = list(pairs)
        if len(sides) == 1:
            yield sides[0]


def _digests(folder: int) -> Iterator[str]:
    """Yield the digests of a folder's objects that rows need, in their order."""
    after, end = f"{folder:02x}", f"{folder:02x}g"
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_DIGESTS, {"after": after, "end": end, "limit": DIGESTS_AT_ONCE})
            page = [row[0] for row in cursor.fetchall()]
        yield from page
        if len(page) < DIGESTS_AT_ONCE:
            return
        after = page[-1]


def _absent(opened: Store, digests: Sequence[str]) -> Iterator[UUID]:
    """Yield the versions that need these objects, where they are missing still."""
    lost = [digest for digest in digests if not opened.exists(artifacts.key_of(digest))]
    own = Q(artifact_digest__in=lost, artifact_container="")
    rows = ModelVersion.objects.exclude(state=ModelVersion.State.DELETED).order_by("pk")
    for condition in (own, Q(artifact_container__in=lost) & ~Q(artifact_container="")) if lost else ():
        yield from rows.filter(condition).values_list("pk", flat=True)


def _digest(key: str) -> str:
    return key.rpartition("/")[2]
