"""docs/api.md and the promise of compatibility: every call and every code is written down, and none disappears."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from registry import artifacts, history, holding, lifecycle, timestamps
from registry.errors import PerennialError
from registry.lifecycle import registration, succession
from registry.rest_api import holds
from registry.rest_base import idempotency, problems, scope
from tests.config.test_rest_routes import TABLE
from training import policies, runs
from training.rest_api import forecasts
from training.rest_api import policies as rest_policies
from training.rest_api import runs as rest_runs
from training.rest_api import sources as rest_sources

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
PROMISED = Path(__file__).parent / "api_v1.json"
MODULES = (
    artifacts, forecasts, history, idempotency, lifecycle, policies, rest_policies, rest_runs, rest_sources, runs,
    scope, succession, timestamps, holding, holds,
)  # fmt: skip
# They cannot come over HTTP: artifacts and registrations have no address yet.
ELSEWHERE = {"artifact_too_large", "signing_keys_invalid", "model_not_found", "version_id_taken", "metadata_invalid"}


def codes() -> set[str]:
    kinds = [kind for module in (*MODULES, registration) for kind in vars(module).values() if isinstance(kind, type)]
    return {kind.code for kind in kinds if issubclass(kind, PerennialError)} - ELSEWHERE


@pytest.mark.requirement("B06")
def test_every_code_stands_in_the_table_of_errors() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert sorted(codes() - documented) == []
    assert (
        sorted(
            set(problems.NEXT_STEPS)
            - {"authentication_failed", "method_not_allowed", "not_acceptable", "throttled"}
            - documented
        )
        == []
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
