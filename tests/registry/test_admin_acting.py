"""Actions on many rows of the admin: a reason, a preview, the rights of the role, and a result for each row."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from registry.models import Event, ModelVersion, RegisteredModel
from tests import admin_pages, factories
from tests.factories import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]
LATER = NOW + timedelta(days=1)


@pytest.fixture
def models() -> list[RegisteredModel]:
    """Two models with two champions and a spare version each, and one with a single champion."""
    fleet = factories.fleet(name="bakery")
    made = [factories.registered_model(fleet=fleet, entity_key=f"e{n}") for n in range(3)]
    for each in made[:2]:
        factories.champion(registered_model=each, at=NOW)
        factories.champion(registered_model=each, at=LATER)
        factories.version(registered_model=each, at=LATER)
    factories.champion(registered_model=made[2])
    return made


def many(kind: type[ModelVersion] | type[RegisteredModel], name: str) -> str:
    return reverse(f"admin:registry_{kind._meta.model_name}_act_many", args=[name])


def spare(model: RegisteredModel) -> ModelVersion:
    return ModelVersion.objects.get(registered_model=model, number=3)


def send(http: Client, address: str, *rows: ModelVersion | RegisteredModel, **fields: str) -> str:
    given = {"ids": ",".join(str(each.pk) for each in rows), "reason": "Tidy up.", **fields}
    return admin_pages.text(http.post(address, given, follow=True))


def chosen(http: Client, name: str, *rows: ModelVersion | RegisteredModel, **fields: str) -> str:
    """Return the page that the list leads to when these rows are chosen for an action."""
    given = {"action": name, "_selected_action": [str(each.pk) for each in rows], **fields}
    answer = http.post(admin_pages.listing(type(rows[0])), given)
    assert answer.status_code == 200
    return admin_pages.text(answer)


def state(version: ModelVersion) -> str:
    return ModelVersion.objects.get(pk=version.pk).state


def test_many_versions_are_archived_and_each_that_stays_says_why(models: list[RegisteredModel]) -> None:
    approver = admin_pages.client(role="approver")
    champion = ModelVersion.objects.get(registered_model=models[0], number=2)
    assert "what a pointer leads to" in chosen(approver, "archive", spare(models[0]), champion)
    said = send(approver, many(ModelVersion, "archive"), spare(models[0]), spare(models[1]), champion)
    assert "Archived: 2." in said
    assert "bakery/e0 v2 is the champion of bakery/e0." in said
    assert [state(spare(models[0])), state(spare(models[1])), state(champion)] == ["archived", "archived", "ready"]


def test_many_are_quarantined_released_and_restored(models: list[RegisteredModel]) -> None:
    approver = admin_pages.client(role="approver")
    rows = [spare(models[0]), spare(models[1])]
    for name, after in (
        ("quarantine", "quarantined"),
        ("release", "ready"),
        ("archive", "archived"),
        ("restore", "ready"),
    ):
        send(approver, many(ModelVersion, name), *rows)
        assert {state(each) for each in rows} == {after}, name


@pytest.mark.requirement("R13")
def test_many_are_promoted(models: list[RegisteredModel]) -> None:
    said = send(admin_pages.client(role="approver"), many(ModelVersion, "promote-many"), *map(spare, models[:2]))
    assert "Promoted: 2." in said
    assert list(RegisteredModel.objects.order_by("pk").values_list("champion__number", flat=True)) == [3, 3, 1]


@pytest.mark.requirement("R14")
def test_the_page_before_a_roll_back_of_many_says_where_each_goes(models: list[RegisteredModel]) -> None:
    approver, address = admin_pages.client(role="approver"), many(RegisteredModel, "roll-back-many")
    page = chosen(approver, "roll-back-many", *models)
    assert "bakery/e0 v2 v1" in page
    assert "bakery/e2 has no earlier champion that is ready." in page
    assert not Event.objects.filter(kind="registry.champion.rolled_back").exists()
    said = send(approver, address, *models)
    assert "Rolled back: 2." in said
    assert "bakery/e2 has no earlier champion that is ready." in said


def test_an_operator_tags_versions_and_models_and_nothing_else(models: list[RegisteredModel]) -> None:
    operator = admin_pages.client(role="operator")
    said = send(operator, many(ModelVersion, "tag"), *map(spare, models[:2]), add="pilot, north", remove="")
    assert "Tagged: 2." in said
    assert ModelVersion.objects.get(pk=spare(models[0]).pk).tags == ["north", "pilot"]
    assert "Tagged: 3." in send(operator, many(RegisteredModel, "tag"), *models, add="season")
    assert "0. 3 were so already." in send(operator, many(RegisteredModel, "tag"), *models, add="season")
    assert "is not a tag" in send(operator, many(RegisteredModel, "tag"), *models, add="-x")
    assert "No tag was given" in send(operator, many(RegisteredModel, "tag"), *models)
    for kind, names in (
        (ModelVersion, ["archive", "quarantine", "release", "promote-many", "restore"]),
        (RegisteredModel, ["roll-back-many"]),
    ):
        for name in names:
            rows = models if kind is RegisteredModel else [spare(models[0])]
            given = {"ids": ",".join(str(each.pk) for each in rows), "reason": "because"}
            assert operator.post(many(kind, name), given).status_code == 403, name


def test_a_viewer_tags_nothing_and_the_foreign_does_not_exist(models: list[RegisteredModel]) -> None:
    given = {"ids": str(spare(models[0]).pk), "reason": "because", "add": "x"}
    assert admin_pages.client(role="viewer").post(many(ModelVersion, "tag"), given).status_code == 403
    stranger = admin_pages.client(role="approver", tenants=("globex",))
    assert stranger.post(many(ModelVersion, "archive"), given).status_code == 404
    assert state(spare(models[0])) == "ready"


def test_the_page_of_what_serves_offers_no_archive_and_says_why(models: list[RegisteredModel]) -> None:
    approver = admin_pages.client(role="approver")
    champion = ModelVersion.objects.get(registered_model=models[0], number=2)
    for version, is_offered in ((champion, False), (spare(models[0]), True)):
        page = approver.get(admin_pages.page(version))
        assert (admin_pages.action(version, "archive") in page.content.decode()) is is_offered
        assert ("Cannot be archived it is the champion of its model" in admin_pages.text(page)) is not is_offered


def test_after_an_action_on_many_the_list_is_filtered_as_it_was(models: list[RegisteredModel]) -> None:
    approver, listing = admin_pages.client(role="approver"), admin_pages.listing(RegisteredModel)
    query = f"fleet={models[0].fleet_id}&q=e"
    chosen = {"action": "roll-back-many", "_selected_action": [str(each.pk) for each in models]}
    page = approver.post(f"{listing}?{query}", chosen).content.decode()
    assert f'href="{listing}?{query.replace("&", "&amp;")}"' in page
    sent = dict(re.findall(r'<input type="hidden" name="(ids|filters)" value="([^"]*)"', page))
    address = many(RegisteredModel, "roll-back-many")
    done = approver.post(address, {"ids": sent["ids"], "filters": query, "reason": "Tidy up."})
    assert (sent["filters"], done.status_code) == (query.replace("&", "&amp;"), 302)
    assert done.headers["Location"] == f"{listing}?{query}"
    before = Event.objects.count()
    endless = "&".join("q=e" for _ in range(2000))
    refused = approver.post(address, {"ids": sent["ids"], "filters": endless, "reason": "Tidy up.", "again": "on"})
    assert (refused.status_code, Event.objects.count()) == (400, before)
    away = approver.post(address, {"ids": sent["ids"], "filters": "//evil.example/?x=1", "reason": "Tidy up."})
    assert away.headers["Location"].startswith(f"{listing}?")


def test_models_that_were_rolled_back_go_further_only_where_the_box_is_ticked(models: list[RegisteredModel]) -> None:
    approver, address = admin_pages.client(role="approver"), many(RegisteredModel, "roll-back-many")
    model = models[0]
    model.refresh_from_db()
    assert model.champion is not None
    first = model.champion.number
    factories.champion(registered_model=model)
    factories.champion(registered_model=model)
    sent = {"ids": str(model.pk), "reason": "Bad data."}

    def number() -> int:
        model.refresh_from_db()
        assert model.champion is not None
        return model.champion.number

    before = number()
    approver.post(address, sent)
    once = number()
    page = approver.post(address, sent, follow=True)
    assert (number(), "To go back one champion more" in admin_pages.text(page)) == (once, True)
    approver.post(address, {**sent, "again": "on"})
    assert before > once > number() == first


def test_a_single_version_is_refused_on_its_page(models: list[RegisteredModel]) -> None:
    approver = admin_pages.client(role="approver")
    champion = ModelVersion.objects.get(registered_model=models[0], number=2)
    answer = approver.post(admin_pages.action(champion, "archive"), {"reason": "because"})
    assert (answer.status_code, "Nothing was changed" in admin_pages.text(answer)) == (409, True)


THOUSANDS = 2000


def test_thousands_are_chosen_across_pages_confirmed_and_tagged() -> None:
    fleet = factories.fleet(name="crowd")
    rows = [RegisteredModel(fleet=fleet, entity_key=f"machine-{n}") for n in range(THOUSANDS)]
    made = RegisteredModel.objects.bulk_create(rows)
    operator, listing = admin_pages.client(role="operator"), admin_pages.listing(RegisteredModel)
    across = {"action": "tag", "select_across": "1", "_selected_action": [str(each.pk) for each in made[:50]]}
    page = operator.post(f"{listing}?fleet={fleet.pk}", across).content.decode()
    form = re.search(r'<form method="post" action="([^"]+)" id="confirm_form"', page)
    ids = re.search(r'name="ids" value="([^"]+)"', page)
    assert form and ids
    assert len(ids[1].split(",")) == THOUSANDS
    assert f"and {THOUSANDS - 20} more" in page
    done = operator.post(form[1], {"ids": ids[1], "reason": "Season begins.", "add": "season"})
    assert done.status_code == 302
    assert RegisteredModel.objects.filter(tags=["season"]).count() == THOUSANDS


def test_more_than_one_call_takes_are_not_confirmed(models: list[RegisteredModel], settings: Settings) -> None:
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "bulk_items": 2}
    approver = admin_pages.client(role="approver")
    given = {"action": "tag", "_selected_action": [str(each.pk) for each in models]}
    said = admin_pages.text(approver.post(admin_pages.listing(RegisteredModel), given, follow=True))
    assert "At most 2 rows at once" in said
    assert "confirm_form" not in said


def test_rows_stay_chosen_while_the_form_is_corrected(models: list[RegisteredModel]) -> None:
    ids = ",".join(str(spare(each).pk) for each in models[:2])
    answer = admin_pages.client(role="approver").post(many(ModelVersion, "archive"), {"ids": ids, "reason": "x"})
    page = answer.content.decode()
    assert (answer.status_code, all(each in page for each in ids.split(","))) == (200, True)
    assert "too short" in page


def test_one_row_chosen_in_a_list_is_confirmed_on_its_own_page(models: list[RegisteredModel]) -> None:
    approver = admin_pages.client(role="approver")
    given = {"action": "archive", "_selected_action": [str(spare(models[0]).pk)]}
    page = approver.post(admin_pages.listing(ModelVersion), given).content.decode()
    assert f'action="{admin_pages.action(spare(models[0]), "archive")}"' in page


@pytest.mark.parametrize("ids", ["", "one,two", "0190a1b2-0000-7000-8000-000000000000"])
def test_rows_that_are_none_are_not_found(models: list[RegisteredModel], ids: str) -> None:
    approver = admin_pages.client(role="approver")
    for kind, name in ((ModelVersion, "archive"), (RegisteredModel, "tag")):
        assert approver.post(many(kind, name), {"ids": ids, "reason": "because"}).status_code == 404
        assert approver.get(many(kind, name)).status_code == 404


@pytest.mark.requirement("R24")
def test_the_page_of_a_version_leads_to_its_bundle(models: list[RegisteredModel]) -> None:
    viewer, version = admin_pages.client(role="viewer"), spare(models[0])
    page = viewer.get(admin_pages.page(version)).content.decode()
    assert f'href="/api/v1/versions/{version.pk}/bundle"' in page
    assert viewer.get(f"/api/v1/versions/{version.pk}/bundle").status_code == 200
    ModelVersion.objects.filter(pk=version.pk).update(state="deleted")
    assert "Download bundle" not in viewer.get(admin_pages.page(version)).content.decode()
