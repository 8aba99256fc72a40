"""Versions from elsewhere over HTTP: one in parts or in JSON, many by lines, one under a seal; and bundles out."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from registry import bundle, identifiers, lifecycle, limits
from registry.bundle.tables import Table
from registry.exchange import seals
from registry.models import Event, Fleet, ModelVersion, RegisteredModel
from tests import factories
from tests.deliveries import NAIVE, PREDICTIONS, forecaster, packed
from tests.factories import NOW
from tests.rest_client import Caller, caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]
ADDRESS = "models/bakery/bread/versions"
LINES = "application/x-ndjson"


@pytest.fixture
def model() -> RegisteredModel:
    return factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="bread")


@pytest.fixture
def operator(model: RegisteredModel) -> Caller:
    return caller(role="operator")


def send(who: Caller, path: str, files: dict[str, bytes], said: Any = None, *, key: str | None = None) -> Any:
    parts: dict[str, Any] = {name: SimpleUploadedFile("../../x", content) for name, content in files.items()}
    if said is not None:
        parts["metadata"] = said if isinstance(said, str) else json.dumps(said)
    return who.http.post(f"/api/v1/{path}", parts, headers={"Idempotency-Key": key} if key else {})


def send_lines(who: Caller, lines: list[Any], *, path: str = "fleets/bakery/versions", key: str | None = None) -> Any:
    body = b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines)
    headers = {"Idempotency-Key": key} if key else {}
    return who.http.generic("POST", f"/api/v1/{path}", body, LINES, headers=headers)


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.requirement("R01")
def test_a_bundle_in_parts_becomes_a_pending_version(operator: Caller) -> None:
    answer = send(operator, ADDRESS, {"bundle": packed()}, {"note": "From the lab.", "tags": ["pilot"]})
    body = answer.json()
    assert answer.status_code == 201, body
    assert (body["number"], body["state"], body["note"], body["tags"]) == (1, "pending", "From the lab.", ["pilot"])
    assert body["trainer"] == "seasonal_naive"
    assert answer.headers["Location"] == f"/api/v1/versions/{body['id']}"
    assert operator.get(answer.headers["Location"]).json()["artifact"]["format"] == NAIVE


def test_a_registration_asks_the_database_five_times(
    operator: Caller, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    send(operator, ADDRESS, {"bundle": packed()})
    # Token; fleet and model; lock; row, line and counters; answer. Whose the store is was asked a moment ago. Within a
    # test two more make the transaction. Where the id is said it is asked twice whether that is free: before the bytes
    # are stored, and after.
    with django_assert_num_queries(7):
        assert send(operator, ADDRESS, {"bundle": packed(forecaster=forecaster(mean=6.0))}).status_code == 201
    with django_assert_num_queries(9):
        said = {"version_id": str(identifiers.uuid7())}
        assert send(operator, ADDRESS, {"bundle": packed(forecaster=forecaster(mean=7.0))}, said).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_the_answer_is_made_by_the_statement_that_registers(
    operator: Caller, model: RegisteredModel, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    factories.champion(registered_model=model)
    send(operator, ADDRESS, {"bundle": packed()})
    # Token; fleet and model; row, line, counters and answer.
    with django_assert_num_queries(3):
        answer = send(operator, ADDRESS, {"bundle": packed(forecaster=forecaster(mean=6.0))})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == operator.get(answer.headers["Location"]).json()
    assert (answer.json()["number"], answer.json()["pointers"]) == (3, [])


@pytest.mark.parametrize("body", [b"", b"\n \n"], ids=["nothing", "blank lines"])
def test_no_lines_register_nothing(operator: Caller, body: bytes) -> None:
    answer = operator.http.generic("POST", "/api/v1/fleets/bakery/versions", body, LINES)
    assert (answer.status_code, answer.json()) == (200, {"registered": 0, "refused": 0, "results": []})


@pytest.mark.requirement("R01", "R24")
def test_a_forecaster_with_its_metadata_and_its_id(operator: Caller) -> None:
    wanted = str(identifiers.uuid7())
    said = {
        "version_id": wanted, "format": NAIVE, "metrics": {"mae": 1.5}, "extra": {"ticket": 7},
        "test": {"columns": PREDICTIONS.columns, "rows": PREDICTIONS.rows},
    }  # fmt: skip
    body = send(operator, ADDRESS, {"forecaster": forecaster()}, said).json()
    assert (body["id"], body["extra"], body["scorecard"]["metrics"]) == (wanted, {"ticket": 7}, {"mae": 1.5})
    lifecycle.admit([UUID(wanted)], actor="inspection", at=NOW)
    lines = b"".join(operator.get(f"versions/{wanted}/predictions.jsonl").streaming_content).splitlines()
    assert len(lines) == len(PREDICTIONS.rows)
    again = send(operator, ADDRESS, {"forecaster": forecaster()}, said)
    problem(again, status=409, code="version_id_taken")


@pytest.mark.requirement("R01")
def test_a_small_one_goes_in_json(operator: Caller) -> None:
    body = {"forecaster": text(forecaster()), "format": NAIVE, "params": {"interval_width": 0.5}}
    answer = operator.post(ADDRESS, body)
    assert answer.status_code == 201, answer.json()
    assert answer.json()["params"] == {"interval_width": 0.5}
    problem(operator.post(ADDRESS, {"bundle": "%%%"}), status=400, code="invalid")
    problem(operator.post(ADDRESS, {"bundle": 7}), status=400, code="invalid")
    large = operator.post(ADDRESS, {"bundle": text(b"x" * 2**20)})
    assert "multipart" in problem(large, status=413, code="body_too_large")["next_step"]


def test_the_same_key_gives_the_same_answer_and_one_version(operator: Caller) -> None:
    content = packed()
    first = send(operator, ADDRESS, {"bundle": content}, {"seed": 3}, key="once")
    again = send(operator, ADDRESS, {"bundle": content}, {"seed": 3}, key="once")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json()["id"] == again.json()["id"]
    other = send(operator, ADDRESS, {"bundle": packed(feature_importance={})}, {"seed": 3}, key="once")
    problem(other, status=409, code="idempotency_key_reused")
    assert ModelVersion.objects.count() == 1


def test_an_entity_is_made_only_where_it_is_asked_for(operator: Caller) -> None:
    for address in ("models/bakery/cake/versions", "models/bakery/cake/imports"):
        refused = problem(send(operator, address, {"bundle": packed()}), status=404, code="model_unknown")
        assert "'cake'" in refused["detail"] and "?create=true" in refused["next_step"]
    assert send(operator, "models/bakery/cake/versions?create=true", {"bundle": packed()}).status_code == 201
    assert RegisteredModel.objects.filter(entity_key="cake").exists()
    problem(send(operator, "models/bakery/-x/versions?create=true", {}), status=400, code="entity_invalid")


PICKLE = b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix"


@pytest.mark.requirement("R01", "R09")
@pytest.mark.parametrize(
    ("files", "said", "status", "code"),
    [
        ({"forecaster": PICKLE}, {"format": "pickle"}, 422, "format_not_trusted"),
        ({"forecaster": PICKLE}, {"format": "joblib"}, 422, "format_not_trusted"),
        ({"forecaster": PICKLE}, {}, 422, "format_not_trusted"),
        ({"forecaster": PICKLE}, {"format": NAIVE}, 422, "forecaster_refused"),
        ({"bundle": PICKLE}, {}, 422, "bundle_invalid"),
        ({"bundle": packed()}, {"colour": "red"}, 400, "metadata_invalid"),
        ({"bundle": packed()}, {"state": "ready"}, 400, "metadata_invalid"),
        ({"bundle": packed()}, {"extra": {"x": "y" * 17_000}}, 400, "metadata_invalid"),
        ({"bundle": packed()}, '{"extra": {"x": "\\u0000"}}', 400, "malformed"),
        ({"bundle": packed()}, '{"seed": NaN}', 400, "malformed"),
        ({"bundle": packed()}, '{"seed": 1, "seed": 2}', 400, "malformed"),
        ({"bundle": packed()}, '{"extra": ' + "[" * 30 + "]" * 30 + "}", 400, "malformed"),
        ({"bundle": packed()}, "[]", 400, "malformed"),
        ({"bundle": packed(), "x": b"y"}, {}, 400, "invalid"),
        ({}, {}, 400, "metadata_invalid"),
    ],
)
def test_what_cannot_be_registered_is_refused_and_leaves_nothing(
    operator: Caller, files: dict[str, bytes], said: Any, status: int, code: str
) -> None:
    problem(send(operator, ADDRESS, files, said), status=status, code=code)
    assert not ModelVersion.objects.exists()


def test_a_part_that_is_neither_file_nor_metadata_is_refused(operator: Caller) -> None:
    answer = operator.http.post(f"/api/v1/{ADDRESS}", {"bundle": SimpleUploadedFile("x", packed()), "note": "here"})
    assert "note" in problem(answer, status=400, code="malformed")["detail"]
    twice = operator.http.post(f"/api/v1/{ADDRESS}", {"bundle": [SimpleUploadedFile("x", packed())] * 2})
    assert "twice" in problem(twice, status=400, code="malformed")["detail"]


def test_a_body_beyond_the_limit_is_refused_before_it_is_kept(operator: Caller, settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "max_artifact_bytes": 1000}
    problem(send(operator, ADDRESS, {"bundle": packed()}), status=413, code="body_too_large")
    problem(send(operator, ADDRESS, {"bundle": b"x" * (9 * 2**20)}), status=413, code="body_too_large")


def test_a_session_sends_no_files(model: RegisteredModel) -> None:
    http = Client(enforce_csrf_checks=True)
    http.get("/admin/login/")
    http.force_login(factories.user(role="operator"))
    known = {"X-CSRFToken": http.cookies["csrftoken"].value}
    answer = http.post(f"/api/v1/{ADDRESS}", {"bundle": SimpleUploadedFile("x", packed())}, headers=known)
    problem(answer, status=401, code="not_authenticated")
    body = json.dumps({"bundle": text(packed())})
    in_json = http.post(f"/api/v1/{ADDRESS}", body, content_type="application/json", headers=known)
    assert in_json.status_code == 201


@pytest.mark.parametrize(
    "body",
    [b"", b"--x", b'--x\r\nContent-Disposition: form-data; name="bundle"; filename="a"\r\n\r\nabc'],
)
def test_broken_parts_are_no_fault_of_ours(operator: Caller, body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data"):
        answer = operator.http.generic("POST", f"/api/v1/{ADDRESS}", body, kind)
        assert answer.status_code in (400, 422), answer.content


# -- many


@pytest.mark.requirement("R01")
def test_many_lines_each_with_its_result(operator: Caller) -> None:
    taken = str(identifiers.uuid7())
    lines = [
        {"entity": "bread", "bundle": text(packed()), "version_id": taken},
        {"entity": "cake", "bundle": text(packed())},
        {"entity": "bread", "forecaster": text(PICKLE), "format": "pickle"},
        {"entity": "bread", "bundle": "%%%"},
        b"{not json",
        {"bundle": text(packed())},
        {"entity": "bread", "bundle": text(packed()), "version_id": taken},
        {"entity": "bread", "forecaster": text(forecaster()), "format": NAIVE, "seed": 9},
    ]
    answer = send_lines(operator, lines)
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["registered"], body["refused"]) == (2, 6)
    assert [each.get("code", "") for each in body["results"]] == [
        "", "model_unknown", "format_not_trusted", "invalid", "invalid", "invalid", "version_id_taken", "",
    ]  # fmt: skip
    assert [each["line"] for each in body["results"]] == list(range(1, 9))
    assert body["results"][0] == {"line": 1, "entity": "bread", "id": taken, "number": 1, "state": "pending"}
    assert all(each["next_step"] and each["detail"] for each in body["results"] if "code" in each)


def test_entities_of_many_lines_are_made_at_once(operator: Caller) -> None:
    lines = [{"entity": f"e{n}", "bundle": text(packed())} for n in range(20)]
    body = send_lines(operator, lines, path="fleets/bakery/versions?create=true").json()
    assert body["registered"] == 20
    assert Event.objects.filter(kind="registry.model.enrolled").count() == 20


def test_many_lines_under_one_key_are_registered_once(operator: Caller) -> None:
    lines = [{"entity": "bread", "bundle": text(packed())}] * 3
    first, again = send_lines(operator, lines, key="many"), send_lines(operator, lines, key="many")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json() == again.json()
    assert ModelVersion.objects.count() == 3


def test_too_many_lines_and_too_many_bytes_are_refused(operator: Caller, settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "bulk_items": 3, "bulk_body_bytes": 20_000}
    problem(send_lines(operator, [{"entity": "bread"}] * 5), status=413, code="body_too_large")
    problem(send_lines(operator, [{"entity": "x" * 30_000}]), status=413, code="body_too_large")
    assert send_lines(operator, [{"entity": "bread"}] * 3).status_code == 200


def test_results_name_the_lines_of_the_body_also_where_some_are_blank(operator: Caller) -> None:
    sent: list[Any] = [b"", {"entity": "bread", "bundle": text(packed())}, b"  ", b"{not json", b"\r"]
    body = send_lines(operator, [*sent, {"entity": "bread", "bundle": text(packed())}]).json()
    assert [(each["line"], each.get("code", "")) for each in body["results"]] == [(2, ""), (4, "invalid"), (6, "")]


def test_a_broken_line_is_told_by_its_own_number_alone(operator: Caller) -> None:
    answer = send_lines(operator, [{"entity": "bread", "bundle": text(packed())}, b'{"entity": "bread",'])
    assert [(each["line"], each.get("code", "")) for each in answer.json()["results"]] == [(1, ""), (2, "invalid")]
    told = answer.json()["results"][1]["detail"]
    assert "line 1" not in told
    assert "character 20" in told


@pytest.mark.requirement("X02")
def test_what_a_call_may_unpack_is_bounded_and_the_lines_beyond_are_refused(
    operator: Caller, settings: Settings
) -> None:
    flat = packed(test=Table(("yhat",), ((0.0,),) * 20_000))
    size = bundle.announced(flat, limits=limits.delivered())
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "bulk_unpacked_bytes": 2 * size + 30_000}
    lines = [{"entity": "bread", "bundle": text(content)} for content in (flat, flat, flat, packed())]
    body = send_lines(operator, lines).json()
    assert [each.get("code", "") for each in body["results"]] == ["", "", "unpacked_too_much", ""]
    assert "another call" in body["results"][2]["next_step"]
    assert send_lines(operator, lines[2:3]).json()["registered"] == 1


def test_json_of_very_many_values_is_refused_before_it_is_parsed(operator: Caller) -> None:
    many = b'{"entity": "bread", "features": [' + b"[]," * 600_000 + b"[]]}"
    body = send_lines(operator, [many, {"entity": "bread", "bundle": text(packed())}]).json()
    assert [each.get("code", "") for each in body["results"]] == ["invalid", ""]
    assert "values" in body["results"][0]["detail"]
    problem(send(operator, ADDRESS, {"bundle": packed()}, many.decode()), status=413, code="body_too_large")


def stored(folder: Path) -> set[tuple[Path, int]]:
    return {(each, each.stat().st_mtime_ns) for each in folder.rglob("*") if each.is_file()}


def test_a_call_that_was_answered_looks_at_nothing_and_stores_nothing_again(
    operator: Caller, artifact_folder: Path
) -> None:
    lines = [{"entity": "bread", "bundle": text(packed())}]
    first = [
        send(operator, ADDRESS, {"bundle": packed(feature_importance={})}, {"seed": 3}, key="one").json(),
        send_lines(operator, lines, key="many").json(),
    ]
    for path, _ in stored(artifact_folder):
        path.unlink()
    again = [
        send(operator, ADDRESS, {"bundle": packed(feature_importance={})}, {"seed": 3}, key="one").json(),
        send_lines(operator, lines, key="many").json(),
    ]
    assert again == first
    assert stored(artifact_folder) == set()


def test_an_id_that_is_taken_is_found_before_anything_is_stored(operator: Caller, artifact_folder: Path) -> None:
    taken = factories.version(registered_model=RegisteredModel.objects.get())
    before = stored(artifact_folder)
    answer = send(operator, ADDRESS, {"bundle": packed()}, {"version_id": str(taken.pk)})
    problem(answer, status=409, code="version_id_taken")
    assert stored(artifact_folder) == before


@pytest.mark.requirement("X04")
def test_a_taken_id_is_told_in_the_same_words_whosever_version_has_it(operator: Caller) -> None:
    own = factories.version(registered_model=RegisteredModel.objects.get())
    elsewhere = factories.registered_model(fleet=factories.fleet(tenant="globex", name="cakes"), entity_key="cake")
    foreign, twice = factories.version(registered_model=elsewhere), identifiers.uuid7()
    ids = [own.pk, foreign.pk, twice, twice]
    lines = [{"entity": "bread", "bundle": text(packed()), "version_id": str(each)} for each in ids]
    told = send_lines(operator, lines).json()["results"]
    said = {
        (each["code"], each["detail"].replace(str(version_id), "ID"), each["next_step"])
        for version_id, each in zip(ids, told, strict=True)
        if "code" in each
    }
    assert len(said) == 1
    assert "number" in told[2]


def test_many_of_a_foreign_fleet_look_like_those_of_none(model: RegisteredModel) -> None:
    stranger = caller(role="operator", tenants=("globex",))
    foreign = send_lines(stranger, [{"entity": "bread", "bundle": text(packed())}])
    problem(foreign, status=404, code="fleet_unknown")
    assert not ModelVersion.objects.exists()


# -- the bundle out, and in again under its seal


@pytest.fixture
def version(model: RegisteredModel) -> ModelVersion:
    [stored] = lifecycle.store_artifacts([packed()], format=NAIVE)
    item = lifecycle.Registration(registered_model_id=model.pk, stored=stored, trainer="seasonal_naive")
    return lifecycle.register([item], actor="test", cause="manual", at=NOW)[0]


@pytest.mark.requirement("R04", "R05")
def test_a_bundle_is_downloaded_as_it_is_stored(version: ModelVersion) -> None:
    viewer = caller(role="viewer")
    answer = viewer.get(f"versions/{version.pk}/bundle")
    assert answer.status_code == 200
    assert answer.content == packed()
    digest = hashlib.sha256(packed()).digest()
    assert answer.headers["ETag"] == f'"{digest.hex()}"'
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{version.label}.bundle"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    known = viewer.get(f"versions/{version.pk}/bundle", headers={"If-None-Match": answer.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    for accepted in ("application/octet-stream", "*/*", "application/json"):
        assert viewer.get(f"versions/{version.pk}/bundle", headers={"Accept": accepted}).status_code == 200


@pytest.mark.requirement("R24")
def test_predictions_and_importance_are_given_in_full(version: ModelVersion) -> None:
    viewer = caller(role="viewer")
    table = b"".join(viewer.get(f"versions/{version.pk}/predictions.csv", part="validation").streaming_content)
    assert len(table.splitlines()) == len(PREDICTIONS.rows) + 1
    assert table.splitlines()[:2] == [b'"window","time","actual","yhat"', b'0,"2026-02-01",0.0,0.5']
    answer = viewer.get(f"versions/{version.pk}/feature-importance").json()
    assert answer == {"version": str(version.pk), "importance": {"trend": 0.25, "weekly": 0.75}}
    problem(viewer.get(f"versions/{version.pk}/predictions.csv", part="x"), status=400, code="invalid")


def test_no_cell_of_predictions_begins_a_formula(operator: Caller) -> None:
    said = {"format": NAIVE, "test": {"columns": ["entity", "yhat"], "rows": [["=cmd()", 1.0], ["+1", -2.0]]}}
    made = send(operator, ADDRESS, {"forecaster": forecaster()}, said).json()
    lifecycle.admit([UUID(made["id"])], actor="inspection", at=NOW)
    table = b"".join(operator.get(f"versions/{made['id']}/predictions.csv").streaming_content)
    assert table.splitlines()[1:] == [b'"\'=cmd()",1.0', b'"\'+1",-2.0']


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("archived", 200, ""), ("pending", 409, "version_pending"), ("quarantined", 409, "version_quarantined"),
        ("deleted", 410, "version_deleted"),
    ],
)  # fmt: skip
def test_what_was_lost_is_not_given(version: ModelVersion, state: str, status: int, code: str) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(state=state)
    viewer = caller(role="viewer")
    for path in ("bundle", "predictions.csv", "predictions.jsonl", "feature-importance"):
        answer = viewer.get(f"versions/{version.pk}/{path}")
        assert answer.status_code == status, path
        if code:
            problem(answer, status=status, code=code)


def test_a_damaged_bundle_is_not_given(version: ModelVersion, artifact_folder: Any) -> None:
    [path] = [each for each in (artifact_folder / "artifacts").rglob("*") if each.is_file()]
    path.write_bytes(b"x" * version.artifact_size)
    answer = caller(role="viewer").get(f"versions/{version.pk}/bundle")
    problem(answer, status=409, code="artifact_corrupted")


@pytest.fixture
def exported(version: ModelVersion, settings: Settings) -> tuple[bytes, str]:
    """A bundle of another installation, which knew the version; here it is gone, and that installation's key is set."""
    answer = caller(role="viewer").get(f"versions/{version.pk}/bundle")
    name, secret = seals.own_key()
    settings.PERENNIAL_REGISTRY = {
        **settings.PERENNIAL_REGISTRY, "signing_keys": "other:quite-another", "foreign_keys": f"x:y,{name}:{secret}",
    }  # fmt: skip
    Fleet.objects.filter(name="bakery").update(name="elsewhere")
    factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="bread")
    return answer.content, answer.headers["Perennial-Seal"]


