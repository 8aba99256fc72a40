"""Forgetting by hand in the admin: what is lost is told first, copied first where there is a second store."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse
from pytest_django import Settings

from registry.models import Event, Hold, ModelVersion
from tests import admin_pages
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles"), pytest.mark.requirement("R18")]


@pytest.fixture
def versions() -> list[ModelVersion]:
    """Two archived, due much later, and the newest, which is ready."""
    made = kept.model(versions=3)[1]
    kept.archive(made[:2])
    return made


@pytest.fixture
def second_store(settings: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "second"
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "backup_url": folder.as_uri()}
    return folder


def many(*rows: ModelVersion) -> tuple[str, dict[str, str]]:
    address = reverse("admin:registry_modelversion_act_many", args=["forget"])
    return address, {"ids": ",".join(str(each.pk) for each in rows), "reason": "Tidy up."}


def test_the_question_says_what_is_lost_and_asking_forgets_nothing(versions: list[ModelVersion]) -> None:
    question = admin_pages.text(admin_pages.client(role="approver").get(admin_pages.action(versions[0], "forget")))
    assert "Forecaster, predictions and feature importance are lost" in question
    assert "No backup store is set, so nothing brings it back." in question
    assert kept.state(versions[0]) == "archived"
    assert not Event.objects.filter(kind="registry.version.forgotten").exists()


def test_a_version_is_forgotten_with_a_reason_and_its_row_stays(versions: list[ModelVersion]) -> None:
    approver, address = admin_pages.client(role="approver"), admin_pages.action(versions[0], "forget")
    assert "Say why" in admin_pages.text(approver.post(address, {"reason": ""}))
    assert kept.state(versions[0]) == "archived"
    assert "Forgotten: 1." in admin_pages.text(approver.post(address, {"reason": "A person asked."}, follow=True))
    assert kept.state(versions[0]) == "deleted"
    event = Event.objects.get(kind="registry.version.forgotten")
    assert (event.reason, event.cause, event.to_version) == ("A person asked.", "manual", versions[0])


def test_with_a_second_store_it_is_copied_there_first(versions: list[ModelVersion], second_store: Path) -> None:
    approver, address = admin_pages.client(role="approver"), admin_pages.action(versions[0], "forget")
    assert "copied to the backup store first" in admin_pages.text(approver.get(address))
    approver.post(address, {"reason": "A person asked."})
    assert kept.state(versions[0]) == "deleted"
    assert kept.files(second_store) == {versions[0].artifact_digest}


def test_what_cannot_be_copied_stays_and_the_page_says_why(
    versions: list[ModelVersion], second_store: Path, artifact_folder: Path
) -> None:
    kept.path(artifact_folder, versions[0].artifact_digest).write_bytes(b"spoiled")
    answer = admin_pages.client(role="approver").post(admin_pages.action(versions[0], "forget"), {"reason": "because"})
    assert answer.status_code == 409
    assert "artifact_corrupted" in admin_pages.text(answer)
    assert kept.state(versions[0]) == "archived"


def test_of_many_each_that_stays_is_foretold_and_told(versions: list[ModelVersion]) -> None:
    Hold.objects.create(version=versions[1], placed_by="user", reason="audit")
    approver = admin_pages.client(role="approver")
    given = {"action": "forget", "_selected_action": [str(each.pk) for each in versions]}
    page = admin_pages.text(approver.post(f"{admin_pages.listing(ModelVersion)}?state__exact=archived", given))
    assert page.count("is held by") == 1
    assert kept.state(versions[0]) == "archived"
    address, asked = many(*versions)
    said = admin_pages.text(approver.post(address, asked, follow=True))
    assert "Forgotten: 1." in said
    assert "is held by" in said and "is ready. Only versions that are archived" in said
    assert [kept.state(each) for each in versions] == ["deleted", "archived", "ready"]


def test_it_is_offered_where_it_can_be_done_to_those_who_may_over_rest(versions: list[ModelVersion]) -> None:
    approver = admin_pages.client(role="approver")
    for version, is_offered in ((versions[0], True), (versions[2], False)):
        content = approver.get(admin_pages.page(version)).content.decode()
        assert (admin_pages.action(version, "forget") in content) is is_offered
    address, asked = many(versions[0])
    for role, status in (("viewer", 403), ("operator", 403)):
        http = admin_pages.client(role=role)
        assert admin_pages.action(versions[0], "forget") not in http.get(admin_pages.page(versions[0])).content.decode()
        assert http.post(address, asked).status_code == status, role
    assert admin_pages.client(role="approver", tenants=("globex",)).post(address, asked).status_code == 404
    assert kept.state(versions[0]) == "archived"
