"""What a quarantined version says of itself, on its page, on its model's and over REST: why, since when, what to do."""

from __future__ import annotations

import pytest

from registry import lifecycle
from registry.lifecycle import admission
from registry.models import ModelVersion, RegisteredModel
from tests import admin_pages, factories
from tests.factories import NOW
from tests.rest_client import caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]
REASON = "The file names a class that is not trusted: os.system"
REGISTER_AGAIN = "Export the forecaster again and register it as a new version"


@pytest.fixture
def model() -> RegisteredModel:
    """A model without versions."""
    return factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="bread")


def refused(model: RegisteredModel, *, cause: str = admission.INSPECTION) -> ModelVersion:
    """A version from elsewhere that was turned away."""
    item = factories.registration(registered_model=model, pending=True)
    [version] = lifecycle.register([item], actor="ada", cause=admission.REGISTRATION, at=NOW)
    lifecycle.turn_away([version.pk], actor="inspection", reason=REASON, at=NOW, cause=cause)
    version.refresh_from_db()
    return version


@pytest.mark.parametrize(
    ("cause", "way_out"),
    [
        (admission.INSPECTION, REGISTER_AGAIN),
        (admission.UNREAD, "Give the workers more memory or time, then release it"),
        ("damaged", "put it back from a backup; then release it"),
    ],
)
def test_its_page_says_why_since_when_and_what_to_do(model: RegisteredModel, cause: str, way_out: str) -> None:
    version = refused(model, cause=cause)
    found = admin_pages.client(role="approver").get(admin_pages.page(version))
    is_offered = admin_pages.action(version, "release") in found.content.decode()
    assert is_offered is (cause != admission.INSPECTION)
    page = admin_pages.text(found)
    assert f"Quarantined {REASON} Next step: " in page
    assert way_out in page
    assert f"Since 2026-03-01 12:00 UTC by inspection, cause {cause}" in page


def test_the_newest_quarantine_counts_and_one_that_was_released_says_nothing(model: RegisteredModel) -> None:
    version, viewer = factories.version(registered_model=model), admin_pages.client(role="viewer")
    for reason in ("First odd.", "Then odd again."):
        lifecycle.quarantine([version.pk], actor="ada", reason=reason, at=NOW)
        page = admin_pages.text(viewer.get(admin_pages.page(version)))
        assert f"Quarantined {reason} Next step" in page
        assert lifecycle.release([version.pk], actor="ada", reason="Mended.", at=NOW).changed
    assert "Next step" not in admin_pages.text(viewer.get(admin_pages.page(version)))


def test_a_model_whose_upload_was_refused_is_not_told_to_read_a_gate_report(model: RegisteredModel) -> None:
    viewer = admin_pages.client(role="viewer")
    told = [admin_pages.text(viewer.get(admin_pages.page(model)))]
    item = factories.registration(registered_model=model, pending=True)
    lifecycle.register([item], actor="ada", cause=admission.REGISTRATION, at=NOW)
    told.append(admin_pages.text(viewer.get(admin_pages.page(model))))
    refused(model)
    told.append(admin_pages.text(viewer.get(admin_pages.page(model))))
    factories.version(registered_model=model)
    told.append(admin_pages.text(viewer.get(admin_pages.page(model))))
    assert "Next step: register a version that was trained elsewhere." in told[0]
    assert "v1 waits for its trainer to read it." in told[1]
    assert f"v2 is quarantined: {REASON}. Next step: {REGISTER_AGAIN}" in told[2]
    assert "gate report of the run" not in told[1] + told[2]
    assert "v3 is ready. Next step: promote it on its page" in told[3]


def test_over_rest_its_bundle_is_refused_with_the_reason(model: RegisteredModel) -> None:
    version = refused(model)
    answer = caller(role="viewer").get(f"versions/{version.pk}/bundle")
    told = problem(answer, status=409, code="version_quarantined")
    assert told["detail"] == f"bakery/bread v1 is quarantined since 2026-03-01 12:00 UTC: {REASON}."
    assert REGISTER_AGAIN in told["next_step"]


def test_whoever_promotes_it_is_told_where_the_reason_stands(model: RegisteredModel) -> None:
    refused(model)
    answer = caller(role="approver").post("models/bakery/bread/promote", {"version": "1", "reason": "try"})
    assert "history of its model says why" in problem(answer, status=409, code="version_not_ready")["next_step"]
