"""A snapshot holds what a reading saw; a slice costs a handful of requests, and only its own rows are read."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from registry import ownership, store
from tests import factories
from training import row_files, snapshot_retention, snapshots
from training.models import Columns, FileOptions, Source
from training.normal_form import SourceEmpty
from training.sources import SourceUnreadable
from training.trainers.base import Grid

pytestmark = pytest.mark.django_db
DAILY = Grid(frequency="D", horizon=7, season_length=7)
DAYS = np.arange(np.datetime64("2026-01-01"), np.datetime64("2026-03-01")).astype("datetime64[us]")


@pytest.fixture(params=["disk", "s3"])
def kept(request: pytest.FixtureRequest) -> None:
    """Let snapshots go to a folder, and to a bucket."""
    request.getfixturevalue("bucket" if request.param == "s3" else "artifact_folder")


def rows(*, entities: int = 30, features: bool = False) -> pd.DataFrame:
    """Every day of so many entities, whose values say which and when."""
    keys = [f"item-{number:02d}" for number in range(entities)]
    frame = pd.DataFrame({"product": np.repeat(keys, len(DAYS)), "day": np.tile(DAYS, entities)})
    frame["sold"] = np.arange(len(frame), dtype=float)
    return frame.assign(rain=frame["sold"] / 2, holiday=1) if features else frame


def a_source(folder: Path, frame: pd.DataFrame, *, kind: str = "parquet", **values: Any) -> Source:
    """A source in a file of this kind."""
    path = folder / f"rows.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    names = tuple(name for name in frame.columns if name in ("rain", "holiday"))
    columns = Columns(entity="product", time="day", target="sold", features=names)
    return factories.source(options=FileOptions(path=str(path)), columns=columns, **values)


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz"])
def test_a_snapshot_gives_back_the_rows_of_the_source(kept: None, tmp_path: Path, kind: str) -> None:
    frame = rows(features=True)
    snapshot = snapshots.take(a_source(tmp_path, frame.sample(frac=1, random_state=1), kind=kind), DAILY)
    assert (snapshot.rows, snapshot.entities) == (len(frame), 30)
    assert snapshot.window_start == datetime(2026, 1, 1, tzinfo=UTC)
    assert snapshot.window_end == datetime(2026, 2, 28, tzinfo=UTC)
    assert snapshots.entities(snapshot) == sorted(frame["product"].unique())
    panel = snapshots.read(snapshot, entities=["item-07", "item-03", "unknown"])
    expected = frame[frame["product"].isin(["item-03", "item-07"])]
    assert panel.entities == ("item-03", "item-07")
    assert panel.starts.tolist() == [0, len(DAYS), 2 * len(DAYS)]
    assert panel.instants.tolist() == expected["day"].dt.to_pydatetime().tolist()
    assert panel.target.tolist() == expected["sold"].tolist()
    assert (panel.feature_names, panel.features.tolist()) == (
        ("rain", "holiday"),
        expected[["rain", "holiday"]].to_numpy().tolist(),
    )


def test_the_digest_is_that_of_the_bytes_and_equal_rows_are_stored_once(artifact_folder: Path, tmp_path: Path) -> None:
    source = a_source(tmp_path, rows())
    snapshot = snapshots.take(source, DAILY)
    assert hashlib.sha256((artifact_folder / snapshot.location).read_bytes()).hexdigest() == snapshot.digest
    rows().sample(frac=1, random_state=1).to_parquet(source.options.path)
    assert snapshots.take(source, DAILY) == snapshot
    rows(entities=29).to_parquet(source.options.path)
    assert snapshots.take(source, DAILY).digest != snapshot.digest


def test_a_look_back_counts_from_the_newest_stamp_of_all_entities(artifact_folder: Path, tmp_path: Path) -> None:
    frame = rows(entities=3)
    # One entity ended long ago, and one in the middle of the look-back.
    ended = {"item-00": DAYS[20], "item-01": DAYS[-4]}
    frame = frame[frame["day"] <= frame["product"].map(ended).fillna(DAYS[-1])]
    snapshot = snapshots.take(a_source(tmp_path, frame), DAILY, days=7)
    panel = snapshots.read(snapshot)
    assert panel.entities == ("item-01", "item-02")
    assert np.diff(panel.starts).tolist() == [4, 7]
    assert (snapshot.rows, snapshot.entities, str(panel.instants.min())[:10]) == (11, 2, "2026-02-22")
    alone = a_source(tmp_path, frame[frame["day"] > DAYS[-8]])
    assert snapshots.take(alone, DAILY).digest == snapshot.digest


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each request from now on."""
    sizes: list[int] = []
    for kind in (store.DiskStore, store.ObjectStore):

        def noted(self: Any, key: str, *, get: Any = kind.get, **where: Any) -> bytes:
            data: bytes = get(self, key, **where)
            sizes.append(len(data))
            return data

        monkeypatch.setattr(kind, "get", noted)
    return sizes


