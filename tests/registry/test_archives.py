"""A zip is looked at before it is opened: by its end record alone, which no second one overrules."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import pytest
import zstandard

from registry import bundle
from registry.bundle import archives, examination, formats

LIMITS = bundle.Limits(max_bytes=2**26, max_unpacked_bytes=2**28, max_ratio=10_000)
SKOPS = formats.Format(name="skops-ridge-1", trainer="ridge", kinds=frozenset({"regression"}), zipped=True)


def zipped(*, members: int, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(members):
            archive.writestr(f"m{number}", b"")
        archive.comment = comment
    return buffer.getvalue()


def overruled(data: bytes) -> bytes:
    """Say in the end record that there is little to list, and in one of the 64 bit kind that there is all of it."""
    end = bytearray(data[-22:])
    entries, size, place = (int.from_bytes(end[at : at + width], "little") for at, width in ((10, 2), (12, 4), (16, 4)))
    body = data[:-22]
    wide = b"PK\x06\x06" + (44).to_bytes(8, "little") + b"\x2d\0\x2d\0" + bytes(8)
    wide += b"".join(number.to_bytes(8, "little") for number in (entries, entries, size, place))
    locator = b"PK\x06\x07" + bytes(4) + len(body).to_bytes(8, "little") + (1).to_bytes(4, "little")
    end[8:12], end[12:16] = b"\xff" * 4, (100).to_bytes(4, "little")
    return body + wide + locator + bytes(end)


def test_a_plain_zip_with_a_short_list_is_let_through() -> None:
    archives.check(zipped(members=3), most=1024)


@pytest.mark.parametrize(
    "data", [b"", b"x" * 100, zipped(members=3)[:-1], zipped(members=1, comment=b"more"), zipped(members=100)]
)
def test_what_is_no_plain_zip_or_lists_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(archives.ArchiveRefused):
        archives.check(data, most=1024)


@pytest.mark.requirement("X02")
def test_an_end_record_of_the_larger_kind_does_not_overrule_the_first() -> None:
    data = overruled(zipped(members=60_000))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == 60_000, "Python believes the larger record"
    with pytest.raises(examination.ForecasterRefused, match="64 bit"):
        examination.examine(data, format=SKOPS, limits=LIMITS)


@pytest.mark.requirement("X02")
def test_a_bundle_that_lists_a_hundred_thousand_members_is_refused_before_it_is_opened() -> None:
    packed = zstandard.ZstdCompressor(write_content_size=True).compress(zipped(members=60_000))
    tracemalloc.start()
    try:
        with pytest.raises(bundle.BundleInvalid, match="in the place of"):
            bundle.unpack(packed, limits=LIMITS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20
