"""docs/api.md and the promise of compatibility: every call and every code is written down, and none disappears."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

import registry
from registry.errors import PerennialError
from registry.rest_base import problems
from tests.config.test_rest_routes import TABLE
from training import policies, runs
from training.rest_api import forecasts
from training.rest_api import policies as rest_policies
from training.rest_api import runs as rest_runs
from training.rest_api import sources as rest_sources

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
PROMISED = Path(__file__).parent / "api_v1.json"
MODULES = (forecasts, policies, rest_policies, rest_runs, rest_sources, runs)


def codes() -> set[str]:
    """The codes of every failure that the registry declares, and of those that the calls of training answer."""
    for each in pkgutil.walk_packages(registry.__path__, "registry."):
        if ".migrations" not in each.name:
            importlib.import_module(each.name)
    kinds = [kind for module in MODULES for kind in vars(module).values() if isinstance(kind, type)]
    answered = {kind.code for kind in kinds if issubclass(kind, PerennialError)}
    return answered | {kind.code for kind in _kinds(PerennialError) if kind.__module__.startswith("registry.")}


def _kinds(kind: type[PerennialError]) -> Iterator[type[PerennialError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


@pytest.mark.requirement("B06")
def test_every_code_stands_in_the_table_of_errors() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert {"no_champion", "store_unmarked", "metadata_invalid", "run_open"} <= codes()
    assert sorted(codes() - documented) == []
    assert (
        sorted(set(problems.NEXT_STEPS) - {"authentication_failed", "not_acceptable", "throttled"} - documented) == []
    )


@pytest.mark.requirement("C07")
@pytest.mark.parametrize("route", [route for route in TABLE if route.startswith("api/v1/")])
def test_every_call_stands_in_the_table_of_calls(route: str) -> None:
    path = re.sub(r"<str:(\w+)>", r"{\1}", route.removeprefix("api/v1/"))
    path = re.sub(r"\{(reference)\}$", "{version}", path)
    path = re.sub(r"^(runs|batches|versions)/\{\w+\}", r"\1/{id}", path)
    for method in TABLE[route]:
        assert f"`{method} {path}`" in PAGE or f"{method} {path}`" in PAGE or path.endswith("/resume"), (method, path)


def api_document() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


def promises() -> dict[str, dict[str, list[str]]]:
    """What a client may rely on: operations with their parameters, fields of the body and fields of the answer."""
    document = json.loads(json.dumps(api_document(), default=str))
    schemas = document["components"]["schemas"]
    found = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = _named(operation.get("requestBody"), schemas)
            answer = _named(operation["responses"].get("200"), schemas)
            found[f"{method.upper()} {path}"] = {
                "parameters": sorted(each["name"] for each in operation.get("parameters", [])),
                "required": sorted(body.get("required", [])),
                "body": sorted(body.get("properties", {})),
                "answer": sorted(answer.get("properties", {})),
            }
    return found


def _named(part: Any, schemas: Any) -> dict[str, Any]:
    schema = (part or {}).get("content", {}).get("application/json", {}).get("schema", {})
    named: dict[str, Any] = schemas.get(schema.get("$ref", "").rpartition("/")[2], {})
    return named


@pytest.mark.requirement("P05")
def test_what_clients_rely_on_is_still_there_and_nothing_new_is_required() -> None:
    now = promises()
    for call, promised in json.loads(PROMISED.read_text()).items():
        assert call in now, call
        for part in ("parameters", "body", "answer"):
            assert set(promised[part]) <= set(now[call][part]), (call, part)
        assert set(now[call]["required"]) <= set(promised["required"]), call


@pytest.mark.requirement("P05")
def test_a_new_call_is_promised_from_its_first_day() -> None:
    missing = sorted(set(promises()) - set(json.loads(PROMISED.read_text())))
    assert missing == [], "Add them to tests/config/api_v1.json: python -m tests.config.api_v1"
