"""Lists and figures of very many rows: bounded, estimated beyond the bound, and always found by an index."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from benchmarks.admin import asking
from registry import counting
from registry.admin import filters, finding, paging
from registry.models import Event, Fleet, Hold, ModelVersion, RegisteredModel
from tests import admin_pages, factories
from tests.admin_pages import listing, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


def analyse() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE registry_fleet")


def keys(answer: Any) -> list[Any]:
    return [row.pk for row in answer.context["cl"].result_list]


def test_what_is_within_the_bound_is_counted_exactly() -> None:
    for _ in range(5):
        factories.fleet()
    found = counting.of(Fleet.objects.all(), bound=5)
    assert (found, str(found), counting.plain(found)) == (counting.Count(number=5), "5", 5)


def test_what_is_beyond_the_bound_is_about_what_the_planner_expects() -> None:
    for _ in range(12):
        factories.fleet()
    analyse()
    found = counting.of(Fleet.objects.all(), bound=5)
    assert (found.number, found.is_exact, str(found)) == (12, False, "about 12")
    assert counting.plain(found) is found


def test_an_expected_number_tells_two_figures_and_is_never_below_what_was_counted() -> None:
    assert str(counting.about(123_456)) == "about 120,000"
    for name in ("few-1", "few-2", "few-3"):
        factories.fleet(name=name)
    analyse()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_class SET reltuples = 1 WHERE relname = 'registry_fleet'")
    assert counting.of(Fleet.objects.filter(name__startswith="few"), bound=2).number >= 3


def slow() -> QuerySet[Fleet]:
    return Fleet.objects.extra(where=["pg_sleep(5) IS NOT NULL"])


def test_a_count_that_takes_too_long_is_given_up_and_the_deadline_with_it() -> None:
    factories.fleet()
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        before = cursor.fetchone()
        assert not counting.of(slow(), seconds=0.05).is_exact
        assert counting.of(Fleet.objects.all(), seconds=0.5).number == 1
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == before


def test_of_a_list_that_could_not_be_counted_the_first_rows_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "COUNT_SECONDS", 0.05)
    found = paging.BoundedPaginator(slow(), 50)
    factories.fleet()
    assert (found.more, found.count, found.unknown) == (True, paging.UNCOUNTED, True)


def test_pages_follow_each_other_without_a_gap_and_in_order() -> None:
    for place in range(7):
        factories.fleet(name=f"fleet-{place}")
    pages = paging.BoundedPaginator(Fleet.objects.select_related().order_by("-name"), 3)
    names = [fleet.name for number in pages.page_range for fleet in pages.page(number).object_list]
    assert names == [f"fleet-{place}" for place in range(6, -1, -1)]


def test_a_page_is_found_by_keys_alone_before_other_tables_are_read() -> None:
    for _ in range(3):
        factories.champion(registered_model=factories.registered_model())
    rows = ModelVersion.objects.select_related("registered_model__fleet").order_by("-created_at", "-id")
    with CaptureQueriesContext(connection) as asked:
        assert len(paging.BoundedPaginator(rows, 2).page(1).object_list) == 2
    found = [each["sql"] for each in asked if "OFFSET" in each["sql"] or "LIMIT 2" in each["sql"]]
    assert found
    assert not any("JOIN" in each for each in found)


@pytest.mark.parametrize("kind", [Fleet, RegisteredModel, ModelVersion, Event, Hold])
def test_many_rows_of_a_page_ask_no_more_than_few(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    http = admin_pages.client()

    def add() -> None:
        version = factories.champion(registered_model=factories.registered_model())
        Hold.objects.create(version=version, placed_by="user", reason="kept")

    def queries(per_page: int) -> int:
        monkeypatch.setattr(admin.site._registry[kind], "list_per_page", per_page)
        with CaptureQueriesContext(connection) as found:
            assert len(http.get(listing(kind)).context["cl"].result_list) == per_page
        return len(found)

    for _ in range(14):
        add()
    assert queries(2) == queries(12)


def test_only_columns_with_an_index_can_be_sorted_by_in_the_tables_that_grow_with_the_fleet() -> None:
    http = admin_pages.client()
    allowed = {RegisteredModel: {"entity_key"}, ModelVersion: {"name", "created"}, Event: {"at_time"}, Hold: {"placed"}}
    for kind, columns in allowed.items():
        assert set(http.get(listing(kind)).context["cl"].sortable_by) == columns, kind
    with CaptureQueriesContext(connection) as asked:
        assert http.get(listing(Hold), {"o": "3"}).status_code == 200
    assert not [each["sql"] for each in asked if 'ORDER BY "registry_hold"."reason"' in each["sql"]]


def test_the_filter_of_an_index_offers_each_value_once_and_filters_by_it() -> None:
    model = factories.registered_model()
    factories.champion(registered_model=model)
    factories.champion(registered_model=model)
    kinds = sorted(set(Event.objects.values_list("kind", flat=True)))
    assert len(kinds) < Event.objects.count()
    http = admin_pages.client()
    said = http.get(listing(Event))
    [spec] = [each for each in said.context["cl"].filter_specs if each.title == "kind"]
    assert [value for value, _ in spec.lookup_choices] == kinds
    for kind in kinds:
        found = http.get(listing(Event), {"kind": kind})
        assert keys(found) == list(Event.objects.filter(kind=kind).order_by("-id").values_list("pk", flat=True))


def test_the_filter_of_an_index_does_not_read_each_row() -> None:
    assert "DISTINCT" not in filters._STEPS
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + filters._STEPS.format(table="registry_event", column="kind", most=9))
        assert "event_of_kind" in str(cursor.fetchall())


@pytest.mark.parametrize("most", [0, 200])
def test_a_search_finds_the_rows_of_the_entities_it_names(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_MODELS", most)
    fleet = factories.fleet()
    wanted = factories.registered_model(fleet=fleet, entity_key="bread-7")
    other = factories.registered_model(fleet=fleet, entity_key="milk-7")
    versions = {model.pk: factories.champion(registered_model=model) for model in (wanted, other)}
    holds = {key: Hold.objects.create(version=each, placed_by="user", reason="kept") for key, each in versions.items()}
    http = admin_pages.client()
    for kind, row in ((ModelVersion, versions[wanted.pk]), (Hold, holds[wanted.pk]), (RegisteredModel, wanted)):
        assert keys(http.get(listing(kind), {"q": "read-"})) == [row.pk], kind
        assert keys(http.get(listing(kind), {"q": "cheese"})) == [], kind
    found = Event.objects.filter(registered_model=wanted).order_by("-id").values_list("pk", flat=True)
    assert keys(http.get(listing(Event), {"q": "read-"})) == list(found)


def test_other_texts_are_found_in_the_newest_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    version = factories.champion(registered_model=factories.registered_model())
    old, new = (Hold.objects.create(version=version, placed_by="user", reason=f"audit {n}") for n in range(2))
    http = admin_pages.client()
    assert keys(http.get(listing(Hold), {"q": "audit"})) == [new.pk, old.pk]
    monkeypatch.setattr(finding, "NEWEST", 1)
    assert keys(http.get(listing(Hold), {"q": "audit"})) == [new.pk]


def test_a_selection_of_nothing_is_told_and_not_asked_about() -> None:
    hold = Hold.objects.create(
        version=factories.version(registered_model=factories.registered_model()), placed_by="user", reason="kept"
    )
    form = {"action": "lift", "_selected_action": [hold.pk], "select_across": "1"}
    answer = admin_pages.client().post(f"{listing(Hold)}?q=cheese", form, follow=True)
    assert "None of the chosen rows is left in this list" in text(answer)


def test_a_search_of_a_person_does_not_name_models_of_others() -> None:
    theirs = factories.registered_model(fleet=factories.fleet(tenant="other"), entity_key="bread-1")
    factories.champion(registered_model=theirs)
    http = admin_pages.client(role="viewer")
    for kind in (ModelVersion, Event, RegisteredModel):
        assert keys(http.get(listing(kind), {"q": "bread"})) == []


def test_a_fleet_of_more_models_than_are_counted_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = factories.fleet()
    for _ in range(3):
        factories.registered_model(fleet=fleet)
    http = admin_pages.client()
    assert re.search(r">3</a>", http.get(listing(Fleet)).content.decode())
    monkeypatch.setattr(counting, "BOUND", 2)
    assert "over 2" in text(http.get(listing(Fleet)))


def test_no_page_counts_a_table_that_grows_without_a_bound() -> None:
    rows = admin_pages.one_of_each()
    http = admin_pages.client()
    for row in rows.values():
        for address in (listing(type(row)), admin_pages.page(row), "/admin/"):
            with CaptureQueriesContext(connection) as asked:
                assert http.get(address).status_code == 200
            # A batch of few runs is counted from these; `tests/training/test_admin_sizes.py` has the large one.
            counts = [each["sql"] for each in asked if asking.is_exact_count(each["sql"])]
            assert [each for each in counts if "WHERE batch_id =" not in each] == [], address
