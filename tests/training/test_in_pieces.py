"""What is read in pieces, in any order and with little in memory, is what would be read at once."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import Invalid, PerennialError
from tests.training import at_once, pieces
from training import cells, gathering, panels, row_files, source_files, sources, whole_series
from training.normal_form import Rows, Rules, SourceChanged
from training.trainers.base import Grid

EXAMPLES = 20
DAILY = Grid(frequency="D")
HOURLY = Grid(frequency="h", time_zone="Europe/Berlin")
ROWS = Grid(frequency="h", kind="regression", time_zone="Europe/Berlin")
DATES = [f"2026-01-{day:02d}" for day in range(1, 8)]
# Around the hours that the clock of Berlin shows twice, and one that it skips.
HOURS = [f"2025-10-26 {hour:02d}:00" for hour in range(5)]
HOURS += ["2025-10-26T00:00Z", "2025-10-26T02:30:00+02:00", "2026-03-29 02:30", "2026-03-29 03:00"]

keys = st.sampled_from(["a", "b", "c", "item-10", "item-2", "Z"])
values = st.sampled_from([0.0, 1.0, 2.5, -4.0, 8.0, None])
bad = st.sampled_from([None, None, None, ("key", "a b"), ("key", None), ("ds", "soon"), ("ds", None), ("y", "ten")])
bad |= st.sampled_from([("rain", "wet"), ("y", " 2"), ("ds", "2026-01-02 08:00"), ("ds", "2026-01-01T00:00:00Z")])


@st.composite
def frames(draw: Any, grid: Grid) -> pd.DataFrame:
    """Draw some rows, in any order or grouped, with up to three cells that may be bad."""
    stamps = st.sampled_from(DATES if grid.dated else HOURS)
    rows = draw(st.lists(st.tuples(keys, stamps, values, values), max_size=40))
    if draw(st.booleans()):
        rows = sorted(rows, key=lambda row: row[0])
    frame = pd.DataFrame(rows, columns=["key", "ds", "y", "rain"]).astype(object)
    for spoilt in draw(st.lists(bad, max_size=3)):
        if spoilt and rows:
            frame.loc[draw(st.integers(0, len(rows) - 1)), spoilt[0]] = spoilt[1]
    return frame


@st.composite
def readings(draw: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Draw rows and the rules by which they are read."""
    grid = draw(st.sampled_from([DAILY, HOURLY, ROWS]))
    rules = {
        "grid": grid,
        "entity": draw(st.sampled_from(["key", "key", "key", ""])),
        "features": draw(st.sampled_from([(), ("rain",)])),
        "duplicates": draw(st.sampled_from(["refuse", "first", "last", "mean", "sum"])),
        "gaps": draw(st.sampled_from(["leave", "zero", "interpolate"])),
        "declared_zone": draw(st.sampled_from(["Europe/Berlin"] * 4 + ["", "Mars/Base"])),
    }
    return draw(frames(grid)), rules | {"time": "ds", "target": "y", "source": "shop"}


def outcome(read: Any, *args: Any, **given: Any) -> Any:
    """Return the rows as lists, or how they were refused."""
    try:
        found = read(*args, **given)
    except PerennialError as error:
        return error.code, error.sentence
    return {name: found[name].astype(object).where(found[name].notna(), None).tolist() for name in found.columns}


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    reading=readings(), sizes=st.lists(st.integers(0, 9), max_size=8), bucket_rows=st.integers(1, 20), data=st.data()
)
def test_reading_in_pieces_is_reading_at_once(
    reading: tuple[pd.DataFrame, dict[str, Any]], sizes: list[int], bucket_rows: int, data: st.DataObject
) -> None:
    frame, rules = reading
    texts = {name: "str" for name in data.draw(st.sets(st.sampled_from(["key", "ds"])))}
    expected = outcome(at_once.normalise, frame := frame.astype(texts), **rules)
    # As a file gives them.
    frame = frame.astype(dict.fromkeys(texts, "category"))
    rows_in_group = data.draw(st.integers(1, 12))
    with mock.patch.object(row_files, "ROWS_IN_GROUP", rows_in_group):
        assert outcome(pieces.normalise, frame, sizes=sizes, bucket_rows=bucket_rows, **rules) == expected


