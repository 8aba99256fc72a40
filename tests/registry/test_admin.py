"""The registry's pages: everything renders, nothing foreign shows, state changes only by actions that ask why."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from django_celery_beat.models import PeriodicTask

from registry import lifecycle
from registry.admin import paging
from registry.models import Event, Fleet, ModelVersion, RegisteredModel
from registry.reports import Check, GateReport, Verdict
from tests import admin_pages, factories
from tests.admin_pages import action, listing, page, text
from training.models import TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]
HOSTILE = "<script>window.stolen=1</script>\"'><img src=x onerror=window.stolen=1>{{7*7}}"


def test_every_table_has_a_list_and_a_page() -> None:
    rows = admin_pages.one_of_each()
    http = admin_pages.client()
    for row in rows.values():
        assert http.get(listing(type(row))).status_code == 200, row._meta
        assert http.get(page(row)).status_code == 200, row._meta
    assert {type(row) for row in rows.values()} | {Group} == set(admin.site._registry)


def test_every_time_has_one_form() -> None:
    http = admin_pages.client()
    for row in admin_pages.one_of_each().values():
        for address in (page(row), listing(type(row))):
            said = text(http.get(address))
            assert not re.search(r"\d [ap]\.?m\b|\b\d{1,2} (Jan|Feb|Mar|Nov|Dec)\w* 20\d\d", said), address
            assert not re.search(r"\d\d\d\d-\d\d-\d\d \d\d:\d\d(:\d\d)?(?! UTC|:|\d)", said), address


def test_hostile_text_in_every_column_is_shown_as_text() -> None:
    rows = admin_pages.one_of_each(words=HOSTILE)
    http = admin_pages.client()
    for row in rows.values():
        for address in (page(row), listing(type(row)), "/admin/"):
            content = http.get(address).content.decode()
            assert "<script>window.stolen" not in content, address
            assert "<img src=x" not in content, address


@pytest.mark.requirement("X04")
@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "admin"])
def test_a_row_of_a_foreign_tenant_does_not_exist(role: str) -> None:
    rows = admin_pages.one_of_each(tenant="other", words="foreign words")
    http = admin_pages.client(role=role)
    for name in (
        "fleet",
        "model",
        "version",
        "event",
        "hold",
        "policy",
        "source",
        "batch",
        "chunk",
        "run",
        "log",
        "forecast",
        "snapshot",
    ):
        assert http.get(page(rows[name])).status_code in (403, 404), name
        answer = http.get(listing(type(rows[name])))
        assert answer.status_code == 403 or "foreign words" not in text(answer), name
        if answer.status_code == 200:
            assert len(answer.context["cl"].result_list) == 0, name


def test_a_viewer_reads_the_rows_of_the_own_tenant() -> None:
    rows = admin_pages.one_of_each()
    http = admin_pages.client(role="viewer")
    for name in ("fleet", "model", "version", "event", "policy", "batch", "run", "forecast"):
        assert http.get(page(rows[name])).status_code == 200, name


ALLOWED = {
    ("model", "retrain"): {"operator", "approver", "admin"},
    ("model", "roll-back"): {"approver", "admin"},
    ("model", "pause"): {"operator", "approver", "admin"},
    ("model", "resume"): {"operator", "approver", "admin"},
    ("version", "promote"): {"approver", "admin"},
    ("fleet", "retrain"): {"operator", "approver", "admin"},
    ("fleet", "pause"): {"operator", "approver", "admin"},
    ("fleet", "resume"): {"operator", "approver", "admin"},
    ("run", "cancel"): {"operator", "approver", "admin"},
    ("run", "delete-record"): {"approver", "admin"},
    ("policy", "pause"): {"operator", "approver", "admin"},
    ("policy", "resume"): {"operator", "approver", "admin"},
}


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "admin"])
@pytest.mark.parametrize(("what", "name"), ALLOWED)
def test_an_action_without_the_right_to_it_is_forbidden(role: str, what: str, name: str) -> None:
    row = admin_pages.one_of_each()[what]
    answer = admin_pages.client(role=role).get(action(row, name))
    assert answer.status_code == (200 if role in ALLOWED[what, name] else 403)
    assert Client().get(action(row, name)).status_code == 302


def test_people_of_a_role_cannot_reach_what_gives_rights() -> None:
    rows = admin_pages.one_of_each()
    http = admin_pages.client(role="admin")
    for name in ("user", "membership"):
        assert http.get(page(rows[name])).status_code == 403
        assert http.get(listing(type(rows[name]))).status_code == 403


def test_nobody_schedules_tasks_in_the_admin() -> None:
    with pytest.raises(NoReverseMatch):
        reverse("admin:django_celery_beat_periodictask_changelist")
    assert PeriodicTask not in admin.site._registry
    assert admin_pages.client().get("/admin/django_celery_beat/periodictask/").status_code == 404


def test_asking_changes_nothing_and_the_question_names_model_and_version() -> None:
    model = factories.registered_model()
    first = factories.champion(registered_model=model)
    second = factories.version(registered_model=model)
    before = Event.objects.count()
    answer = admin_pages.client().get(action(second, "promote"))
    for words in (str(model), f"v{second.number} ({second.label})", f"v{first.number} ({first.label})"):
        assert words in text(answer)
    model.refresh_from_db()
    assert (model.champion_id, Event.objects.count()) == (first.pk, before)


def test_promoting_needs_a_reason_and_keeps_it() -> None:
    model = factories.registered_model()
    factories.champion(registered_model=model)
    second = factories.version(registered_model=model)
    http = admin_pages.client(role="approver")
    refused = http.post(action(second, "promote"), {"reason": " "})
    assert refused.status_code == 200
    assert "Say why: the reason is kept with the change." in text(refused)
    model.refresh_from_db()
    assert model.champion_id != second.pk
    assert http.post(action(second, "promote"), {"reason": "tried by hand"}).status_code == 302
    model.refresh_from_db()
    event = model.events.latest("count")
    assert model.champion_id == second.pk
    assert (event.reason, event.cause, event.actor) == ("tried by hand", "manual", http_name(http))


def http_name(http: Client) -> str:
    return User.objects.get(pk=http.session["_auth_user_id"]).username


def test_rolling_back_makes_the_champion_before_it_serve() -> None:
    model = factories.registered_model()
    first, _ = factories.champion(registered_model=model), factories.champion(registered_model=model)
    http = admin_pages.client(role="approver")
    assert f"v{first.number} ({first.label}), the champion before it" in text(http.get(action(model, "roll-back")))
    http.post(action(model, "roll-back"), {"reason": "bad on Sundays"})
    model.refresh_from_db()
    assert model.champion_id == first.pk


def test_a_refused_action_shows_the_sentence_the_next_step_and_the_code() -> None:
    model = factories.registered_model()
    factories.champion(registered_model=model)
    answer = admin_pages.client().post(action(model, "roll-back"), {"reason": "try it", "version": "7"})
    assert answer.status_code == 404
    assert f"{model} has no version 7." in text(answer)
    assert "Its versions go from 1 to 1." in text(answer)
    answer = admin_pages.client().post(action(model, "roll-back"), {"reason": "try it"})
    assert answer.status_code == 409
    assert "nothing_to_roll_back_to" in text(answer)


def test_what_is_immutable_is_not_saved_even_by_a_superuser() -> None:
    rows = admin_pages.one_of_each()
    http = admin_pages.client()
    for name in ("version", "event", "batch", "chunk", "run", "log", "forecast", "snapshot", "worker", "tick"):
        assert http.post(page(rows[name]), {"note": "changed", "_save": "1"}).status_code == 403, name
        delete = reverse(
            f"admin:{rows[name]._meta.app_label}_{rows[name]._meta.model_name}_delete", args=[rows[name].pk]
        )
        assert http.post(delete, {"post": "yes"}).status_code == 403, name
        add = reverse(f"admin:{rows[name]._meta.app_label}_{rows[name]._meta.model_name}_add")
        assert http.get(add).status_code == 403, name
    assert ModelVersion.objects.get().note == "plain words"


@pytest.mark.parametrize("kind", [RegisteredModel, ModelVersion, Event, Fleet, TrainingRun])
def test_a_list_asks_the_database_no_more_for_thirty_rows_than_for_one(
    kind: type[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.site._registry[kind], "list_per_page", 100)
    http = admin_pages.client()

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert http.get(listing(kind)).status_code == 200
        return len(found)

    def add() -> None:
        model = factories.registered_model()
        factories.champion(registered_model=model)
        factories.run(registered_model=model, state="failed", sentence="It failed.")

    add()
    one = queries()
    for _ in range(29):
        add()
    assert queries() == one <= 25


def test_a_long_list_is_counted_up_to_a_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "BOUND", 3)
    for _ in range(5):
        factories.fleet()
    http = admin_pages.client()
    with CaptureQueriesContext(connection) as found:
        answer = http.get(listing(Fleet))
    assert re.search(r"The first 3 of about \d+ fleets\.", text(answer))
    counts = [each["sql"] for each in found if "COUNT(" in each["sql"] and 'FROM "registry_fleet"' in each["sql"]]
    assert counts
    assert all("LIMIT 4" in each for each in counts)


def test_model_page_shows_champion_chart_and_ledger() -> None:
    model = factories.registered_model()
    factories.policy(fleet=model.fleet)
    version = factories.champion(registered_model=model)
    answer = admin_pages.client().get(page(model))
    said = text(answer)
    for words in (
        "Champion",
        f"v{version.number}",
        "Error over the versions",
        "Ledger",
        "registry.champion.promoted",
        "Retrain now",
    ):
        assert words in said
    assert answer.content.decode().count("<svg") == 1


def test_version_page_shows_every_check_with_value_reference_and_limit() -> None:
    rows = admin_pages.one_of_each()
    check = Check(
        rule="change",
        outcome="failed",
        sentence="MAE 0.231 against 0.203, +13.8 %, limit 10 %.",
        value=0.231,
        reference=0.203,
        limit=10.0,
    )
    report = GateReport(verdict=Verdict.FAILED, reason=check.sentence, checks=(check,), incumbent="twin")
    refused = factories.version(registered_model=rows["model"])
    move = lifecycle.Move(
        registered_model_id=rows["model"].pk,
        version_id=refused.pk,
        expected_id=None,
        report=report,
        reason=report.reason,
    )
    lifecycle.reject([move], actor="training", cause="gate", at=factories.NOW)
    said = text(admin_pages.client().get(page(refused)))
    for words in ("change", "refused", "0.231", "0.203", "10", check.sentence, refused.artifact_digest):
        assert words in said


def test_the_sidebar_counts_what_needs_attention() -> None:
    answer = admin_pages.client().get("/admin/")
    items = answer.context["sidebar_navigation"][0]["items"]
    assert str(items[0]["badge_callback"]) == str(len(answer.context["items"]))


COMES_NEXT = "The next retraining may promote another version. Pause the model to stay on this one."


def test_who_promotes_or_rolls_back_is_told_that_the_next_retraining_may_undo_it() -> None:
    model = factories.registered_model()
    factories.champion(registered_model=model)
    factories.champion(registered_model=model)
    waiting = factories.version(registered_model=model)
    http = admin_pages.client(role="approver")
    assert COMES_NEXT in text(http.get(action(waiting, "promote")))
    assert COMES_NEXT in text(http.get(action(model, "roll-back")))
    answer = http.post(action(model, "roll-back"), {"reason": "bad on Sundays"}, follow=True)
    assert f"{model} is back on v1" in text(answer)
    assert COMES_NEXT in text(answer)


def test_a_name_reads_as_it_is_in_heading_and_on_the_champion_card() -> None:
    model = factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="store00")
    answer = admin_pages.client(role="viewer").get(page(model))
    heading = answer.content.decode().split("<h1")[1].split("</h1>")[0]
    assert str(model) in heading
    assert str(model).capitalize() not in heading
    assert "Registered models" in heading
    assert f"Champion of {model}" in text(answer)
