"""A bundle has the same bytes for the same content, gives everything back exactly, and refuses what it did not make."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import bundle
from registry.bundle import Bounds, Bundle, BundleInvalid, Limits, columns, members, tables
from registry.bundle.tables import Table, TableInvalid, TableTooLarge

LIMITS = Limits(max_bytes=10 * 1024**2, max_unpacked_bytes=64 * 1024**2, max_ratio=200)
BOUNDS = Bounds(columns=10, rows=5000, cells=20_000, row_characters=2000)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
POINTS = tuple((DAY + timedelta(days=n), n / 7, None if n % 3 else -n / 3, n) for n in range(250))
FULL = Bundle(
    format="test-1",
    forecaster=bytes(range(256)) * 4,
    metadata={"trainer": "ridge", "metrics": {"mae": 0.1 + 0.2, "r2": None}, "names": ["ä", "\n"]},
    feature_importance={"lag_7": 1 / 3, "lag_1": 2 / 3},
    validation=Table(("time", "y", "yhat", "step"), POINTS),
    test=Table(("day", "y", "open"), ((date(2026, 3, 1), 1.5, True), (date(2026, 3, 2), None, False))),
    context=Table(("entity", "y"), (("roll, small", 1.0), ('a "quoted"\r\nname', 2.0))),
)

finite = st.floats(allow_nan=False, allow_infinity=False)


def unpack(data: bytes) -> Bundle:
    return bundle.unpack(data, limits=LIMITS)


def audit(data: bytes) -> Bundle:
    return bundle.audit(data, limits=LIMITS, bounds=BOUNDS)


def check(data: bytes, *, kinds: list[list[str]], bounds: Bounds | None = None) -> int:
    return tables.check(io.BytesIO(data), kinds=kinds, bounds=bounds or BOUNDS)


def frame(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_content_size=True).compress(raw)


def raw_zip(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data)


def rezipped(change: Callable[[dict[str, bytes]], None], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """The full bundle with changed members."""
    with zipfile.ZipFile(io.BytesIO(raw_zip(bundle.pack(FULL)))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return frame(buffer.getvalue())


@pytest.mark.requirement("R04")
@pytest.mark.requirement("R24")
def test_everything_comes_back_exactly_and_in_full() -> None:
    read = unpack(bundle.pack(FULL))
    assert read == FULL
    assert len(read.validation.rows) == 250
    assert read.validation.column("step") == list(range(250))


def test_equal_content_gives_equal_bytes() -> None:
    shuffled = replace(FULL, metadata=dict(reversed(list(FULL.metadata.items()))))
    assert bundle.pack(FULL) == bundle.pack(replace(FULL)) == bundle.pack(shuffled)
    assert bundle.pack(FULL) != bundle.pack(replace(FULL, forecaster=b"other"))


def test_the_bytes_depend_on_nothing_but_the_content() -> None:
    # Written down once: neither the day, nor the machine, nor the process may show in them.
    digest = hashlib.sha256(raw_zip(bundle.pack(FULL))).hexdigest()
    assert digest == "b45578b3f22d52c5841f57fc66e42625cf2fe894a7c1aa8cf12cc314ece5a5f1"


@pytest.mark.requirement("R19")
def test_what_is_packed_is_compressed_without_being_asked() -> None:
    whole = raw_zip(packed := bundle.pack(FULL))
    assert len(packed) < len(whole) / 3
    assert zstandard.get_frame_parameters(packed).content_size == len(whole)


def test_an_empty_bundle_comes_back() -> None:
    empty = Bundle(format="test-1", forecaster=b"")
    assert unpack(bundle.pack(empty)) == empty


def test_a_flat_series_is_no_bomb() -> None:
    flat = replace(FULL, validation=Table(("y",), ((0.0,),) * 100_000))
    packed = bundle.pack(flat)
    assert len(raw_zip(packed)) > 200 * len(packed)
    assert unpack(packed) == flat


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(finite, st.none() | finite, st.integers(-(2**200), 2**200), st.text(), st.booleans()), max_size=8
    )
)
def test_every_finite_value_comes_back_exactly(rows: list[tuple[float, float | None, int, str, bool]]) -> None:
    encodable = [row for row in rows if row[3].encode("utf-8", "ignore").decode() == row[3]]
    table = Table(("a", "b", "c", "d", "e"), tuple(encodable))
    read = unpack(bundle.pack(Bundle(format="t", forecaster=b"", test=table))).test
    assert read == table
    assert [struct.pack(">d", row[0]) for row in read.rows] == [struct.pack(">d", row[0]) for row in encodable]


def test_an_instant_of_another_offset_comes_back_as_the_same_instant() -> None:
    local = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    read = unpack(bundle.pack(replace(FULL, context=Table(("time",), ((local,),)))))
    assert read.context.rows[0][0] == local


class LibraryFloat(float):
    """As scalars of the numeric libraries are: a float whose own text is no number."""

    def __repr__(self) -> str:
        return f"LibraryFloat({float(self)})"


def test_a_float_of_a_library_is_stored_as_a_number() -> None:
    table = Table(("y",), ((LibraryFloat(0.1),), (2,)))
    assert unpack(bundle.pack(replace(FULL, test=table))).test.rows == ((0.1,), (2.0,))


@pytest.mark.parametrize(
    "table",
    [
        Table(("y",), ((float("nan"),),)),
        Table(("y",), ((float("inf"),),)),
        Table(("y",), ((1.0,), ("text",))),
        Table(("y",), ((True,), (1,))),
        Table(("y",), ((1.0, 2.0),)),
        Table(("y", "y"), ((1.0, 2.0),)),
        Table(("time",), ((datetime(2026, 3, 1),),)),  # noqa: DTZ001  # naive is the point
        Table(("name",), (("a",), (None,))),
        Table(("name",), (("\ud800",),)),
        Table(("y",), ((1.5,), (2**60 + 1,))),
        Table(("y",), ((object(),),)),  # type: ignore[arg-type]
    ],
)
def test_a_table_that_text_cannot_give_back_is_refused(table: Table) -> None:
    with pytest.raises(TableInvalid):
        bundle.pack(replace(FULL, test=table))


@pytest.mark.parametrize("metadata", [{"a": float("nan")}, {"a": object()}, {"a": "\ud800"}])
def test_metadata_that_is_no_plain_json_is_refused(metadata: dict[str, object]) -> None:
    with pytest.raises(BundleInvalid):
        bundle.pack(replace(FULL, metadata=metadata))


@pytest.mark.requirement("X02")
def test_a_zstd_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = frame(bytes(50 * 1024**2))
    assert len(bomb) < 10_000
    monkeypatch.setattr(zstandard, "ZstdDecompressor", None)  # Unpacking it would fail differently.
    with pytest.raises(BundleInvalid, match="bomb"):
        unpack(bomb)


def test_a_frame_that_lies_about_its_size_does_not_grow() -> None:
    honest = frame(bytes(10_000_000))
    size = zstandard.get_frame_parameters(honest).content_size
    lying = honest.replace(struct.pack("<I", size), struct.pack("<I", 2000), 1)
    assert zstandard.get_frame_parameters(lying).content_size == 2000
    with pytest.raises(BundleInvalid, match="broken"):
        unpack(lying)


def test_a_frame_without_a_size_is_refused() -> None:
    data = zstandard.ZstdCompressor(write_content_size=False).compress(raw_zip(bundle.pack(FULL)))
    with pytest.raises(BundleInvalid, match="how large"):
        unpack(data)


SKIPPED = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"more"


@pytest.mark.parametrize("packed", [
    lambda data: data + frame(b"more"), lambda data: data + SKIPPED, lambda data: SKIPPED + data,
    lambda data: data + b"more",
], ids=["two frames", "a frame to skip behind", "a frame to skip before", "bytes behind"])  # fmt: skip
def test_more_than_one_frame_is_refused(packed: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BundleInvalid, match="one zstd frame"):
        unpack(packed(bundle.pack(FULL)))


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("content", [bytes(400_000), os.urandom(400_000)], ids=["one byte repeated", "noise"])
def test_a_frame_ends_where_its_blocks_say(content: bytes, checksum: bool) -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=True, write_checksum=checksum)
    packed = compressor.compress(raw_zip(bundle.pack(replace(FULL, forecaster=content))))
    assert unpack(packed).forecaster == content


def test_packed_and_unpacked_bytes_have_bounds() -> None:
    data = bundle.pack(FULL)
    with pytest.raises(BundleInvalid, match="allowed"):
        bundle.unpack(data, limits=replace(LIMITS, max_bytes=len(data) - 1))
    with pytest.raises(BundleInvalid, match="bomb"):
        bundle.unpack(data, limits=replace(LIMITS, max_unpacked_bytes=len(raw_zip(data)) - 1))


@pytest.mark.requirement("X02")
def test_a_zip_bomb_inside_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    def blow(members: dict[str, bytes]) -> None:
        members["forecaster"] = bytes(30 * 1024**2)

    data = rezipped(blow, compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(BundleInvalid, match="compressed"):
        unpack(data)


def test_members_that_overlap_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = bytearray(raw_zip(bundle.pack(replace(FULL, forecaster=bytes(20_000)))))
    with zipfile.ZipFile(io.BytesIO(bytes(raw))) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    # The directory says that a small member is as large as the big one, from the same place.
    for name in ("manifest.json", "metadata.json", "validation.csv"):
        entry = raw.rindex(name.encode()) - 46
        assert raw[entry : entry + 4] == b"PK\x01\x02"
        raw[entry + 20 : entry + 28] = struct.pack("<II", 20_000, 20_000)
    assert infos["forecaster"].file_size == 20_000
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(BundleInvalid, match="list of members does not say"):
        unpack(frame(bytes(raw)))


def add_unknown(members: dict[str, bytes]) -> None:
    members["forecaster.pkl"] = b"evil"


def add_outside(members: dict[str, bytes]) -> None:
    members["../outside"] = b"evil"


def drop_test(members: dict[str, bytes]) -> None:
    del members["test.csv"]


def newer(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members["manifest.json"].replace(b'"bundle":1', b'"bundle":2')


def no_object(members: dict[str, bytes]) -> None:
    members["metadata.json"] = b"[]"


def not_a_number(members: dict[str, bytes]) -> None:
    members["feature_importance.json"] = b'{"lag": NaN}'


def deep(members: dict[str, bytes]) -> None:
    members["metadata.json"] = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def other_columns(members: dict[str, bytes]) -> None:
    members["test.csv"] = b"day,y\r\n"


def ragged(members: dict[str, bytes]) -> None:
    members["context.csv"] += b"one cell\r\n"


def not_finite(members: dict[str, bytes]) -> None:
    members["context.csv"] += b"name,inf\r\n"


def unknown_kind(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members["manifest.json"].replace(b'"instant"', b'"__import__"')


@pytest.mark.parametrize(
    "change",
    [
        add_unknown,
        add_outside,
        drop_test,
        newer,
        no_object,
        not_a_number,
        deep,
        other_columns,
        ragged,
        not_finite,
        unknown_kind,
    ],
)
def test_a_bundle_that_pack_does_not_make_is_refused(change: Callable[[dict[str, bytes]], None]) -> None:
    with pytest.raises(BundleInvalid):
        unpack(rezipped(change))


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04K\x01.", frame(b"no zip"), bundle.pack(FULL)[:-20], bundle.pack(FULL)[20:]]
)
def test_bytes_that_are_no_bundle_are_refused(data: bytes) -> None:
    with pytest.raises(BundleInvalid):
        unpack(data)


def test_a_flipped_bit_never_gives_other_content() -> None:
    data = bundle.pack(FULL)
    for place in range(0, len(data), 37):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        try:
            assert unpack(bytes(damaged)) == FULL
        except BundleInvalid:
            continue


def test_a_column_is_found_by_name_alone() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        FULL.test.column("absent")
    assert columns.write(FULL.test).kinds == (("day", "date"), ("y", "float"), ("open", "switch"))


def test_a_member_that_was_changed_within_the_zip_is_refused() -> None:
    raw = bytearray(raw_zip(bundle.pack(FULL)))
    place = raw.index(FULL.forecaster)
    raw[place] ^= 0xFF
    with pytest.raises(BundleInvalid, match="not what was stored"):
        unpack(frame(bytes(raw)))


def test_a_member_that_is_not_where_the_list_says_is_refused() -> None:
    raw = bytearray(raw_zip(bundle.pack(FULL)))
    raw[30:34] = b"MANI"
    with pytest.raises(BundleInvalid, match="in the place of"):
        unpack(frame(bytes(raw)))


def test_an_audit_refuses_what_unpacking_refuses() -> None:
    packed = bundle.pack(FULL)
    assert audit(packed).forecaster == FULL.forecaster

    def broken(members: dict[str, bytes]) -> None:
        members["test.csv"] = members["test.csv"].replace(b"1.5", b"one")

    for data in (rezipped(broken), packed[:-5], b"x"):
        with pytest.raises(BundleInvalid):
            audit(data)


@pytest.mark.parametrize(
    ("kind", "cell", "holds"),
    [
        ("int", "7", True), ("int", "0", True), ("int", "x", False), ("float", "0.0", True), ("float", "inf", False),
        ("float", "nan", False), ("switch", "true", True), ("switch", "yes", False), ("date", "2026-03-01", True),
        ("date", "soon", False), ("instant", "2026-03-01T00:00:00+00:00", True), ("instant", "x", False),
        ("text", "x", True),
    ],
)  # fmt: skip
def test_a_table_is_checked_as_it_is_loaded(kind: str, cell: str, holds: bool) -> None:
    data, kinds = f"a\r\n{cell}\r\n".encode(), [["a", kind]]
    for look in (check, tables.load):
        if holds:
            look(data, kinds=kinds)
        else:
            with pytest.raises(TableInvalid):
                look(data, kinds=kinds)


def test_a_row_of_another_length_is_refused_by_the_check() -> None:
    for data in (b"a\r\n1,2\r\n", b"a\r\n1\r\n1,2\r\n", b"b\r\n1\r\n"):
        with pytest.raises(TableInvalid):
            check(data, kinds=[["a", "int"]])
    assert check(b"a\r\n1\r\n2\r\n", kinds=[["a", "int"]]) == 2


# -- read forwards, out of a stream


def hand_made(
    change: Callable[[dict[str, bytes]], None] = lambda members: None, *, raw: Callable[[bytes], bytes] = bytes
) -> bytes:
    return frame(raw(raw_zip(rezipped(change))))


def test_a_table_is_read_row_by_row_and_equals_the_whole_one() -> None:
    packed = bundle.pack(FULL)
    for name in bundle.TABLES:
        found = bundle.rows_of(packed, table=name, limits=LIMITS)
        assert Table(found.columns, tuple(found.rows)) == getattr(FULL, name)
    assert bundle.importance_of(packed, limits=LIMITS) == FULL.feature_importance
    assert bundle.forecaster_of(packed, limits=LIMITS) == FULL.forecaster


def test_a_table_that_was_changed_within_the_zip_is_refused_where_it_ends() -> None:
    raw = bytearray(raw_zip(bundle.pack(FULL)))
    raw[raw.index(b"2026-03-02,")] = ord("3")
    with pytest.raises(BundleInvalid, match="not what was stored"):
        list(bundle.rows_of(frame(bytes(raw)), table="test", limits=LIMITS).rows)


def ends_in_a_strange_row(members: dict[str, bytes]) -> None:
    members["test.csv"] += b"2026-03-03,one,true\r\n"


def test_a_row_that_does_not_fit_is_told_where_it_stands() -> None:
    found = bundle.rows_of(hand_made(ends_in_a_strange_row), table="test", limits=LIMITS)
    assert [next(found.rows), next(found.rows)] == list(FULL.test.rows)
    with pytest.raises(BundleInvalid):
        next(found.rows)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda raw: raw + b"x",
        lambda raw: raw[:-1],
        lambda raw: raw.replace(b"PK\x01\x02", b"PK\x01\x03", 1),
        lambda raw: raw[:-16] + b"\x06\0" + raw[-14:],
        lambda raw: raw[: raw.rindex(b"context.csv")] + b"context.svc" + raw[raw.rindex(b"context.csv") + 11 :],
        lambda raw: raw[:6] + b"\x01" + raw[7:],
        lambda raw: raw[:14] + b"\0\0\0\0" + raw[18:],
        lambda raw: raw[:18] + struct.pack("<II", 2**31, 2**31) + raw[26:],
        lambda raw: b"x" + raw,
    ],
)
def test_every_reader_refuses_a_zip_that_is_not_laid_out_as_ours(wrong: Callable[[bytes], bytes]) -> None:
    data = hand_made(raw=wrong)
    with pytest.raises(BundleInvalid):
        unpack(data)
    with pytest.raises(BundleInvalid):
        audit(data)
    with pytest.raises(BundleInvalid):
        bundle.forecaster_of(data, limits=LIMITS)


def test_an_empty_member_has_its_checksum_too() -> None:
    def empty(members: dict[str, bytes]) -> None:
        members["forecaster"] = b""

    raw = bytearray(raw_zip(hand_made(empty)))
    for place in (raw.index(b"forecaster") - 16, raw.rindex(b"forecaster") - 30):
        assert raw[place : place + 4] == bytes(4)
        raw[place : place + 4] = b"evil"
    with pytest.raises(BundleInvalid, match="not what was stored"):
        unpack(frame(bytes(raw)))


def test_a_frame_that_needs_much_at_hand_is_refused_by_its_header() -> None:
    wide = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=wide)
    data = compressor.compress(raw_zip(bundle.pack(replace(FULL, forecaster=os.urandom(9 * 2**20)))))
    with pytest.raises(BundleInvalid, match="at hand"):
        unpack(data)
    assert zstandard.get_frame_parameters(bundle.pack(FULL)).window_size < members.WINDOW_BYTES / 4


# -- what is taken in of a table

KINDS = [["a", "int"], ["b", "int"]]


@pytest.mark.requirement("R24")
@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ({}, True), ({"columns": 2}, True), ({"columns": 1}, False), ({"rows": 100}, True), ({"rows": 99}, False),
        ({"cells": 200}, True), ({"cells": 199}, False), ({"row_characters": 5}, True), ({"row_characters": 4}, False),
    ],
)  # fmt: skip
def test_a_table_beyond_its_bounds_is_refused_and_never_cut(bounds: dict[str, int], holds: bool) -> None:
    data = b"a,b\r\n" + b"1,2\r\n" * 100
    if holds:
        assert check(data, kinds=KINDS, bounds=replace(BOUNDS, **bounds)) == 100
    else:
        with pytest.raises(TableTooLarge):
            check(data, kinds=KINDS, bounds=replace(BOUNDS, **bounds))


@pytest.mark.parametrize("row", [b"1," * 3000, b'"' + b"x" * 3000, b'"1\n",' * 1000, b"1" * 3000])
def test_a_row_that_goes_on_and_on_is_refused_before_it_is_in_memory(row: bytes) -> None:
    with pytest.raises(TableTooLarge, match="characters"):
        check(b"a,b\r\n" + row, kinds=KINDS)


def test_a_bundle_with_too_large_a_table_is_refused_with_a_code_of_its_own() -> None:
    data = bundle.pack(replace(FULL, test=Table(("y",), ((1.0,),) * 5001)))
    with pytest.raises(TableTooLarge) as refused:
        audit(data)
    assert (refused.value.code, refused.value.status) == ("table_too_large", 422)
    assert "PERENNIAL_REGISTRY_TABLE" in refused.value.next_step