@st.composite
def csv_texts(draw: Any) -> str:
    """Draw the text of a CSV file, some cells of which may be bad."""
    cells = st.sampled_from(["1", "2", "2.5", "-3", "1e2", "", "NA", " 4"] + ["ten"] * draw(st.integers(0, 1)))
    rows = draw(st.lists(st.tuples(st.sampled_from(["007", "7", "a"]), st.sampled_from(DATES), cells), max_size=30))
    return "key,ds,y\n" + "".join(f"{','.join(row)}\n" for row in rows)


def csv_at_once(path: Path, **rules: Any) -> pd.DataFrame:
    """Read a whole CSV by the rules of the normal form."""
    options = pyarrow.csv.ConvertOptions(column_types={"key": pa.string(), "ds": pa.string()}, strings_can_be_null=True)
    return at_once.normalise(pyarrow.csv.read_csv(path, convert_options=options).to_pandas(), **rules)


def in_pieces(open_file: Any, **rules: Any) -> pd.DataFrame:
    """Read a file as a source is read; by text, where its cells are mixed."""
    for as_text in (False, True):
        try:
            with tempfile.TemporaryFile() as file:
                sources._write(open_file(as_text), Rules(**rules), file)
                found: pd.DataFrame = pyarrow.parquet.read_table(file).to_pandas()
                return found
        except source_files.CellsMixed:
            assert not as_text
    raise AssertionError("never read")


@settings(max_examples=EXAMPLES, deadline=None)
@given(text=csv_texts(), piece_bytes=st.integers(24, 200))
def test_a_csv_in_pieces_is_the_csv_at_once(
    tmp_path_factory: pytest.TempPathFactory, text: str, piece_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_text(text)
    rules: dict[str, Any] = {"source": "shop", "entity": "key", "time": "ds", "target": "y", "grid": DAILY}
    with mock.patch.object(source_files, "PIECE_BYTES", piece_bytes):
        found = outcome(in_pieces, lambda as_text: source_files.CsvPieces(path, as_text=as_text), **rules)
    assert found == outcome(csv_at_once, path, **rules)


@pytest.mark.parametrize(
    "stamps",
    [
        pa.array(DATES),
        pa.array(DATES).cast(pa.date32()),
        pa.array(DATES).cast(pa.timestamp("ns")),
        pa.array(DATES).dictionary_encode(),
    ],
    ids=["text", "date", "timestamp", "dictionary"],
)
@pytest.mark.parametrize("entities", [pa.array(list("bbcaaab")), pa.array([2, 2, 10, 1, 1, 1, 2])])
def test_a_parquet_of_any_column_type_in_pieces_is_the_parquet_at_once(
    tmp_path: Path, stamps: pa.Array, entities: pa.Array
) -> None:
    table = pa.table({"key": entities, "ds": stamps, "y": pa.array([1, 2, None, 4, 5, 6, 7], pa.int64())})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=3)
    rules: dict[str, Any] = {"source": "shop", "entity": "key", "time": "ds", "target": "y", "grid": DAILY}
    with mock.patch.object(source_files, "PIECE_ROWS", 2):
        found = outcome(in_pieces, lambda as_text: source_files.ParquetPieces(tmp_path / "rows.parquet"), **rules)
    assert found == outcome(at_once.normalise, table.to_pandas(), **rules)


@pytest.mark.requirement("E05")
@pytest.mark.parametrize("sizes", [[2], [1, 1, 1], [0, 2, 0, 1]])
def test_the_hour_that_a_clock_repeats_is_two_hours_also_where_two_pieces_share_it(sizes: list[int]) -> None:
    stamps = ["2025-10-26 01:00", "2025-10-26 02:00", "2025-10-26 02:00", "2025-10-26 03:00"]
    frame = pd.DataFrame({"key": ["a"] * 4 + ["b"] * 4, "ds": stamps * 2, "y": range(8)})
    found = pieces.normalise(
        frame, sizes=sizes, source="s", entity="key", time="ds", target="y", declared_zone="Europe/Berlin", grid=HOURLY
    )
    assert found["time"].dt.hour.tolist() == [23, 0, 1, 2] * 2
    assert found["y"].tolist() == list(range(8))


