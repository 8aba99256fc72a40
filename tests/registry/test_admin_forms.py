"""The registry's forms: what may be edited, by whom, and how a fault in it reads; tokens are shown once."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from registry.models import ApiToken, Fleet
from tests import admin_pages, factories
from tests.admin_pages import action, listing, page, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


def test_what_a_fleet_file_made_is_read_only_but_can_be_paused() -> None:
    fleet = factories.fleet(managed_by="a" * 64)
    http = admin_pages.client(role="admin")
    assert http.post(page(fleet), {"horizon": "9"}).status_code == 403
    assert "A fleet file made this" in text(http.get(page(fleet)))
    http.post(action(fleet, "pause"), {"reason": "holiday"})
    fleet.refresh_from_db()
    event = fleet.events.latest("id")
    assert (fleet.paused, event.kind, event.reason) == (True, "registry.fleet.paused", "holiday")


def test_pausing_a_fleet_and_its_models_needs_no_right_in_training() -> None:
    model = factories.registered_model()
    user = factories.user(is_staff=True)
    rights = ("view_fleet", "view_registeredmodel", "pause_fleet")
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="registry", codename__in=rights))
    http = Client()
    http.force_login(user)
    for row in (model, model.fleet):
        assert http.post(action(row, "pause"), {"reason": "stocktaking"}).status_code == 302
    model.refresh_from_db()
    assert (model.state, model.fleet.paused) == ("paused", True)


def test_fixed_fields_of_a_fleet_are_not_in_its_form() -> None:
    fleet = factories.fleet(tenant="acme")
    answer = admin_pages.client(role="admin").get(page(fleet))
    assert {"tenant", "name", "kind", "paused", "managed_by"}.isdisjoint(answer.context["adminform"].form.fields)


def test_a_fleet_cannot_be_made_for_a_foreign_tenant() -> None:
    http = admin_pages.client(role="admin", tenants=("acme",))
    body = {
        "tenant": "other",
        "name": "mine",
        "kind": "forecast",
        "frequency": "D",
        "horizon": "7",
        "season_length": "7",
        "time_zone": "UTC",
        "retention": "{}",
        "metric_settings": "{}",
    }
    address = reverse("admin:registry_fleet_add")
    assert http.post(address, body).status_code == 200
    assert not Fleet.objects.exists()
    assert http.post(address, {**body, "tenant": "acme"}).status_code == 302
    assert Fleet.objects.get().tenant == "acme"


def test_a_fault_in_json_is_a_sentence_that_names_its_place() -> None:
    fleet = factories.fleet()
    body = {"frequency": "D", "horizon": "7", "season_length": "7", "time_zone": "UTC", "metric_settings": "{}"}
    http = admin_pages.client()
    answer = text(http.post(page(fleet), {**body, "retention": '{"keep": "many", "sometimes": 1}'}))
    assert "keep: input should be a valid integer" in answer
    assert "sometimes: no such key." in answer
    assert "This is not JSON" in text(http.post(page(fleet), {**body, "retention": "{keep: 3}"}))
    assert "NaN is not a number that can be stored" in text(
        http.post(page(fleet), {**body, "retention": '{"keep": NaN}'})
    )
    assert http.post(page(fleet), {**body, "retention": '{"keep": 3}'}).status_code == 302
    fleet.refresh_from_db()
    assert fleet.retention.keep == 3


def test_a_token_is_shown_once_and_opens_the_door() -> None:
    http = admin_pages.client(role="admin")
    answer = http.post(
        reverse("admin:registry_apitoken_add"), {"label": "nightly", "scope": "viewer", "tenants": "", "days": "30"}
    )
    secret = answer.context["token"]
    assert "no-store" in answer["Cache-Control"]
    assert secret in answer.content.decode()
    token = ApiToken.objects.get()
    for address in (listing(ApiToken), page(token)):
        assert secret not in http.get(address).content.decode()
    factories.fleet(tenant="acme", name="seen")
    found = Client(headers={"Authorization": f"Bearer {secret}"}).get("/api/v1/fleets")
    assert [row["name"] for row in found.json()["results"]] == ["seen"]


def test_a_token_for_a_foreign_tenant_is_refused_and_foreign_tokens_are_not_seen() -> None:
    http = admin_pages.client(role="admin")
    address = reverse("admin:registry_apitoken_add")
    answer = http.post(address, {"label": "x", "scope": "viewer", "tenants": "acme, other", "days": "30"})
    assert "'other' is not one of your tenants." in text(answer).replace("&#x27;", "'")
    assert not ApiToken.objects.exists()
    foreign = factories.token(user=factories.user())[0]
    assert http.get(page(foreign)).status_code == 404
