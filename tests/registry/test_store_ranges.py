"""Places that lie near each other are read at once, on a folder and on a real S3 server; each comes back as its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from registry import conf, store
from registry.store import GuardedStore, Place, ranges
from registry.store.ranges import Found

KEYS = [f"artifacts/{fan:02x}/{fan:02x}{'0' * 62}" for fan in range(3)]


class Counting(GuardedStore):
    """A store that notes what is asked of it."""

    def __init__(self, inner: store.Store) -> None:
        super().__init__(inner, admit=lambda: None, judge=lambda: None)
        self.asked: list[Place] = []

    def get_each(self, places: Sequence[Place]) -> Iterator[Found]:
        """See Store."""
        self.asked += places
        return super().get_each(places)


@pytest.fixture(params=["disk", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Counting:
    if request.param == "s3":
        request.getfixturevalue("bucket")
        return Counting(store.open_store(conf.current().artifact_url))
    return Counting(store.open_store((tmp_path / "store").as_uri()))


def read(opened: Counting, places: Sequence[Place]) -> list[Found]:
    return list(ranges.read_each(opened, places))


@pytest.mark.requirement("R23")
def test_a_thousand_neighbours_are_one_request_and_each_is_its_own_in_the_order_asked(opened: Counting) -> None:
    parts = [os.urandom(100 + number % 7) for number in range(1000)]
    starts = [sum(map(len, parts[:number])) for number in range(1000)]
    opened.put(KEYS[0], b"".join(parts))
    places = [Place(key=KEYS[0], start=starts[each], length=len(parts[each])) for each in range(1000)]
    asked = [*places[::-3], *places[::2], places[7], places[7]]
    expected = [*parts[::-3], *parts[::2], parts[7], parts[7]]
    assert read(opened, asked) == expected
    assert len(opened.asked) == 1


def test_what_is_missing_or_refused_is_told_of_its_own_places_alone(opened: Counting) -> None:
    opened.put(KEYS[0], bytes(range(100)))
    absent = [Place(key=KEYS[1], start=start, length=5) for start in (0, 5)]
    strange = Place(key="../x", start=0, length=5)
    found = read(
        opened, [Place(key=KEYS[0], start=10, length=5), *absent, strange, Place(key=KEYS[0], start=0, length=5)]
    )
    assert [found[0], found[4]] == [bytes(range(10, 15)), bytes(range(5))]
    assert [type(each) for each in found[1:4]] == [store.StoreMissing, store.StoreMissing, store.StoreKeyInvalid]


def test_an_object_that_ends_early_gives_less_to_those_behind_its_end(opened: Counting) -> None:
    opened.put(KEYS[0], b"0123456789")
    places = [Place(key=KEYS[0], start=start, length=4) for start in (0, 4, 8, 12)]
    assert read(opened, places) == [b"0123", b"4567", b"89", b""]


def test_places_far_apart_or_in_other_objects_are_read_by_themselves(opened: Counting) -> None:
    for key in KEYS[:2]:
        opened.put(key, bytes(ranges.GAP_BYTES + 100))
    near = [Place(key=KEYS[0], start=0, length=10), Place(key=KEYS[0], start=ranges.GAP_BYTES + 10, length=10)]
    far = [Place(key=KEYS[1], start=0, length=10), Place(key=KEYS[1], start=ranges.GAP_BYTES + 11, length=10)]
    assert read(opened, [*near, *far]) == [bytes(10)] * 4
    assert len(opened.asked) == 1 + 2


def test_bytes_in_memory_are_bounded(opened: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "KEPT_BYTES", 1000)
    monkeypatch.setattr(ranges, "RANGE_BYTES", 500)
    opened.put(KEYS[0], bytes(4000))
    places = [Place(key=KEYS[0], start=start, length=100) for start in range(0, 4000, 100)]
    found = ranges.read_each(opened, places)
    assert next(found) == bytes(100)
    assert sum(each.length or 0 for each in opened.asked) == 1000
    assert list(found) == [bytes(100)] * 39
    assert {each.length for each in opened.asked} == {500}


def test_a_place_without_a_length_is_read_whole(opened: Counting) -> None:
    opened.put(KEYS[0], b"0123456789")
    assert read(opened, [Place(key=KEYS[0]), Place(key=KEYS[0], start=2, length=3)]) == [b"0123456789", b"234"]