@pytest.mark.parametrize("sizes", [[], [2], [1, 1, 1, 1], [0, 3, 0, 2]])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 0, 1, 2, 3]])
def test_duplicates_and_gaps_are_seen_also_where_an_entity_is_spread_over_pieces(
    sizes: list[int], order: list[int]
) -> None:
    frame = pd.DataFrame({"key": list("aaabb"), "y": [1.0, 2.0, 4.0, 5.0, 6.0]})
    frame["ds"] = ["2026-01-01", "2026-01-01", "2026-01-03", "2026-01-01", "2026-01-02"]
    rules: dict[str, Any] = {"source": "s", "entity": "key", "time": "ds", "target": "y", "grid": DAILY}
    found = pieces.normalise(
        frame.iloc[order], sizes=sizes, bucket_rows=2, duplicates="sum", gaps="interpolate", **rules
    )
    assert found["entity"].tolist() == list("aaabb")
    assert found["y"].tolist() == [3.0, 3.5, 4.0, 5.0, 6.0]


@pytest.mark.parametrize("sizes", [[], [1, 1, 1], [2, 0, 2]])
@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ({"y": (1, "ten"), "ds": (3, "soon")}, "Column ds has 'soon' in row 4"),
        ({"y": (2, "ten"), "rain": (0, "wet")}, "Column y has 'ten' in row 3"),
        ({"ds": (2, "2026-01-01 08:00"), "y": (0, "ten")}, "Column ds has '2026-01-01 08:00' in row 3"),
        ({"ds": (0, "soon"), "key": (3, "a b")}, "Column key has 'a b' in row 4"),
        ({"rain": (1, "wet")}, "Column rain has 'wet' in row 2"),
    ],
)
def test_of_several_faults_the_same_is_told_however_the_rows_are_cut(
    sizes: list[int], spoilt: dict[str, tuple[int, str]], told: str
) -> None:
    frame = pd.DataFrame({"key": list("aabb"), "ds": DATES[:4], "y": 1.0, "rain": 2.0}).astype(object)
    for name, (row, value) in spoilt.items():
        frame.loc[row, name] = value
    rules: dict[str, Any] = {"source": "s", "entity": "key", "time": "ds", "target": "y", "features": ("rain",)}
    with pytest.raises(Invalid, match=told):
        pieces.normalise(frame, sizes=sizes, grid=DAILY, **rules)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=3).reset_index(drop=True)


def stored(frame: pd.DataFrame, *, sizes: tuple[int, ...] = (), bucket_rows: int = 7) -> io.BytesIO:
    """The file of the normal form of daily rows."""
    file = io.BytesIO()
    rules = Rules(source="s", entity="key", time="ds", target="y", grid=DAILY)
    with mock.patch.object(gathering, "BUCKET_ROWS", bucket_rows):
        sources._write(pieces.Frame(frame, sizes), rules, file)
    return file


def daily_rows(sizes: dict[str, int]) -> pd.DataFrame:
    """So many days of each entity, in order."""
    days = np.arange(np.datetime64("2026-01-01"), np.datetime64("2027-01-01")).astype("datetime64[us]")
    parts = [pd.DataFrame({"key": key, "ds": days[:count], "y": np.arange(count)}) for key, count in sizes.items()]
    return pd.concat(parts, ignore_index=True)


def test_equal_rows_make_equal_bytes_in_whatever_order_and_pieces_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "ROWS_IN_GROUP", 10)
    frame = daily_rows({"a": 4, "b": 3, "c": 25, "d": 1, "e": 2, "f": 2, "g": 2, "h": 9, "i": 1})
    expected = stored(frame).getvalue()
    assert stored(frame, sizes=(3, 3, 20, 0, 9)).getvalue() == expected
    assert stored(shuffled(frame), sizes=(5, 12), bucket_rows=6).getvalue() == expected
    assert stored(shuffled(frame), bucket_rows=1000).getvalue() == expected


