"""Owns how many small places are read with few requests: ranges that lie near each other in one object are one range.

Small artifacts share objects, and models that were retrained together lie in one of them: a slice of a thousand is one
or two ranges instead of a thousand requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from registry.store.contract import Place, Store, StoreKeyInvalid, StoreMissing

# What lies between two wanted ranges is read as well where that is less than a request costs: some 10 ms, in which a
# store gives about a megabyte.
GAP_BYTES = 256 * 1024
# Of one range that is read at once.
RANGE_BYTES = 16 * 1024**2
# Of the wanted bytes that are in memory at once, beside what the store has on its way.
KEPT_BYTES = 16 * 1024**2
KEPT_PLACES = 4096

Found = bytes | StoreMissing | StoreKeyInvalid


@dataclass(kw_only=True)
class _Range:
    """A part of one object, and which places lie in it."""

    place: Place
    members: list[int]


def read_each(opened: Store, places: Sequence[Place]) -> Iterator[Found]:
    """Yield what `get_each` of the store yields for these places, in their order, with as few requests as need be.

    A place without a length is read by itself. Raises StoreUnavailable.
    """
    start = 0
    while start < len(places):
        some = _some(places, start)
        yield from _read(opened, some)
        start += len(some)


def _some(places: Sequence[Place], start: int) -> Sequence[Place]:
    """Return the next places whose bytes may be in memory together; one at least."""
    size, end = 0, start
    while end < len(places) and end - start < KEPT_PLACES:
        length = places[end].length
        size += KEPT_BYTES if length is None else length
        if size > KEPT_BYTES and end > start:
            break
        end += 1
    return places[start:end]


def _read(opened: Store, places: Sequence[Place]) -> list[Found]:
    ranges = _ranges(places)
    read: dict[int, Found] = {}
    for each, found in zip(ranges, opened.get_each([each.place for each in ranges]), strict=True):
        for member in each.members:
            read[member] = _cut(found, each.place, places[member])
    return [read[member] for member in range(len(places))]


def _cut(found: Found, whole: Place, part: Place) -> Found:
    if not isinstance(found, bytes) or part.length is None:
        return found
    start = part.start - whole.start
    return found[start : start + part.length]


def _ranges(places: Sequence[Place]) -> list[_Range]:
    """Return what is read: in the order of the keys, within them of the bytes."""
    ranges: list[_Range] = []
    for member in sorted(range(len(places)), key=lambda each: (places[each].key, places[each].start)):
        part = places[member]
        joined = _joined(ranges[-1].place, part) if ranges else None
        if joined is None:
            ranges.append(_Range(place=part, members=[member]))
        else:
            ranges[-1].place = joined
            ranges[-1].members.append(member)
    return ranges


def _joined(whole: Place, part: Place) -> Place | None:
    """Return a range that holds both; None where they are better read one by one."""
    if part.key != whole.key or part.length is None or whole.length is None:
        return None
    end = whole.start + whole.length
    length = max(end, part.start + part.length) - whole.start
    if part.start > end + GAP_BYTES or length > RANGE_BYTES:
        return None
    return Place(key=whole.key, start=whole.start, length=length)
