"""Instants are aware UTC; naive stamps are read in a declared zone, by rule where clocks change, and never guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import timestamps
from registry.timestamps import TimestampInvalid

BERLIN = "Europe/Berlin"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def naive(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.requirement("B01")
@pytest.mark.parametrize(
    ("value", "zone"),
    [
        ("2026-03-01T12:00:00Z", None),
        ("2026-03-01 13:00+01:00", None),
        (" 2026-03-01T12:00:00+00:00 ", BERLIN),
        ("2026-03-01T13:00:00", BERLIN),
        (NOON.timestamp(), None),
        (int(NOON.timestamp()), None),
        (NOON.astimezone(timezone(timedelta(hours=9))), None),
        (naive("2026-03-01T13:00"), BERLIN),
    ],
)
def test_every_kind_of_stamp_becomes_the_same_utc_instant(value: object, zone: str | None) -> None:
    parsed = timestamps.parse(value, zone=zone)
    assert parsed == NOON and parsed.tzinfo is UTC


def test_a_date_is_its_midnight() -> None:
    assert timestamps.parse(date(2026, 3, 1)) == datetime(2026, 3, 1, tzinfo=UTC)
    assert timestamps.parse(date(2026, 3, 1), zone=BERLIN) == datetime(2026, 2, 28, 23, tzinfo=UTC)


@pytest.mark.requirement("B01")
@pytest.mark.parametrize("value", ["2026-03-01T12:00:00", naive("2026-03-01T12:00"), "2026-03-01"])
def test_a_naive_stamp_without_a_zone_is_refused(value: object) -> None:
    with pytest.raises(TimestampInvalid, match="no time zone is declared"):
        timestamps.parse(value)


@pytest.mark.parametrize("value", ["", "yesterday", "2026-13-01T00:00Z", None, True, [], 1e30, float("nan"), "٢٠٢٦"])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(TimestampInvalid):
        timestamps.parse(value, zone="UTC")


@pytest.mark.requirement("B01")
@pytest.mark.parametrize(
    ("wall", "utc"),
    [
        ("2026-03-29T01:59", "2026-03-29T00:59"),
        ("2026-03-29T02:30", "2026-03-29T01:30"),  # No clock showed it: it moves to 03:30.
        ("2026-03-29T03:30", "2026-03-29T01:30"),
        ("2026-10-25T02:30", "2026-10-25T00:30"),  # Shown twice: the first is meant.
        ("2026-10-25T03:00", "2026-10-25T02:00"),
    ],
)
def test_gap_and_fold_are_read_by_rule(wall: str, utc: str) -> None:
    assert timestamps.to_utc(naive(wall), zone=BERLIN) == naive(utc).replace(tzinfo=UTC)


def test_a_stamp_in_a_gap_comes_back_as_what_clocks_showed() -> None:
    assert timestamps.make_aware(naive("2026-03-29T02:30"), zone=BERLIN).isoformat() == "2026-03-29T03:30:00+02:00"


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2037, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_wall_time_and_back_is_the_same_instant_but_for_the_second_fold(instant: datetime) -> None:
    wall = timestamps.make_naive(instant, zone=BERLIN)
    assert wall.tzinfo is None
    back = timestamps.to_utc(wall, zone=BERLIN)
    assert instant - back in (timedelta(0), timedelta(hours=1))


def test_awareness_is_not_changed_by_accident() -> None:
    with pytest.raises(TimestampInvalid, match="offset already"):
        timestamps.make_aware(NOON, zone=BERLIN)
    with pytest.raises(TimestampInvalid, match="no offset"):
        timestamps.make_naive(naive("2026-03-01T12:00"), zone=BERLIN)
    assert timestamps.is_aware(NOON) and not timestamps.is_aware(naive("2026-03-01"))


def test_stamps_of_different_kinds_are_compared_as_instants() -> None:
    local = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert timestamps.compare(NOON, local) == 0
    assert timestamps.compare(naive("2026-03-01T13:01"), NOON, zone=BERLIN) == 1
    assert timestamps.compare(NOON, NOON + timedelta(microseconds=1)) == -1
    with pytest.raises(TimestampInvalid):
        timestamps.compare(NOON, naive("2026-03-01T13:01"))


@pytest.mark.parametrize("name", ["Mars/Base", "", "../../etc/passwd", "/etc/localtime", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(TimestampInvalid, match="IANA"):
        timestamps.find_zone(name)


def test_now_is_aware_utc() -> None:
    assert timestamps.utc_now().tzinfo is UTC


def test_what_people_write_is_an_instant_or_a_date_in_utc() -> None:
    for text in ("2026-03-01T18:30:00Z", "2026-03-02T00:00:00+05:30", " 2026-03-01T18:30:00+00:00 "):
        assert timestamps.instant(text) == datetime(2026, 3, 1, 18, 30, tzinfo=UTC)
    assert timestamps.instant("2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)
    for text in ("", "soon", "20260301", "2026-03-01T18:30:00", "1772389800", "2026-03-01T18:30:00 05:30", "9" * 99):
        with pytest.raises(timestamps.TimestampInvalid):
            timestamps.instant(text)