def test_a_group_holds_whole_entities_and_a_large_one_begins_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "ROWS_IN_GROUP", 10)
    file = stored(daily_rows({"a": 4, "b": 25, "c": 1, "d": 9, "e": 2}))
    found = pyarrow.parquet.ParquetFile(file)
    groups = [found.read_row_group(place).to_pandas()["entity"] for place in range(found.num_row_groups)]
    assert ["".join(group) for group in groups] == ["aaaa", "b" * 10, "b" * 10, "bbbbbc", "d" * 9, "ee"]


@settings(max_examples=EXAMPLES, deadline=None)
@given(sizes=st.dictionaries(keys, st.integers(1, 30), min_size=1), asked=st.sets(keys | st.just("absent")))
def test_a_slice_has_the_rows_of_the_entities_asked_for(sizes: dict[str, int], asked: set[str]) -> None:
    frame = daily_rows(sizes)
    with mock.patch.object(row_files, "ROWS_IN_GROUP", 10):
        fetch, known = sources.opened_rows(stored(frame))
    panel = panels.read(fetch, known, entities=sorted(asked))
    assert panel.entities == tuple(sorted(asked & sizes.keys()))
    assert np.diff(panel.starts).tolist() == [sizes[key] for key in panel.entities]
    assert panel.target.tolist() == [day for key in panel.entities for day in range(sizes[key])]
    assert panel.features.shape == (len(panel.target), 0)
    assert panels.entities(fetch, known) == sorted(sizes)
    assert panels.read(fetch, known).entities == tuple(sorted(sizes))


def test_neighbours_cost_one_request_and_what_lies_far_away_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "ROWS_IN_GROUP", 300)
    monkeypatch.setattr(panels, "NEAR_BYTES", 100)
    file = stored(daily_rows({f"item-{number:03d}": 300 for number in range(40)}))
    fetch, known = sources.opened_rows(file)
    asked: list[list[panels.Span]] = []

    def counted(spans: Any) -> Any:
        asked.append(list(spans))
        return fetch(spans)

    panel = panels.read(counted, known, entities=[f"item-{number:03d}" for number in (4, 5, 6, 7, 30)])
    assert len(panel.entities) == 5
    [[neighbours, alone]] = asked
    assert neighbours == (known.spans[4][0], sum(known.spans[7]) - known.spans[4][0])
    assert alone == known.spans[30]


def test_a_long_end_is_read_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "END_BYTES", 100)
    fetch, known = sources.opened_rows(stored(daily_rows({"a": 5, "b": 3})))
    assert panels.read(fetch, known).target.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]


def intake() -> cells.Intake:
    return cells.Intake(Rules(source="s", entity="key", time="ds", target="y", grid=DAILY))


def test_a_source_that_changes_while_it_is_read_is_refused() -> None:
    known = gathering.survey([intake().keys(daily_rows({"a": 2, "b": 2}))])
    assert known.is_ordered
    unordered, new = intake().rows(daily_rows({"b": 2, "a": 2})), intake().rows(daily_rows({"new": 1}))
    assert unordered and new
    with pytest.raises(SourceChanged):
        list(gathering.in_order([unordered]))
    with pytest.raises(SourceChanged):
        list(gathering.by_ranges([new], known))


def test_entities_that_are_whole_are_not_filled_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[int] = []
    fill = whole_series._fill

    def counted(part: Rows, rules: Rules) -> Rows:
        filled.append(len(part))
        return fill(part, rules)

    monkeypatch.setattr(whole_series, "_fill", counted)
    frame = daily_rows({"a": 5, "b": 5, "c": 5}).drop(index=7)
    found = pieces.normalise(frame, source="s", entity="key", time="ds", target="y", grid=DAILY, gaps="zero")
    assert (filled, len(found)) == ([4], 15)
