"""Schemas of skops files, to be changed by hand as somebody hostile would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.registry import hostile_files

Schema = dict[str, Any]


def schema_of(data: bytes) -> Schema:
    found: Schema = json.loads(hostile_files.member(data, "schema.json"))
    return found


def with_schema(data: bytes, schema: Schema) -> bytes:
    return hostile_files.replaced(data, "schema.json", json.dumps(schema).encode())


def nodes(state: Any) -> Iterator[Schema]:
    """Yield every node of a schema."""
    if isinstance(state, dict):
        if "__loader__" in state:
            yield state
        for each in list(state.values()):
            yield from nodes(each)
    elif isinstance(state, list):
        for each in state:
            yield from nodes(each)


def plain(value: Any) -> Schema:
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(value)}


def tuple_of(*values: Schema) -> Schema:
    return {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": list(values)}


def named(name: str, loader: str, **values: Any) -> Schema:
    module, _, last = name.rpartition(".")
    return {"__class__": last, "__module__": module, "__loader__": loader, **values}
