"""Retention in the admin: what the pages show, pruning and restoring with a reason, holds placed and lifted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from registry.admin import holds
from registry.models import Event, ExportSettings, Hold, RegisteredModel, Retention
from tests import admin_pages, factories
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles"), pytest.mark.requirement("R16")]


@pytest.fixture
def model() -> RegisteredModel:
    return kept.model(versions=3)[0]


def test_the_page_of_a_fleet_shows_the_policy_and_what_waits(model: RegisteredModel) -> None:
    kept.mark(model.fleet, at=factories.NOW + timedelta(days=36500))
    text = admin_pages.text(admin_pages.client(role="viewer").get(admin_pages.page(model.fleet)))
    assert "the newest 1 ready version," in text
    assert "2 versions" in text
    assert "Prune now" not in text


def test_pruning_shows_the_preview_asks_why_and_marks(model: RegisteredModel) -> None:
    approver, address = admin_pages.client(role="approver"), admin_pages.action(model.fleet, "prune")
    question = admin_pages.text(approver.get(address))
    assert "2 versions of 1 model would be marked" in question
    assert "1 as newest" in question
    assert approver.post(address, {"reason": ""}).status_code == 200
    assert kept.state(model.versions.get(number=1)) == "ready"
    assert approver.post(address, {"reason": "Disk is full."}).status_code == 302
    assert [kept.state(each) for each in model.versions.order_by("number")] == ["archived", "archived", "ready"]


def test_an_operator_may_neither_prune_nor_restore(model: RegisteredModel) -> None:
    operator = admin_pages.client(role="operator")
    kept.archive([model.versions.get(number=1)])
    for row, name in ((model.fleet, "prune"), (model.versions.get(number=1), "restore")):
        assert operator.post(admin_pages.action(row, name), {"reason": "because"}).status_code == 403


def test_an_archived_version_tells_when_it_goes_and_can_be_restored(model: RegisteredModel) -> None:
    version = model.versions.get(number=1)
    kept.archive([version])
    approver = admin_pages.client(role="approver")
    page = admin_pages.text(approver.get(admin_pages.page(version)))
    assert "Deleted from 2026-03-08" in page
    assert "Restore" in page
    approver.post(admin_pages.action(version, "restore"), {"reason": "The season is back."})
    assert kept.state(version) == "ready"
    assert version.holds.get().reason == "The season is back."
    assert "Restore" not in admin_pages.text(approver.get(admin_pages.page(version)))


def test_a_version_that_was_deleted_meanwhile_is_refused_whole(model: RegisteredModel) -> None:
    version = model.versions.get(number=1)
    kept.archive([version])
    model.versions.filter(number=1).update(state="deleted")
    answer = admin_pages.client(role="approver").post(admin_pages.action(version, "restore"), {"reason": "because"})
    assert answer.status_code == 409


def test_a_hold_is_placed_by_the_form_with_its_event(model: RegisteredModel) -> None:
    version = model.versions.get(number=1)
    approver = admin_pages.client(role="approver")
    address = reverse("admin:registry_hold_add")
    given = {"version": str(version.pk), "reason": "audit", "until_0": "2020-01-01", "until_1": "00:00"}
    assert "This time is over" in admin_pages.text(approver.post(address, given))
    answer = approver.post(address, {**given, "until_0": "", "until_1": ""})
    assert answer.status_code == 302
    hold = Hold.objects.get()
    assert (hold.version_id, hold.placed_by, hold.until) == (version.pk, "user", None)
    assert Event.objects.latest("id").kind == "registry.version.held"


def test_a_version_that_is_deleted_while_its_hold_is_placed_is_told_on_the_form(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, checked = model.versions.get(number=1), holds.HoldForm.clean

    def slow(form: holds.HoldForm) -> dict[str, Any]:
        found = checked(form)
        model.versions.filter(number=1).update(state="deleted")
        return found

    monkeypatch.setattr(holds.HoldForm, "clean", slow)
    given = {"version": str(version.pk), "reason": "audit", "until_0": "", "until_1": ""}
    address = reverse("admin:registry_hold_add")
    answer = admin_pages.client(role="approver").post(address, given, follow=True)
    assert answer.redirect_chain == [(address, 302)]
    assert "is deleted. `manage.py bring_back` restores it" in admin_pages.text(answer)
    assert not Hold.objects.exists()


def test_a_hold_is_lifted_with_a_reason_and_not_changed_or_deleted(model: RegisteredModel) -> None:
    hold = Hold.objects.create(version=model.versions.get(number=1), placed_by="user", reason="audit")
    approver = admin_pages.client(role="approver")
    assert approver.post(reverse("admin:registry_hold_delete", args=[hold.pk]), {"post": "yes"}).status_code == 403
    assert approver.get(admin_pages.page(hold)).status_code == 200
    approver.post(admin_pages.page(hold), {"reason": "other"})
    assert Hold.objects.get().reason == "audit"
    assert approver.post(admin_pages.action(hold, "lift"), {"reason": "The audit is over."}).status_code == 302
    assert not Hold.objects.exists()
    assert Event.objects.latest("id").reason == "The audit is over."


def test_a_negative_number_is_refused_by_the_form(model: RegisteredModel) -> None:
    model.fleet.retention = Retention(grace_days=-1)
    with pytest.raises(ValidationError, match="grace_days"):
        model.fleet.full_clean()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("retention", Retention(keep=0)),
        ("retention", Retention(grace_days=3_000_000)),
        ("retention", Retention(younger_than_days=-1)),
        ("export", ExportSettings(versions=-1)),
    ],
)
def test_a_number_that_would_stop_every_sweep_is_refused(column: str, value: Any) -> None:
    fleet = factories.fleet()
    setattr(fleet, column, value)
    with pytest.raises(ValidationError, match=r"\d+ to \d+"):
        fleet.full_clean()
