"""Files that want to be executed, or to take all memory: whole artifacts, and forecasters inside sound bundles."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudpickle
import joblib
import skops.io
import zstandard
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

from registry import bundle
from tests import deliveries

MIB = 1024**2
FORMATS = {
    "seasonal_naive": "seasonal-naive-json-1",
    "prophet": "prophet-json-1",
    "ridge": "ridge-skops-1",
    "random_forest": "random-forest-skops-1",
    "sklearn": "sklearn-skops-1",
}
JSON_TRAINERS, ZIP_TRAINERS = ("seasonal_naive", "prophet"), ("ridge", "random_forest", "sklearn")


class Evil:
    """Whoever unpickles it makes the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (open, (str(self.canary), "w"))


def corpus(canary: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, trainer and artifact of each; `canary` is the file that must not appear."""
    for name, data in pickles(canary):
        yield f"{name} as it is", "seasonal_naive", data
        yield f"{name} in a frame", "seasonal_naive", frame(data)
        for trainer, format in FORMATS.items():
            yield f"{name} as {trainer}", trainer, deliveries.packed(forecaster=data, format=format)
    for name, data in zips(canary):
        for trainer in ZIP_TRAINERS:
            yield f"{name} as {trainer}", trainer, deliveries.packed(forecaster=data, format=FORMATS[trainer])
    for trainer in JSON_TRAINERS:
        for name, data in texts(FORMATS[trainer]):
            yield f"{name} as {trainer}", trainer, deliveries.packed(forecaster=data, format=FORMATS[trainer])
    for name, data in bombs():
        yield name, "seasonal_naive", data


def pickles(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what other registries load without looking."""
    evil = Evil(canary)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle {protocol}", pickle.dumps(evil, protocol)
    yield "cloudpickle", cloudpickle.dumps(lambda: evil)
    for name, compress in (("joblib", 0), ("joblib, zlib", ("zlib", 3)), ("joblib, lzma", ("lzma", 3))):
        buffer = io.BytesIO()
        joblib.dump({"model": evil}, buffer, compress=compress)
        yield name, buffer.getvalue()


def zips(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Yield crafted skops files."""
    call = functools.partial(open, str(canary), "w")
    yield "skops of a partial", skops.io.dumps({"estimator": call})
    yield "skops of a function", skops.io.dumps(FunctionTransformer(func=os.system, inverse_func=os.remove))
    yield "skops of an unknown class", skops.io.dumps({"estimator": bundle.Limits})
    yield "skops of nothing that is expected", skops.io.dumps([1, 2, 3])
    yield "skops of another estimator", skops.io.dumps({"format": "ridge-skops-1", "estimator": Ridge()})
    yield "skops cut in half", (whole := skops.io.dumps(Ridge()))[: len(whole) // 2]
    schema = json.loads(member(whole, "schema.json"))
    for module, name in (("os", "system"), ("builtins", "eval"), ("posix", "system"), ("subprocess", "run")):
        for loader in ("FunctionNode", "TypeNode", "ObjectNode", "MethodNode", "PartialNode", "ReduceNode"):
            renamed = {**schema, "__module__": module, "__class__": name, "__loader__": loader}
            yield f"schema of {module}.{name} by {loader}", replaced(whole, "schema.json", json.dumps(renamed).encode())
    yield "schema nested", replaced(whole, "schema.json", b"[" * 100_000 + b"]" * 100_000)
    yield "schema of nothing", replaced(whole, "schema.json", b"null")
    yield "pickle beside the schema", replaced(whole, "model.pkl", pickle.dumps(Evil(canary)))
    yield "pickle as the schema", replaced(whole, "schema.json", pickle.dumps(Evil(canary)))
    yield "zip within a zip", replaced(b"", "forecaster.skops", whole)
    yield "a bundle within", deliveries.packed()
    yield "member outside", replaced(whole, "../outside.npy", b"1")
    yield "member absolute", replaced(whole, "/etc/cron.d/outside", b"1")
    yield "array larger than any memory", replaced(whole, "array.npy", header("(1000000000000000,)"))
    yield "array larger than this memory", replaced(whole, "array.npy", header("(10000000000,)"))
    yield "array of objects", replaced(whole, "array.npy", header("(1,)", kind="|O") + pickle.dumps(Evil(canary)))
    yield "deflated zeros", zipped({"schema.json": b"{}", "array.npy": bytes(160 * MIB)})
    yield "deflated schema", zipped({"schema.json": b" " * 96 * MIB})
    yield "many members", zipped({f"{number:01000}.npy": b"" for number in range(5000)})


def texts(format: str) -> Iterator[tuple[str, bytes]]:
    """Yield crafted JSON forecasters."""
    yield "no text", b"\xff\xfe\0\0"
    yield "empty", b""
    yield "nested", f'{{"format": "{format}", "grid": '.encode() + b"[" * 200_000 + b"]" * 200_000 + b"}"
    yield "nested objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield "a number of a million digits", f'{{"format": "{format}", "seed": '.encode() + b"9" * 1_000_000 + b"}"
    yield "a list of very many", f'{{"format": "{format}", "means": ['.encode() + b"{}," * (4 * MIB) + b"{}]}"
    yield "another format", b'{"format": "evil-1"}'
    yield "not finite", f'{{"format": "{format}", "grid": NaN}}'.encode()


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield crafted containers around the forecaster."""
    sound = deliveries.packed()
    raw = zstandard.ZstdDecompressor().decompress(sound)
    zeros = zstandard.ZstdCompressor(level=1, write_content_size=True).compress(bytes(512 * MIB))
    yield "half a gigabyte of zeros", zeros
    yield (
        "half a gigabyte that says 2,000 bytes",
        zeros.replace(struct.pack("<I", 512 * MIB), struct.pack("<I", 2000), 1),
    )
    yield (
        "half a gigabyte without a size",
        zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(512 * MIB)),
    )
    yield "frame in a frame", frame(frame(raw))
    yield "two frames", sound + frame(bytes(10))
    yield "a huge window", b"\x28\xb5\x2f\xfd\x04\xff" + bytes(100)
    yield "deflated members", frame(zipped(members(raw) | {"forecaster": bytes(160 * MIB)}))
    yield "an unknown member", frame(stored(members(raw) | {"forecaster.pkl": b"evil"}))
    yield "a member outside", frame(stored(members(raw) | {"../outside": b"evil"}))
    yield "overlapping members", frame(overlapping())
    yield (
        "nested metadata",
        frame(stored(members(raw) | {"manifest.json": b'{"a":' + b"[" * 10**6 + b"]" * 10**6 + b"}"})),
    )
    yield "a manifest of very many", frame(stored(members(raw) | {"manifest.json": b"[" + b"{}," * (5 * MIB) + b"{}]"}))
    yield "no zip", frame(b"PK\x03\x04" + bytes(1000))
    yield "an end without a zip", frame(b"PK\x05\x06" + b"\xff" * 18)
    yield "nothing", b""


def frame(data: bytes) -> bytes:
    """Return bytes in a zstd frame as the product writes it."""
    return zstandard.ZstdCompressor(level=3, write_content_size=True).compress(data)


def members(raw: bytes) -> dict[str, bytes]:
    """Return the members of a zip."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def member(raw: bytes, name: str) -> bytes:
    """Return one member of a zip."""
    return members(raw)[name]


def zipped(contents: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def stored(contents: dict[str, bytes]) -> bytes:
    """Return a zip that compresses nothing."""
    return zipped(contents, zipfile.ZIP_STORED)


def replaced(raw: bytes, name: str, data: bytes) -> bytes:
    """Return a zip with one member more, or another one."""
    return stored((members(raw) if raw else {}) | {name: data})


def header(shape: str, kind: str = "<f8") -> bytes:
    """Return the head of an array's file that promises much."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def overlapping() -> bytes:
    """Return a zip whose directory says of every member that it is as large as the one that all share."""
    raw = bytearray(stored({name: bytes(1000 * (name == "forecaster")) for name in bundle.MEMBERS}))
    for name in bundle.MEMBERS:
        entry = raw.rindex(name.encode()) - 46
        raw[entry + 20 : entry + 28] = struct.pack("<II", 15 * MIB, 15 * MIB)
        raw[entry + 42 : entry + 46] = struct.pack("<I", 0)
    return bytes(raw)
