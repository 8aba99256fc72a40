"""Bundles of some kilobytes that unpack to millions of rows, or thousands of columns, are read in flat memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What one look may cost: the window of a frame, a chunk of rows, and what the first call of a library needs.
MOST_MIB = 12
# Each bundle is made, and its making forgotten, before the process that measures begins: the peak of a process stays.
MAKER = """
import io, json, os, sys, zipfile
import zstandard
from registry import bundle

ROWS = 1_300_000
tables = {
    "tall": ([["a", "int"]], b"a\\r\\n" + b"1\\r\\n" * ROWS),
    "blank": ([], b"\\r\\n" * ROWS),
    "wide": ([[f"c{n}", "int"] for n in range(5000)], None),
    "broad": ([[f"c{n}", "int"] for n in range(1000)], None),
    # The picture makes every character of its row take four bytes.
    "long": ([["a", "text"]], b"a\\r\\n" + b"".join(
        os.urandom(300).hex().encode() + "\\N{CROISSANT}".encode() + b"x" * 59_000 + b"\\r\\n" for _ in range(400)
    )),
    "honest": ([["a", "float"], ["b", "float"]], b"a,b\\r\\n" + b"1.0,2.0\\r\\n" * 100_000),
}
kinds, rows = tables[sys.argv[1]]
if rows is None:
    rows = ",".join(name for name, _ in kinds).encode() + b"\\r\\n"
    rows += (b"1234567," * (len(kinds) - 1) + b"1\\r\\n") * (900 if sys.argv[1] == "broad" else 40)
sound = zstandard.ZstdDecompressor().decompress(bundle.pack(bundle.Bundle(format="test-1", forecaster=b"{}")))
with zipfile.ZipFile(io.BytesIO(sound)) as archive:
    members = {name: archive.read(name) for name in archive.namelist()}
manifest = json.loads(members["manifest.json"])
manifest["tables"]["test"] = kinds
members |= {"manifest.json": json.dumps(manifest).encode(), "test.csv": rows}
buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w") as archive:
    for name, content in members.items():
        archive.writestr(name, content)
sys.stdout.buffer.write(zstandard.ZstdCompressor(write_content_size=True).compress(buffer.getvalue()))
"""
READER = """
import itertools, json, re, sys
from pathlib import Path
from registry import bundle, errors

def peak():
    # Not `ru_maxrss`: that begins with what the process held which started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

limits = bundle.Limits(max_bytes=2**28, max_unpacked_bytes=2**28, max_ratio=200)
bounds = bundle.Bounds(columns=1000, rows=200_000, cells=1_000_000, row_characters=2**16)
data = sys.stdin.buffer.read()
before = peak()
if sys.argv[1] == "audit":
    try:
        found = bundle.audit(data, limits=limits, bounds=bounds).format
    except errors.PerennialError as error:
        found = error.code
else:
    rows = bundle.rows_of(data, table="test", limits=limits).rows
    found = str(sum(1 for _ in itertools.islice(rows, 100_000)))
print(json.dumps({"found": found, "bytes": len(data), "grown": peak() - before}))
"""


def run(script: str, *arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], input=data, capture_output=True, check=True, timeout=60
    ).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process so")
@pytest.mark.requirement("X02")
@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("tall", "table_too_large"),
        ("blank", "table_too_large"),
        ("wide", "table_too_large"),
        ("broad", "test-1"),
        ("long", "test-1"),
        ("honest", "test-1"),
    ],
)
def test_a_small_bundle_of_very_many_cells_takes_no_memory(kind: str, found: str) -> None:
    data = run(MAKER, kind)
    audited = json.loads(run(READER, "audit", data=data))
    assert (audited["found"], audited["grown"] < MOST_MIB) == (found, True), audited
    rows = json.loads(run(READER, "rows", data=data))
    assert rows["grown"] < MOST_MIB, rows
    assert rows["found"] == {"wide": "40", "broad": "900", "long": "400"}.get(kind, "100000")
