"""Pages of fleets that nothing here retrains: no offer that can only fail, what is missing, where predictions are."""

from __future__ import annotations

import pytest
from django.urls import reverse

from registry.models import ExportSettings, Fleet, RegisteredModel
from tests import admin_pages, factories
from tests.admin_pages import action, page, text
from training.models import TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]
MISSING = "This fleet has no policy, so nothing here retrains its models"


def is_offered(row: Fleet | RegisteredModel) -> bool:
    return action(row, "retrain") in admin_pages.client(role="operator").get(page(row)).content.decode()


def said_of(row: Fleet | RegisteredModel) -> str:
    return text(admin_pages.client(role="viewer").get(page(row)))


@pytest.mark.requirement("U04")
def test_retraining_is_offered_only_where_a_policy_is_enabled() -> None:
    model = factories.registered_model()
    assert not is_offered(model) and not is_offered(model.fleet)
    policy = factories.policy(fleet=model.fleet, enabled=False)
    assert not is_offered(model) and not is_offered(model.fleet)
    policy.enabled = True
    policy.save()
    assert is_offered(model) and is_offered(model.fleet)


def test_the_pages_say_what_is_missing_and_what_to_do() -> None:
    model = factories.registered_model()
    for row in (model, model.fleet):
        assert MISSING in said_of(row), row
        assert "add [source] and [policy.NAME] to its fleet file" in said_of(row), row
    factories.policy(fleet=model.fleet, enabled=False)
    for row in (model, model.fleet):
        assert "No policy of this fleet is enabled, so nothing retrains its models. Enable one." in said_of(row), row
        assert MISSING not in said_of(row), row
    factories.policy(fleet=model.fleet)
    for row in (model, model.fleet):
        assert "nothing retrains" not in said_of(row), row


def test_no_page_leads_to_a_retraining_that_cannot_be() -> None:
    model = factories.registered_model()
    assert "Next step: register a version that was trained elsewhere." in said_of(model)
    assert "No version yet: register a version that was trained elsewhere." in said_of(model)
    factories.version(registered_model=model)
    assert "v1 is ready. Next step: promote it on its page." in said_of(model)
    assert "retraining registers every entity" not in said_of(factories.fleet())
    factories.policy(fleet=model.fleet)
    assert "promote it on its page, or retrain it" in said_of(model)


def test_of_many_fleets_those_without_a_policy_are_left_and_told() -> None:
    governed, bare = factories.fleet(name="shop"), factories.fleet(name="bare")
    factories.policy(fleet=governed)
    for fleet in (governed, bare):
        factories.registered_model(fleet=fleet)
    http = admin_pages.client(role="operator")
    chosen = {"action": "retrain", "_selected_action": [str(each.pk) for each in (bare, governed)]}
    asked = text(http.post(admin_pages.listing(Fleet), chosen))
    assert f"Left out, for want of an enabled policy: {bare}." in asked
    address = reverse("admin:registry_fleet_act_many", args=["retrain"])
    said = text(http.post(address, {"ids": f"{bare.pk},{governed.pk}", "reason": "New prices."}, follow=True))
    assert f"Asked for: {governed}." in said
    assert "Fleet bare has no enabled policy." in said
    assert [run.registered_model.fleet for run in TrainingRun.objects.all()] == [governed]


def test_where_none_can_be_retrained_nothing_is_asked_for() -> None:
    models = [factories.registered_model() for _ in range(2)]
    address = reverse("admin:registry_registeredmodel_act_many", args=["retrain"])
    answer = admin_pages.client(role="operator").post(
        address, {"ids": ",".join(str(each.pk) for each in models), "reason": "New prices."}
    )
    assert answer.status_code == 409
    assert "has no enabled policy" in text(answer) and "Nothing was changed." in text(answer)
    assert not TrainingRun.objects.exists()


def test_a_regression_says_where_predictions_come_from_and_offers_none_that_is_not_there() -> None:
    model = factories.registered_model(fleet=factories.fleet(kind="regression"))
    assert "Nothing is published for a regression: a prediction needs the features of its row." in said_of(model)
    assert "To predict, load" not in said_of(model)
    champion = factories.champion(registered_model=model)
    said = said_of(model)
    assert "ask for predictions" not in said and "Published forecast" not in said
    assert "To predict, load the bundle of v1 ." in said
    assert page(champion) in admin_pages.client().get(page(model)).content.decode()
    model.fleet.export = ExportSettings(enabled=True)
    model.fleet.save()
    assert "the bundle of v1 , or the folder of its export." in said_of(model)


def test_a_forecast_says_who_publishes_it() -> None:
    model = factories.registered_model()
    factories.champion(registered_model=model)
    assert "No forecast is published: a retraining does that, and nothing here retrains this model." in said_of(model)
    assert "To predict, load the bundle of v1 ." in said_of(model)
    factories.policy(fleet=model.fleet)
    said = said_of(model)
    assert "No forecast is published yet: a retraining publishes that of the champion that it leaves." in said
    assert "To predict" not in said