def test_neighbours_cost_one_request_and_the_end_is_read_once(
    kept: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_files, "ROWS_IN_GROUP", 2 * len(DAYS))
    snapshot = snapshots.take(a_source(tmp_path, rows(entities=60)), DAILY)
    sizes = counted(monkeypatch)
    snapshots.read(snapshot, entities=["item-00"])
    assert len(sizes) == 2, "the end, and the rows"
    sizes.clear()
    panel = snapshots.read(snapshot, entities=[f"item-{number:02d}" for number in range(20, 30)])
    assert panel.target.tolist() == list(range(20 * len(DAYS), 30 * len(DAYS)))
    [size] = sizes
    whole = ownership.artifact_store().find(snapshot.location)
    assert whole and size < whole.size / 4


def test_ends_of_snapshots_are_forgotten_when_there_are_many(
    artifact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "FOOTERS_KEPT", 2)
    source, taken = a_source(tmp_path, rows()), []
    for entities in (1, 2, 3):
        rows(entities=entities).to_parquet(source.options.path)
        taken.append(snapshots.take(source, DAILY))
        snapshots.read(taken[-1])
        snapshots.read(taken[0])
    assert len(snapshots._footers) == 2
    sizes = counted(monkeypatch)
    for snapshot, requests in [(taken[0], 1), (taken[1], 2)]:
        sizes.clear()
        snapshots.read(snapshot)
        assert len(sizes) == requests


def test_a_snapshot_whose_file_is_gone_is_said_to_be_missing(kept: None, tmp_path: Path) -> None:
    snapshot = snapshots.take(a_source(tmp_path, rows()), DAILY)
    opened = ownership.artifact_store()
    snapshots.read(snapshot, entities=["item-00"])
    opened.delete([snapshot.location])
    for use in (lambda: snapshots.read(snapshot, entities=["item-00"]), lambda: snapshots.entities(snapshot)):
        with pytest.raises(store.StoreMissing):
            use()
    snapshots._footers.clear()
    with pytest.raises(store.StoreMissing):
        snapshots.read(snapshot)


def test_a_snapshot_of_an_older_release_is_still_read(artifact_folder: Path) -> None:
    stamps = pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-01"]).astype("datetime64[us]")
    frame = pd.DataFrame({"entity": ["a", "a", "b"], "time": stamps, "y": [1.0, None, 3.0]})
    file = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pyarrow.parquet.write_table(table, file, compression="zstd", row_group_size=2)
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    old = snapshot_retention.record(factories.source(), digest, file, values={"rows": 3, "entities": 2})
    assert snapshots.entities(old) == ["a", "b"]
    panel = snapshots.read(old)
    assert (panel.entities, panel.starts.tolist()) == (("a", "b"), [0, 2, 3])
    assert np.array_equal(panel.target, [1.0, np.nan, 3.0], equal_nan=True)
    assert snapshots.read(old, entities=["b"]).instants.tolist() == [stamps[0].to_pydatetime()]


def test_nothing_is_left_in_the_folder_for_temporary_files(
    artifact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr("training.gathering.BUCKET_ROWS", 100)
    seen: list[list[Path]] = []
    write = row_files.write

    def looked(*args: Any, **given: Any) -> Any:
        seen.append(list(folder.iterdir()))
        return write(*args, **given)

    monkeypatch.setattr(row_files, "write", looked)
    snapshots.take(a_source(tmp_path, rows().sample(frac=1, random_state=1)), DAILY, days=7)
    assert seen == [[], []], "not even while it is written, so that a process that is killed leaves nothing"


def test_what_is_no_parquet_and_what_is_empty_is_refused_by_name(artifact_folder: Path, tmp_path: Path) -> None:
    source = a_source(tmp_path, rows().iloc[:0])
    with pytest.raises(SourceEmpty, match=f"Source {source.name} has no rows"):
        snapshots.take(source, DAILY)
    whole = Path(source.options.path)
    rows().to_parquet(whole, row_group_size=100)
    damaged = bytearray(whole.read_bytes())
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    whole.write_bytes(damaged)
    with pytest.raises(SourceUnreadable, match="cannot be read as parquet"):
        snapshots.take(source, DAILY)
