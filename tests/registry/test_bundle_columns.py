"""Columns are written as the csv module would write their rows, exactly; what text cannot give back is refused."""

from __future__ import annotations

import csv
import io
import struct
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from registry import bundle
from registry.bundle import Bundle, BundleInvalid, Columns, Limits, columns, layout, members
from registry.bundle.tables import Cell, Table, TableInvalid

LIMITS = Limits(max_bytes=10 * 1024**2, max_unpacked_bytes=64 * 1024**2, max_ratio=200)
PLAIN = Bundle(format="test-1", forecaster=b"{}")
NAN = float("nan")
# Every notation that Python has for a float, and the numbers where it changes from one to another.
edges = st.sampled_from(
    [0.0, -0.0, 1e-4, 9.9e-5, 1e-5, 1e-7, 5e-324, 1e15, 1e16, 9007199254740993.0, 1e22, 1.7e308, 0.1]
)
numbers = st.one_of(edges, edges.map(lambda number: -number), st.floats(allow_nan=False, allow_infinity=False))
texts = st.text(st.characters(codec="utf-8"), max_size=6)
signs = st.text(st.sampled_from(',"\r\n ;x'), max_size=4)
kinds = st.sampled_from(
    [
        st.one_of(st.none(), numbers),
        st.one_of(st.none(), st.integers()),
        st.one_of(st.none(), numbers, st.integers(-(2**53), 2**53)),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.dates()),
        st.one_of(texts, signs),
    ]
)


@st.composite
def tables_of(draw: st.DrawFn) -> Table:
    names = tuple(draw(st.lists(st.one_of(texts, signs), unique=True, min_size=1, max_size=4)))
    height = draw(st.integers(0, 5))
    cells = [draw(st.lists(draw(kinds), min_size=height, max_size=height)) for _ in names]
    return Table(names, tuple(zip(*cells, strict=True)))


def by_rows(table: Table) -> bytes:
    """The CSV of a table as the csv module writes it, row by row."""
    floats = [kind == "float" for _, kind in columns.write(table).kinds]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([spelled(cell, is_float) for cell, is_float in zip(row, floats, strict=True)])
    return text.getvalue().encode()


def spelled(cell: Cell, is_float: bool) -> str:
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, date):
        return cell.isoformat()
    return repr(float(cell)) if is_float else repr(cell)


@pytest.mark.requirement("R24")
@given(table=tables_of())
def test_a_table_has_the_bytes_that_the_csv_module_writes_of_its_rows(table: Table) -> None:
    assert columns.write(table).data == by_rows(table)


@given(table=tables_of())
def test_a_table_given_by_columns_has_the_bytes_of_the_same_rows(table: Table) -> None:
    cells = tuple(zip(*table.rows, strict=True)) if table.rows else ((),) * len(table.columns)
    assert columns.write(Columns(table.columns, cells)) == columns.write(table)


def test_a_bundle_of_columns_is_that_of_rows_and_comes_back() -> None:
    rows = Table(("time", "y"), (("2026-03-01", 1.5), ("2026-03-02", None), ("2026-03-03", 0.00001)))
    given_by_columns = {
        "test": Columns(("time", "y"), (["2026-03-01", "2026-03-02", "2026-03-03"], [1.5, NAN, 0.00001]))
    }
    packed = bundle.pack(PLAIN, by_columns=given_by_columns)
    assert packed == bundle.pack(replace(PLAIN, test=rows))
    assert bundle.unpack(packed, limits=LIMITS).test == rows


@pytest.mark.parametrize(
    "cells",
    [
        ([1.0, float("inf")],),
        ([1.0, -float("inf"), NAN],),
        ([1.0, "text"],),
        ([True, 1],),
        (["a", None],),
        ([2**53 + 1, 0.5],),
        ([datetime(2026, 3, 1)],),  # noqa: DTZ001  # naive is the point
        (["\ud800"],),
        ([1.0], [2.0]),
        (),
    ],
)
def test_columns_that_text_cannot_give_back_are_refused(cells: tuple[list[Cell], ...]) -> None:
    with pytest.raises(TableInvalid):
        columns.write(Columns(("y",), cells))


def test_columns_of_several_lengths_are_refused() -> None:
    with pytest.raises(TableInvalid):
        columns.write(Columns(("a", "b"), ([1.0, 2.0], [1.0])))


def test_the_zip_is_the_one_that_the_library_writes() -> None:
    contents = {name: f"content of {name}".encode() * place for place, name in enumerate(members.MEMBERS)}
    theirs = io.BytesIO()
    with zipfile.ZipFile(theirs, "w") as archive:
        for name in members.MEMBERS:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, contents[name])
    assert layout.write(contents) == theirs.getvalue()


class Claiming(bytes):
    """Content that says of itself to be too long for a zip; nothing that long fits a test."""

    def __len__(self) -> int:
        return layout.LARGEST_BYTES


def test_members_that_no_plain_zip_can_hold_are_refused() -> None:
    with pytest.raises(BundleInvalid, match="together"):
        layout.write(dict.fromkeys(members.MEMBERS, b"") | {"forecaster": Claiming()})


@pytest.mark.requirement("R24")
@pytest.mark.parametrize("said", [-1, 1])
def test_a_small_frame_that_unpacks_to_another_size_than_it_says_is_refused(said: int) -> None:
    raw = zstandard.ZstdDecompressor().decompress(bundle.pack(PLAIN))
    data = bytearray(zstandard.ZstdCompressor(level=3, write_checksum=False).compress(raw))
    # A frame header of one segment: magic, descriptor, and the size less 256 in two bytes.
    assert (data[4] >> 5, struct.unpack_from("<H", data, 5)[0]) == (0b011, len(raw) - 256)
    struct.pack_into("<H", data, 5, len(raw) - 256 + said)
    with pytest.raises(BundleInvalid):
        bundle.forecaster_of(bytes(data), limits=LIMITS)


def test_instants_of_any_offset_are_written_in_utc() -> None:
    at = datetime.fromisoformat("2026-03-01T02:00:00+02:00")
    assert columns.write(Columns(("at",), ([at],))).data.decode().split() == [
        "at",
        datetime(2026, 3, 1, tzinfo=UTC).isoformat(),
    ]
