"""Owns the calls that are compared: each kind once for each side, all over plain HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from uuid import UUID

from benchmarks.registry import stock
from benchmarks.registry.client import Client
from benchmarks.registry.pairs import Timed

API = "/api/v1"
MODEL = f"{API}/models/{stock.FLEET}/{stock.ENTITY}"
THEIRS = "/api/2.0/mlflow"
PAGE = 50


def ours(client: Client, versions: Sequence[UUID]) -> Mapping[str, Timed]:
    """Return our calls by kind. Promoting goes to and fro between two versions, as theirs does."""
    # Numbers that no version of the stock has, so that every bundle is stored anew.
    fresh = itertools.count(1_000_000)

    def promote(number: int) -> float:
        body = {"version": str(versions[number % 2]), "reason": "benchmark"}
        return client.post(f"{MODEL}/promote", body)[1]

    def register(number: int) -> float:
        body, headers = parts(stock.small_bundle(next(fresh)))
        return client.send(f"{MODEL}/versions", body, headers)[1]

    return {
        "register": register,
        "promote": promote,
        "champion": lambda number: client.get(f"{MODEL}/champion")[1],
        "versions": lambda number: client.get(f"{MODEL}/versions", limit=PAGE)[1],
    }


def theirs(client: Client) -> Mapping[str, Timed]:
    """Return MLflow's calls by kind."""
    wanted = {"filter": f"name='{stock.NAME}'", "max_results": PAGE, "order_by": "version_number DESC"}

    def promote(number: int) -> float:
        body = {"name": stock.NAME, "alias": "champion", "version": str(1 + number % 2)}
        return client.post(f"{THEIRS}/registered-models/alias", body)[1]

    def register(number: int) -> float:
        return client.post(f"{THEIRS}/model-versions/create", {"name": stock.NAME, "source": stock.SOURCE})[1]

    return {
        "register": register,
        "promote": promote,
        "champion": lambda number: client.get(f"{THEIRS}/registered-models/alias", name=stock.NAME, alias="champion")[
            1
        ],
        "versions": lambda number: client.get(f"{THEIRS}/model-versions/search", **wanted)[1],
    }


def parts(bundle: bytes) -> tuple[bytes, Mapping[str, str]]:
    """Return a body in parts with one bundle, and its headers."""
    mark = "perennial-benchmark-part"
    head = f'--{mark}\r\nContent-Disposition: form-data; name="bundle"; filename="b"\r\n'
    body = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + bundle + f"\r\n--{mark}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={mark}"}


def bare(client: Client, version: UUID) -> Timed:
    """Return the read of one row by the bare view."""
    return lambda number: client.get(f"/bare/{version}")[1]
