"""Fleets, models and versions as callers read them: complete, by filter, by any name of a version."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from registry.models import ModelVersion, RegisteredModel
from registry.reports import Scorecard
from tests import factories
from tests.rest_client import Caller, caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


@pytest.fixture
def viewer() -> Caller:
    return caller(role="viewer")


@pytest.fixture
def model() -> RegisteredModel:
    fleet = factories.fleet(name="bakery", unit="loaves")
    return factories.registered_model(fleet=fleet, entity_key="bread:white")


def versions_with(model: RegisteredModel, *maes: float | None) -> list[ModelVersion]:
    return [factories.version(registered_model=model, scorecard=Scorecard(metrics={"mae": mae})) for mae in maes]


def test_a_fleet_shows_how_many_models_it_has(viewer: Caller, model: RegisteredModel) -> None:
    factories.registered_model(fleet=model.fleet)
    factories.registered_model(fleet=model.fleet, state=RegisteredModel.State.RETIRED)
    body = viewer.get("fleets/bakery").json()
    assert (body["tenant"], body["name"], body["unit"], body["models"]) == ("acme", "bakery", "loaves", 2)
    assert viewer.get(body["url"]).json() == body


def test_fleets_are_found_by_tag(viewer: Caller, model: RegisteredModel) -> None:
    factories.fleet(name="tagged", tags=["north", "new"])
    assert [row["name"] for row in viewer.get("fleets", tag="new").json()["results"]] == ["tagged"]


@pytest.mark.requirement("P01")
def test_a_model_shows_its_pointers_with_their_numbers(viewer: Caller, model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=model, scorecard=Scorecard(metrics={"mae": 2.5, "rmse": None}))
    body = viewer.get("models/bakery/bread:white").json()
    assert body["champion"]["id"] == str(champion.pk)
    assert body["champion"]["metrics"] == {"mae": 2.5, "rmse": None}
    assert body["challenger"] is None
    assert body["anchor"]["number"] == 1
    assert viewer.get(body["url"]).json() == body
    assert viewer.get(body["champion"]["url"]).json()["pointers"] == ["champion", "anchor"]


def test_models_are_found_by_state_and_tag(viewer: Caller, model: RegisteredModel) -> None:
    factories.registered_model(fleet=model.fleet, entity_key="roll", state="paused", tags=["small"])
    address = "models/bakery"
    assert [row["entity"] for row in viewer.get(address, state="paused").json()["results"]] == ["roll"]
    assert [row["entity"] for row in viewer.get(address, tag="small").json()["results"]] == ["roll"]
    assert [row["entity"] for row in viewer.get(address, state="active").json()["results"]] == ["bread:white"]


@pytest.mark.requirement("R15")
def test_a_version_shows_all_but_its_bytes(viewer: Caller, model: RegisteredModel) -> None:
    version = factories.champion(
        registered_model=model, params={"depth": 3}, features=("price",), extra={"ticket": "A-1"}
    )
    body = viewer.get(f"versions/{version.pk}").json()
    assert body["entity"] == "bread:white"
    assert body["params"] == {"depth": 3}
    assert body["features"] == ["price"]
    assert body["extra"] == {"ticket": "A-1"}
    assert body["artifact"]["digest"] == version.artifact_digest
    assert body["promoted_at"] == "2026-03-01T12:00:00Z"
    assert version.artifact_signature not in str(body)


@pytest.mark.requirement("R03")
def test_a_version_answers_to_id_number_label_and_word(viewer: Caller, model: RegisteredModel) -> None:
    first = factories.champion(registered_model=model)
    second = factories.version(registered_model=model)
    address = "models/bakery/bread:white/versions"
    for name in (str(first.pk), first.pk.hex, "1", first.label, "champion", "anchor"):
        assert viewer.get(f"{address}/{name}").json()["id"] == str(first.pk)
    assert viewer.get(f"{address}/latest").json()["id"] == str(second.pk)


@pytest.mark.requirement("R08")
def test_latest_is_the_newest_ready_one(viewer: Caller, model: RegisteredModel) -> None:
    ready, broken = versions_with(model, 1.0, 2.0)
    ModelVersion.objects.filter(pk=broken.pk).update(state="quarantined")
    assert viewer.get("models/bakery/bread:white/versions/latest").json()["id"] == str(ready.pk)


def test_a_name_of_no_version_is_unknown_and_nonsense_is_malformed(viewer: Caller, model: RegisteredModel) -> None:
    address = "models/bakery/bread:white/versions"
    for name in ("99", "20260101_000000_000009", "challenger", "0190a1b2-0000-7000-8000-000000000000"):
        problem(viewer.get(f"{address}/{name}"), status=404, code="version_unknown")
    for name in ("0", "-1", "newest", "1e3", "٣", "99999999999999999999"):
        problem(viewer.get(f"{address}/{name}"), status=400, code="malformed")


def test_a_version_of_another_model_is_not_found_under_this_one(viewer: Caller, model: RegisteredModel) -> None:
    other = factories.version(registered_model=factories.registered_model(fleet=model.fleet))
    problem(viewer.get(f"models/bakery/bread:white/versions/{other.pk}"), status=404, code="version_unknown")


@pytest.mark.requirement("R10")
def test_versions_are_filtered_by_metric(viewer: Caller, model: RegisteredModel) -> None:
    versions_with(model, 1.0, 2.0, 3.0, None)
    address = "models/bakery/bread:white/versions"

    def numbers(**filters: Any) -> list[int]:
        return [row["number"] for row in viewer.get(address, **filters).json()["results"]]

    assert numbers() == [4, 3, 2, 1]
    assert numbers(max_mae=2) == [2, 1]
    assert numbers(min_mae="1.5") == [3, 2]
    assert numbers(min_mae="1.5", max_mae="2.5") == [2]
    assert numbers(min_rmse=0) == []
    assert numbers(limit=1) == [4]


def test_versions_are_filtered_by_trainer_and_state(viewer: Caller, model: RegisteredModel) -> None:
    factories.version(registered_model=model, trainer="ridge")
    archived = factories.version(registered_model=model)
    ModelVersion.objects.filter(pk=archived.pk).update(state="archived")
    address = "models/bakery/bread:white/versions"
    assert [row["number"] for row in viewer.get(address, trainer="ridge").json()["results"]] == [1]
    assert [row["number"] for row in viewer.get(address, state="archived").json()["results"]] == [2]


def test_a_name_that_two_of_my_tenants_use_asks_for_the_tenant(model: RegisteredModel) -> None:
    other = factories.fleet(tenant="globex", name="bakery")
    both = caller(role="viewer", tenants=("acme", "globex"))
    body = problem(both.get("models/bakery"), status=409, code="fleet_ambiguous")
    assert "?tenant=globex" in body["next_step"]
    assert both.get("fleets/bakery", tenant="globex").json()["created_at"] == _iso(other.created_at)
    assert both.get("models/bakery/bread:white", tenant="acme").status_code == 200
    problem(both.get("models/bakery/bread:white", tenant="globex"), status=404, code="model_unknown")


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