def forgotten() -> None:
    """As if the version had never been here."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica; DELETE FROM registry_modelversion")


@pytest.mark.requirement("R01")
def test_a_sealed_bundle_is_imported_with_its_id(version: ModelVersion, exported: tuple[bytes, str]) -> None:
    content, seal = exported
    operator = caller(role="operator")
    taken = send(operator, "models/bakery/bread/imports", {"bundle": content}, {"seal": seal})
    problem(taken, status=409, code="version_id_taken")
    forgotten()
    made = send(operator, "models/bakery/bread/imports", {"bundle": content}, {"seal": seal, "note": "From Ulm."})
    assert made.status_code == 201, made.json()
    assert (made.json()["id"], made.json()["note"], made.json()["state"]) == (str(version.pk), "From Ulm.", "pending")
    assert Event.objects.latest("id").cause == "import"


def test_an_import_without_a_seal_that_is_known_here_is_refused(
    exported: tuple[bytes, str], settings: Settings
) -> None:
    content, seal = exported
    operator = caller(role="operator")
    key, version_id, form, digest, mac = seal.split(":")
    other = str(identifiers.uuid7())
    for said in (
        {},
        {"seal": "x"},
        {"seal": f"{key}:{other}:{form}:{digest}:{mac}"},
        {"seal": f"{key}:{version_id}:prophet-json-1:{digest}:{mac}"},
        {"seal": f"{key}:{version_id}:{form}:{'0' * 64}:{mac}"},
        {"seal": f"{key}:{version_id}:{form}:{digest}:{'0' * 64}"},
        {"seal": f"{key}:{version_id}:{form}:{digest}:é"},
        {"seal": seal, "signed_by": "x"},
        {"seal": seal, "signed_by": "nobody"},
    ):
        answer = send(operator, "models/bakery/bread/imports", {"bundle": content}, said)
        problem(answer, status=422, code="signature_unknown")
    changed = send(operator, "models/bakery/bread/imports", {"bundle": packed(metadata={})}, {"seal": seal})
    problem(changed, status=422, code="signature_unknown")
    more: dict[str, Any] = {"seal": seal, "metrics": {"mae": 0.0}}
    problem(send(operator, "models/bakery/bread/imports", {"bundle": content}, more), status=400, code="invalid")
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "foreign_keys": ""}
    none = send(operator, "models/bakery/bread/imports", {"bundle": content}, {"seal": seal})
    assert "bundle_key" in problem(none, status=422, code="signature_unknown")["next_step"]


def test_the_key_that_is_given_away_signs_no_artifact_here(settings: Settings) -> None:
    name, secret = seals.own_key()
    assert name == "test"
    assert secret not in settings.PERENNIAL_REGISTRY["signing_keys"]
    assert len(secret) == 64
