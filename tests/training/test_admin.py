"""Training's pages: asking, cancelling, pausing with a reason; runs, batches and policies say what a person needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from registry import lifecycle, ticks, timestamps
from registry.models import ModelVersion, RegisteredModel
from registry.reports import Check, GateReport, Verdict
from tests import admin_pages, factories
from tests.admin_pages import action, listing, page, text
from training import scheduling
from training.models import Batch, RetrainingPolicy, RunLog, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


def governed(**values: Any) -> RegisteredModel:
    fleet = factories.fleet()
    factories.policy(fleet=fleet)
    return factories.registered_model(fleet=fleet, **values)


def name_of(http: Client) -> str:
    return User.objects.get(pk=http.session["_auth_user_id"]).username


@pytest.mark.requirement("U04")
def test_retrain_now_writes_a_run_with_who_and_why_and_leads_to_its_page() -> None:
    model = governed()
    http = admin_pages.client(role="operator")
    asked = text(http.get(action(model, "retrain")))
    assert f"Retrain {model}" in asked
    assert "No live worker serves the queue interactive" in asked
    assert not TrainingRun.objects.exists()
    answer = http.post(action(model, "retrain"), {"reason": "prices changed", "days": "60"})
    run = TrainingRun.objects.get()
    assert answer.headers["Location"] == page(run)
    assert (run.state, run.queue, run.batch.look_back_days) == ("queued", "interactive", 60)
    assert [(each.trigger, each.sentence, each.actor) for each in run.reasons] == [
        ("manual", "prices changed", name_of(http))
    ]


def test_retrain_now_for_a_fleet_leads_to_the_page_of_its_batch() -> None:
    model = governed()
    factories.registered_model(fleet=model.fleet)
    answer = admin_pages.client(role="operator").post(action(model.fleet, "retrain"), {"reason": "new data"})
    batch = Batch.objects.get()
    assert answer.headers["Location"] == page(batch)
    assert (batch.queue, batch.expected, batch.discovers) == ("training", 2, True)


def test_selected_models_are_confirmed_on_one_page_and_retrained() -> None:
    first = governed()
    second = factories.registered_model(fleet=first.fleet)
    factories.registered_model(fleet=first.fleet)
    http = admin_pages.client(role="operator")
    body = {"action": "retrain", "_selected_action": [first.pk, second.pk]}
    answer = http.post(listing(RegisteredModel), body, follow=True)
    assert answer.status_code == 200
    assert str(first) in text(answer)
    assert not TrainingRun.objects.exists()
    address = reverse("admin:registry_registeredmodel_act_many", args=["retrain"])
    http.post(address, {"reason": "both of them", "ids": f"{first.pk},{second.pk}"})
    assert {run.registered_model_id for run in TrainingRun.objects.all()} == {first.pk, second.pk}


def test_rows_of_a_foreign_tenant_cannot_be_smuggled_into_a_selection() -> None:
    model = governed()
    foreign = factories.registered_model(fleet=factories.fleet(tenant="other"))
    http = admin_pages.client(role="operator")
    address = reverse("admin:registry_registeredmodel_act_many", args=["retrain"])
    assert http.post(address, {"reason": "mine and theirs", "ids": f"{foreign.pk}"}).status_code == 404
    http.post(address, {"reason": "mine and theirs", "ids": f"{model.pk},{foreign.pk}"})
    assert [run.registered_model_id for run in TrainingRun.objects.all()] == [model.pk]
    assert http.post(address, {"reason": "nonsense", "ids": "one,two"}).status_code == 404


def test_a_look_back_beyond_its_limits_is_refused_in_a_sentence() -> None:
    model = governed()
    answer = admin_pages.client().post(action(model, "retrain"), {"reason": "far back", "days": "99999"})
    assert "From 1 to 3660 days, not 99999." in text(answer)
    assert not TrainingRun.objects.exists()


def test_retraining_without_a_policy_is_refused_with_the_next_step() -> None:
    model = factories.registered_model()
    answer = admin_pages.client().post(action(model, "retrain"), {"reason": "try it"})
    assert answer.status_code == 409
    assert "has no enabled policy" in text(answer)
    assert "Nothing was changed." in text(answer)


def test_cancelling_ends_the_run_and_says_by_whom() -> None:
    run = factories.run(registered_model=governed())
    http = admin_pages.client(role="operator")
    assert str(run.registered_model) in text(http.get(action(run, "cancel")))
    http.post(action(run, "cancel"), {"reason": "wrong data"})
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert name_of(http) in run.sentence
    assert "wrong data" in run.sentence
    answer = http.post(action(run, "cancel"), {"reason": "again"})
    assert answer.status_code == 409
    assert "has already ended" in text(answer)


@pytest.mark.requirement("U04")
def test_the_record_of_an_ended_run_is_deleted_and_one_that_made_a_version_is_kept() -> None:
    model = governed()
    failed = factories.run(registered_model=model, state="failed")
    kept = factories.run(registered_model=model, state="succeeded", version=factories.version(registered_model=model))
    http = admin_pages.client(role="approver")
    http.post(action(failed, "delete-record"), {"reason": "noise"})
    assert http.post(action(kept, "delete-record"), {"reason": "noise"}).status_code == 409
    assert [run.pk for run in TrainingRun.objects.all()] == [kept.pk]


def test_a_policy_is_paused_and_resumed_with_a_line_in_the_ledger() -> None:
    policy = factories.policy(fleet=factories.fleet(), managed_by="a" * 64)
    scheduling.plan(policy, now=timestamps.utc_now())
    http = admin_pages.client(role="operator")
    http.post(action(policy, "pause"), {"reason": "stocktaking"})
    policy.refresh_from_db()
    assert (policy.paused, policy.next_due_at) == (True, None)
    http.post(action(policy, "resume"), {"reason": "all counted"})
    policy.refresh_from_db()
    assert not policy.paused
    assert policy.next_due_at is not None
    assert policy.next_due_at > timestamps.utc_now()
    events = policy.fleet.events.order_by("id").values_list("kind", "reason", "actor")
    assert list(events) == [
        ("training.policy.paused", f"{policy.name}: stocktaking", name_of(http)),
        ("training.policy.resumed", f"{policy.name}: all counted", name_of(http)),
    ]


def test_policy_page_shows_cron_zone_three_slots_last_slot_with_its_outcome_and_the_last_tick() -> None:
    policy = factories.policy(fleet=factories.fleet(), cron="30 18 * * *", time_zone="Asia/Colombo")
    now = timestamps.utc_now()
    scheduling.plan(policy, now=now)
    batch = factories.batch(
        fleet=policy.fleet, policy=policy, slot=now - timedelta(days=1), state="done", counts={"succeeded": 3}
    )
    ticks.record("due-slots", at=now)
    answer = admin_pages.client(role="viewer").get(page(policy))
    said = text(answer)
    for slot in scheduling.next_slots(policy, after=now, count=3):
        assert f"{slot:%Y-%m-%d %H:%M} UTC" in said
        assert f"{slot + timedelta(hours=5, minutes=30):%Y-%m-%d %H:%M}" in said
    for words in ("30 18 * * *", "every day at 18:30", "Asia/Colombo", "3 succeeded", f"{now:%Y-%m-%d %H:%M:%S} UTC"):
        assert words in said
    assert page(batch) in answer.content.decode()


def test_an_edited_schedule_acts_at_once_and_a_wrong_one_is_refused_in_a_sentence() -> None:
    policy = factories.policy(fleet=factories.fleet())
    http = admin_pages.client(role="admin")
    answer = http.get(page(policy))
    form = answer.context["adminform"].form
    body = {field.name: "" if field.value() is None else field.value() for field in form}
    body = {name: form[name].field.prepare_value(value) if name in JSON else value for name, value in body.items()}
    answer = http.post(page(policy), {**body, "cron": "99 18 * * *"})
    assert "is not a cron expression" in text(answer)
    answer = http.post(page(policy), {**body, "time_zone": "Europe/Berlinn"})
    assert "There is no time zone" in text(answer)
    assert http.post(page(policy), {**body, "cron": "15 4 * * *"}).status_code == 302
    policy.refresh_from_db()
    assert policy.next_due_at is not None
    assert (policy.cron, policy.next_due_at.hour, policy.next_due_at.minute) == ("15 4 * * *", 4, 15)


JSON = ("selector", "trainers", "triggers", "expectations", "gate_limits", "tuning", "caps")


def test_a_policy_cannot_read_a_source_of_another_tenant() -> None:
    fleet = factories.fleet(tenant="acme")
    foreign = factories.source(tenant="other")
    http = admin_pages.client(role="admin", tenants=("acme",))
    body = {"fleet": fleet.pk, "source": foreign.pk, "name": "spy", "cron": "0 1 * * *", "time_zone": "UTC"}
    answer = http.post(reverse("admin:training_retrainingpolicy_add"), body)
    assert answer.status_code == 200
    assert "source" in answer.context["adminform"].form.errors
    assert not RetrainingPolicy.objects.exists()


def test_a_run_that_failed_says_code_sentence_and_next_step() -> None:
    model = governed()
    run = factories.run(
        registered_model=model,
        state="failed",
        code="series_too_short",
        sentence="29 observations are fewer than 30.",
        next_step="Widen the look-back.",
        attempt=2,
    )
    RunLog.objects.create(run=run, at=factories.NOW, level="warning", message="one gap of 2 days")
    said = text(admin_pages.client(role="viewer").get(page(run)))
    for words in (
        "failed",
        "series_too_short",
        "29 observations are fewer than 30.",
        "Next step: Widen the look-back.",
        "one gap of 2 days",
    ):
        assert words in said


@pytest.mark.requirement("E02")
def test_a_run_that_was_not_promoted_shows_rule_both_values_and_limit() -> None:
    sentence = "MAE 0.231 against 0.203, +13.8 %, limit 10 %."
    check = Check(rule="change", outcome="failed", sentence=sentence, value=0.231, reference=0.203, limit=10.0)
    report = GateReport(verdict=Verdict.FAILED, reason=sentence, checks=(check,))
    run = factories.run(
        registered_model=governed(), state="succeeded", verdict="failed", report=report, sentence=sentence
    )
    answer = admin_pages.client(role="viewer").get(page(run))
    cells = [cell.strip() for cell in answer.content.decode().split("<td")]
    assert sentence in text(answer)
    for value in ("0.231", "0.203", "10"):
        assert any(cell.endswith(f"{value}</td>") for cell in cells), value
    assert "refused" in text(answer)


def test_an_open_run_is_followed_live_until_it_rests() -> None:
    run = factories.run(registered_model=governed(), state="running", phase="fitting", percent=45)
    http = admin_pages.client(role="viewer")
    live = reverse("admin:training_trainingrun_live", args=[run.pk])
    assert f'hx-get="{live}"' in http.get(page(run)).content.decode()
    assert "45 %" in text(http.get(live))
    TrainingRun.objects.filter(pk=run.pk).update(state="failed", finished_at=factories.NOW)
    assert http.get(live)["HX-Refresh"] == "true"
    assert "hx-get" not in http.get(page(run)).content.decode().split('id="panels"')[1].split(">")[0]


def test_the_live_panels_of_a_foreign_run_do_not_exist() -> None:
    run = factories.run(
        registered_model=factories.registered_model(fleet=factories.fleet(tenant="other")), state="running"
    )
    live = reverse("admin:training_trainingrun_live", args=[run.pk])
    assert admin_pages.client(role="admin").get(live).status_code == 404


def test_batch_page_counts_by_state_and_each_number_leads_to_its_list() -> None:
    first = governed()
    models = [first, *(factories.registered_model(fleet=first.fleet) for _ in range(3))]
    batch = factories.batch(fleet=first.fleet, expected=4)
    for model, state in zip(models, ("succeeded", "succeeded", "failed", "queued"), strict=True):
        factories.run(registered_model=model, batch=batch, state=state)
    http = admin_pages.client(role="viewer")
    answer = http.get(page(batch))
    assert "75 % of 4 runs ended" in text(answer)
    for state, number in (("succeeded", 2), ("failed", 1), ("queued", 1)):
        address = f"{listing(TrainingRun)}?batch__id__exact={batch.pk}&amp;state__exact={state}"
        assert address in answer.content.decode()
        assert http.get(address.replace("&amp;", "&")).context["cl"].result_count == number


def test_the_model_page_shows_the_published_forecast_and_the_runs() -> None:
    rows = admin_pages.one_of_each()
    answer = admin_pages.client(role="viewer").get(page(rows["model"]))
    assert "Published forecast" in text(answer)
    assert 'class="pn-band"' in answer.content.decode()
    assert page(rows["run"]) in answer.content.decode()


def test_the_fleet_page_lists_models_with_champion_and_last_run() -> None:
    model = governed()
    version = factories.champion(registered_model=model)
    factories.run(registered_model=model, state="failed", sentence="29 observations are fewer than 30.")
    said = text(admin_pages.client(role="viewer").get(page(model.fleet)))
    for words in (model.entity_key, f"v{version.number}", "failing", "29 observations are fewer than 30."):
        assert words in said


FAILED_READING = {
    "state": "done",
    "halted": True,
    "code": "source_unreachable",
    "sentence": "The source shop did not answer.",
    "next_step": "Look whether its database runs.",
    "finished_at": factories.NOW,
}


@pytest.mark.requirement("U04")
def test_a_batch_whose_reading_failed_reads_as_failed_with_reason_and_next_step_wherever_it_is_listed() -> None:
    model = governed()
    policy = RetrainingPolicy.objects.get()
    batch = factories.batch(fleet=model.fleet, policy=policy, slot=factories.NOW, **FAILED_READING)
    http = admin_pages.client(role="viewer")
    for address in (listing(Batch), page(batch), page(model.fleet), page(policy)):
        answer = http.get(address)
        said = text(answer)
        for words in ("source_unreachable", "The source shop did not answer.", "Look whether its database runs."):
            assert words in said, (address, words)
        badges = [badge.split("</span>")[1] for badge in answer.content.decode().split('class="pn-badge pn-bad"')[1:]]
        assert "failed" in badges, address
        assert "</span>done</span>" not in answer.content.decode(), address


def test_a_batch_that_ended_is_not_said_to_be_read_still() -> None:
    fleet = governed().fleet
    failed, reading = factories.batch(fleet=fleet, **FAILED_READING), factories.batch(fleet=fleet)
    http = admin_pages.client(role="viewer")
    assert "Its source is being read" in text(http.get(page(reading)))
    said = text(http.get(page(failed)))
    assert "Its source is being read" not in said
    assert "It ended without a run." in said
    assert "no run was made" in said


def test_a_batch_that_ended_well_reads_as_done() -> None:
    batch = factories.batch(fleet=governed().fleet, state="done", finished_at=factories.NOW)
    for address in (listing(Batch), page(batch), page(batch.fleet)):
        body = admin_pages.client(role="viewer").get(address).content.decode()
        assert "</span>done</span>" in body
        assert 'class="pn-badge pn-bad"' not in body


def held(model: RegisteredModel) -> tuple[TrainingRun, ModelVersion]:
    version = factories.version(registered_model=model)
    move = lifecycle.Move(registered_model_id=model.pk, version_id=version.pk, expected_id=None)
    lifecycle.nominate([move], actor="t", cause="gate", at=factories.NOW)
    model.refresh_from_db()
    return factories.run(registered_model=model, state="succeeded", verdict="held", version=version), version


@pytest.mark.requirement("U04")
@pytest.mark.parametrize("served", [True, False])
def test_a_held_run_and_its_model_offer_the_promotion_of_what_waits(served: bool) -> None:
    model = governed()
    if served:
        factories.champion(registered_model=model)
    run, version = held(model)
    approver, viewer = admin_pages.client(role="approver"), admin_pages.client(role="viewer")
    for row in (run, model):
        answer = approver.get(page(row))
        assert f"Promote v{version.number}" in text(answer)
        assert f'href="{action(version, "promote")}"' in answer.content.decode()
        assert f"Promote v{version.number}" not in text(viewer.get(page(row)))
    assert approver.get(action(version, "promote")).status_code == 200


def test_a_held_run_whose_version_waits_no_longer_offers_nothing() -> None:
    model = governed()
    run, version = held(model)
    approver = admin_pages.client(role="approver")
    approver.post(action(version, "promote"), {"reason": "good enough"})
    for row in (run, model):
        assert f"Promote v{version.number}" not in text(approver.get(page(row)))


@pytest.mark.parametrize(
    ("verdict", "words"), [("passed", "last run passed"), ("failed", "last run refused"), ("", "champion serves")]
)
def test_the_condition_of_a_served_model_says_how_its_last_run_ended(verdict: str, words: str) -> None:
    model = governed()
    factories.champion(registered_model=model)
    factories.run(registered_model=model, state="succeeded", verdict=verdict)
    assert words in text(admin_pages.client(role="viewer").get(page(model.fleet)))


def test_a_quarantined_champion_shows_on_the_pages_of_its_model_and_its_fleet() -> None:
    model = governed()
    champion = factories.champion(registered_model=model)
    factories.run(registered_model=model, state="failed")
    lifecycle.quarantine([champion.pk], actor="ada", cause="manual", reason="Damaged.", at=factories.NOW)
    viewer = admin_pages.client(role="viewer")
    assert "quarantined" in text(viewer.get(page(model.fleet)))
    assert "quarantined the last good one before it answers" in text(viewer.get(page(model)))
