"""Batches, runs and the first page where there are very many: counted elsewhere, sampled, or found by an index."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks.admin import asking
from monitoring import endings
from registry import counting, permissions, timestamps
from tests import admin_pages, factories
from tests.admin_pages import listing, page, text
from training.admin import batches
from training.models import Forecast, RunLog, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


def counts_of(address: str) -> list[str]:
    http = admin_pages.client()
    with CaptureQueriesContext(connection) as asked:
        assert http.get(address).status_code == 200
    return [each["sql"] for each in asked if asking.is_exact_count(each["sql"])]


def test_a_large_batch_is_not_counted_for_its_page_but_told_as_the_sweep_counted_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = factories.batch(fleet=factories.fleet(), counts={"succeeded": 7, "queued": 5}, expected=12)
    assert counts_of(page(batch))
    monkeypatch.setattr(batches, "COUNTED_AT_ONCE", 11)
    assert counts_of(page(batch)) == []
    said = text(admin_pages.client().get(page(batch)))
    assert "58" in said and "7" in said


@pytest.mark.parametrize("kind", [TrainingRun, RunLog, Forecast])
def test_many_rows_of_a_page_ask_no_more_than_few(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    http = admin_pages.client()
    now = timestamps.utc_now()
    for _ in range(14):
        model = factories.registered_model()
        version = factories.champion(registered_model=model)
        run = factories.run(registered_model=model, state="succeeded", version=version)
        RunLog.objects.create(run=run, at=now, level="info", message="said")
        Forecast.objects.create(
            version=version, cutoff=now, published_at=now, time=[now], yhat=[1.0], lower=[None], upper=[None]
        )

    def queries(per_page: int) -> int:
        monkeypatch.setattr(admin.site._registry[kind], "list_per_page", per_page)
        with CaptureQueriesContext(connection) as found:
            assert len(http.get(listing(kind)).context["cl"].result_list) == per_page
        return len(found)

    assert queries(2) == queries(12)


def test_runs_asked_for_since_an_instant_are_those_and_are_found_by_their_ids() -> None:
    now = timestamps.utc_now()
    model = factories.registered_model()
    late = factories.run(registered_model=model, requested_at=now, state="failed")
    factories.run(registered_model=model, requested_at=now - timedelta(days=3), state="failed")
    http = admin_pages.client()
    since = (now - timedelta(days=1)).isoformat()
    with CaptureQueriesContext(connection) as asked:
        answer = http.get(listing(TrainingRun), {"requested_at__gte": since})
    assert [run.pk for run in answer.context["cl"].result_list] == [late.pk]
    [rows] = [each["sql"] for each in asked if "ORDER BY" in each["sql"] and '"requested_at" >=' in each["sql"]]
    assert '"training_trainingrun"."id" >=' in rows
    assert http.get(listing(TrainingRun), {"requested_at__gte": "2020-01-01T00:00:00Z"}).status_code == 200


def test_outcomes_of_very_many_runs_are_sampled_but_failures_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timestamps.utc_now()
    model = factories.registered_model()
    for state, verdict, number in (("succeeded", "passed", 6), ("failed", "", 2)):
        for _ in range(number):
            factories.run(registered_model=model, requested_at=now, finished_at=now, state=state, verdict=verdict)
    request: Any = type("Request", (), {"user": None, "visible_tenants": permissions.ALL})()
    few = endings.card(request, now=now)
    assert ([(name, number) for number, name, _ in few["totals"]], few["note"]) == (
        [("promoted", 6), ("failed", 2)],
        "",
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE training_trainingrun")
    monkeypatch.setattr(counting, "BOUND", 7)
    monkeypatch.setattr(counting.of, "__kwdefaults__", {"bound": 7, "seconds": None})
    many = endings.card(request, now=now)
    assert [(name, str(number)) for number, name, _ in many["totals"]] == [("promoted", "about 6"), ("failed", "2")]
    assert many["note"]
