"""The first page: what needs attention comes first, numbers lead to the rows they count, tenants stay apart."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from monitoring import attention
from monitoring.attention import Item
from registry import export as exporting
from registry import lifecycle, ticks, timestamps
from registry.models import ExportSettings, ModelVersion
from registry.upkeep import store_watch
from tests import admin_pages, factories
from tests.admin_pages import text
from training.models import RetrainingPolicy, Worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


@pytest.fixture
def running(db: None) -> None:
    """Beat and workers, as they report themselves."""
    now = timestamps.utc_now()
    ticks.record("dispatch", at=now)
    Worker.objects.create(
        name="w", host="h", pid=1, queues=["control", "interactive", "training"], slots=2, started_at=now, seen_at=now
    )


def attended(http: Client) -> tuple[dict[str, Item], Any]:
    answer: Any = http.get("/admin/")
    return {item.what: item for item in answer.context["items"]}, answer


@pytest.mark.usefixtures("running")
def test_where_all_is_well_the_page_says_so() -> None:
    items, answer = attended(admin_pages.client())
    assert items == {}
    assert "Nothing. Beat ticks, workers live, no policy is late" in text(answer)


def test_a_silent_beat_and_absent_workers_come_first() -> None:
    factories.run(registered_model=factories.registered_model(), requested_at=timestamps.utc_now(), state="failed")
    items, _ = attended(admin_pages.client())
    assert [item.urgency for item in items.values()] == sorted(
        (item.urgency for item in items.values()), key=["critical", "warning"].index
    )
    assert next(iter(items)).startswith("Beat is silent")
    assert "No live worker serves the queue interactive." in items
    assert "No live worker serves the queue training." in items


@pytest.mark.usefixtures("running")
def test_a_store_that_is_away_is_among_the_first_and_gone_when_it_is_back(artifact_folder: Path) -> None:
    lifecycle.store_artifacts([b"bytes"], format="test-1")
    away = artifact_folder.rename(artifact_folder.with_name("away"))
    store_watch.look(at=timestamps.utc_now())
    items, answer = attended(admin_pages.client())
    [item] = items.values()
    assert item.urgency == "critical" and item.what.endswith("(store_unmarked)")
    assert "manage.py store" in text(answer)
    away.rename(artifact_folder)
    store_watch.look(at=timestamps.utc_now())
    assert attended(admin_pages.client())[0] == {}


@pytest.mark.usefixtures("running")
def test_every_number_leads_to_the_rows_that_it_counts() -> None:
    now = timestamps.utc_now()
    model = factories.registered_model()
    factories.champion(registered_model=model)
    waiting = factories.version(registered_model=model)
    lifecycle.nominate(
        [lifecycle.Move(registered_model_id=model.pk, version_id=waiting.pk, expected_id=None)],
        actor="t",
        cause="gate",
        at=now,
    )
    broken = factories.version(registered_model=model)
    other = factories.registered_model(fleet=model.fleet)
    served = factories.champion(registered_model=other)
    ModelVersion.objects.filter(pk__in=[broken.pk, served.pk]).update(state="quarantined")
    factories.run(registered_model=model, requested_at=now, finished_at=now, state="failed", code="series_too_short")
    factories.run(registered_model=model, requested_at=now, finished_at=now, state="failed", code="quarantined")
    factories.run(registered_model=model, requested_at=now, finished_at=now, state="succeeded", verdict="passed")
    factories.run(registered_model=model, requested_at=now)
    policy = factories.policy(fleet=model.fleet)
    RetrainingPolicy.objects.filter(pk=policy.pk).update(next_due_at=now - timedelta(hours=1))
    http = admin_pages.client()
    items, answer = attended(http)
    assert len(items) == 6
    for item in items.values():
        found = http.get(item.address)
        assert found.context["cl"].result_count == item.count, item.what
    for number, word, address in answer.context["figures"]:
        assert http.get(address).context["cl"].result_count == number, word
    for number, word, address in answer.context["outcomes"]["totals"]:
        assert http.get(address).context["cl"].result_count == number, word


@pytest.mark.usefixtures("running")
def test_what_could_not_be_exported_leads_to_the_page_that_says_why() -> None:
    fleets = [factories.fleet(name=name, export=ExportSettings(enabled=name != "off")) for name in ("bakery", "off")]
    models = [factories.registered_model(fleet=fleet) for fleet in (*fleets, fleets[0])]
    for model in models:
        exporting.note_failure(model.pk, code="export_failed", sentence="No space left.", at=timestamps.utc_now())
    http = admin_pages.client()
    items, _ = attended(http)
    [(what, item)] = items.items()
    assert (what.partition(":")[0], item.count) == ("Models of bakery could not be exported", 2)
    page = text(http.get(item.address))
    assert "2 failed" in page and "No space left." in page and models[0].entity_key in page


def test_a_person_sees_only_the_numbers_of_the_own_tenants() -> None:
    factories.run(registered_model=factories.registered_model(fleet=factories.fleet(tenant="other")), state="failed")
    http = admin_pages.client(role="viewer", tenants=("acme",))
    _, answer = attended(http)
    assert {number for number, _, _ in answer.context["figures"]} == {0}
    assert answer.context["troubled"]["rows"] == []


def test_the_page_asks_the_database_no_more_for_thirty_models_than_for_one() -> None:
    http = admin_pages.client()

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert http.get("/admin/").status_code == 200
        return len(found)

    def add() -> None:
        now = timestamps.utc_now()
        factories.run(registered_model=factories.registered_model(), requested_at=now, finished_at=now, state="failed")

    add()
    one = queries()
    for _ in range(29):
        add()
    assert queries() == one <= 30


def test_ids_below_an_instant_leave_out_what_was_made_before() -> None:
    now = timestamps.utc_now()
    made = factories.run(registered_model=factories.registered_model())
    assert attention.since(now - timedelta(minutes=1)) < made.pk < attention.since(now + timedelta(minutes=1))


@pytest.mark.usefixtures("running")
def test_batches_that_failed_need_attention_and_stand_among_what_failed() -> None:
    now = timestamps.utc_now()
    fleet = factories.fleet(name="shops")
    told = {
        "state": "done",
        "halted": True,
        "code": "source_unreachable",
        "sentence": "The source shop did not answer.",
        "next_step": "Look whether its database runs.",
    }
    factories.batch(fleet=fleet, requested_at=now, finished_at=now - timedelta(hours=1), **told)
    factories.batch(fleet=fleet, requested_at=now, finished_at=now - timedelta(days=2), **told)
    factories.batch(fleet=fleet, requested_at=now, finished_at=now, state="done")
    factories.batch(fleet=factories.fleet(tenant="other"), requested_at=now, finished_at=now, **told)
    http = admin_pages.client(role="viewer", tenants=("acme",))
    items, answer = attended(http)
    item = items.pop("Batches failed in the last 24 hours: their sources could not be read.")
    assert (items, item.urgency, item.count) == ({}, "critical", 1)
    assert http.get(item.address).context["cl"].result_count == 1
    assert len(answer.context["troubled"]["rows"]) == 2
    for words in ("shops", "The source shop did not answer.", "Look whether its database runs."):
        assert words in text(answer)
