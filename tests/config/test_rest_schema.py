"""The OpenAPI document: complete, without a warning, with the problems of every call; its page stays on this host."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator

from tests.config.test_rest_routes import PUBLIC, TABLE
from tests.rest_client import Caller


@pytest.fixture(scope="module")
def document() -> Any:
    GENERATOR_STATS.reset()
    made = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    assert not GENERATOR_STATS._warn_cache, GENERATOR_STATS._warn_cache
    assert not GENERATOR_STATS._error_cache, GENERATOR_STATS._error_cache
    return json.loads(json.dumps(made, default=str))


def test_the_command_makes_it_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", file=str(tmp_path / "openapi.yaml"), validate=True, fail_on_warn=True)
    assert (tmp_path / "openapi.yaml").stat().st_size > 10_000


def test_every_route_and_method_is_described(document: dict[str, Any]) -> None:
    expected = {
        ("/" + re.sub(r"<str:(\w+)>", r"{\1}", route), method)
        for route, methods in TABLE.items()
        if PUBLIC not in methods.values()
        for method in methods
    }
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert document["openapi"].startswith("3.1")
    assert described == expected


def test_every_call_documents_its_problems_and_its_role(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            responses = operation["responses"]
            assert {"400", "401", "403", "503"} <= set(responses), (path, method)
            assert "404" in responses or "{" not in path, (path, method)
            assert "409" in responses or method == "get", (path, method)
            assert responses["400"]["content"].keys() == {"application/problem+json"}
            assert re.search(r"Role: (viewer|operator|approver|admin)\.", operation["description"]), (path, method)
            assert operation["security"] == [{"token": []}, {"cookieAuth": []}], (path, method)


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("api_")]


def test_the_idempotency_key_is_documented_on_every_post(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        if "post" in methods:
            names = [parameter["name"] for parameter in methods["post"]["parameters"]]
            assert "Idempotency-Key" in names, path


@pytest.mark.django_db
def test_the_page_loads_its_scripts_from_this_host_alone() -> None:
    page = Caller().get("/api/docs")
    text = page.content.decode()
    policy = page.headers["Content-Security-Policy"]
    assert page.status_code == 200
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    assert not re.findall(r"https?://(?!testserver)", text)
    assert not re.findall(r"<script(?![^>]*\bsrc=)", text)
    scripts = re.findall(r'<script src="([^"]+)"', text)
    assert len(scripts) == 3
    for script in scripts:
        answer = Caller().get(script)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        answer.close()
        assert answer.status_code == 200, script
        assert "javascript" in answer.headers["Content-Type"]
        assert len(content) > 100


@pytest.mark.django_db
def test_the_document_is_served_without_a_token() -> None:
    answer = Caller().get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    assert b'"openapi"' in answer.content
