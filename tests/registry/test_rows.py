"""Rows written in one statement are those that were given, in their order; rows read plainly are whole objects."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from registry import rows
from registry.models import Bookmark, Event, Fleet, MetricSettings, ModelVersion, Tick
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def ticks(*names: str) -> list[Tick]:
    return [Tick(name=name, at=NOW) for name in names]


def fleets(*names: str) -> list[Fleet]:
    kind = {"tenant": "acme", "kind": "forecast", "frequency": "D"}
    return [Fleet(name=name, metric_settings=MetricSettings(primary="wape"), **kind) for name in names]


def test_keys_follow_the_order_of_the_rows() -> None:
    given = fleets(*(f"fleet-{number}" for number in range(300)))
    keys = rows.insert(given)
    assert keys == sorted(keys) == [each.pk for each in given]
    assert list(Fleet.objects.order_by("pk").values_list("name", flat=True)) == [each.name for each in given]


def test_what_the_database_fills_in_is_left_to_it_and_the_rest_is_stored() -> None:
    [given] = fleets("one")
    rows.insert([given])
    stored = Fleet.objects.get(pk=given.pk)
    assert (stored.metric_settings, stored.tags, stored.export) == (MetricSettings(primary="wape"), [], given.export)
    assert stored.created_at is not None


def test_an_inserted_object_is_changed_by_saving_it_again() -> None:
    [given] = fleets("one")
    rows.insert([given])
    given.unit = "kg"
    given.save(update_fields=["unit"])
    assert list(Fleet.objects.values_list("name", "unit")) == [("one", "kg")]


def test_rows_are_left_out_where_a_condition_does_not_hold() -> None:
    assert rows.insert(fleets("one"), only_if="false") == []
    assert rows.insert(ticks("a"), only_if="EXISTS (SELECT FROM registry_fleet)") == []
    assert rows.insert(ticks("a"), only_if="NOT EXISTS (SELECT FROM registry_fleet)") == ["a"]


def test_a_statement_beside_is_carried_out_once() -> None:
    rows.insert(ticks("a"))
    moved = rows.Beside(statement="UPDATE registry_tick SET name = %s WHERE name = 'a'", values=["moved"])
    rows.insert(ticks("b"), beside=[moved])
    assert set(Tick.objects.values_list("name", flat=True)) == {"moved", "b"}


def test_rows_of_two_tables_are_written_in_one_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    others = ticks("b", "c")
    with django_assert_num_queries(1):
        rows.insert(fleets("one"), beside=[rows.insertion(others)])
    rows.note(others)
    assert list(Fleet.objects.values_list("name", flat=True)) == ["one"]
    assert set(Tick.objects.values_list("name", flat=True)) == {"b", "c"}
    assert not any(each._state.adding for each in others)


def test_no_rows_need_no_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        assert rows.insert([]) == []


def test_json_that_its_column_refuses_is_refused() -> None:
    [wrong] = fleets("wrong")
    wrong.metric_settings = MetricSettings(zero_below=float("nan"))
    with pytest.raises(ValidationError):
        rows.insert([wrong])
    assert not Fleet.objects.exists()


def test_what_is_read_plainly_is_what_a_queryset_reads() -> None:
    model = factories.registered_model(tags=["a"])
    statement = f"SELECT {rows.columns(Fleet, 'f')} FROM registry_fleet AS f WHERE f.id = %s"
    [row] = rows.found(statement, [model.fleet_id])
    read, expected = rows.made(Fleet, row), Fleet.objects.get(pk=model.fleet_id)
    names = [field.attname for field in Fleet._meta.concrete_fields]
    assert [getattr(read, name) for name in names] == [getattr(expected, name) for name in names]
    assert not read._state.adding
    assert len(row) == rows.width(Fleet)


def test_columns_of_an_object_with_a_key_of_its_own_are_all_written() -> None:
    rows.insert([Bookmark(name="reader", txid=7, event_id=8, at=NOW)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT txid, event_id, at FROM registry_bookmark")
        assert cursor.fetchall() == [(7, 8, NOW)]


def test_an_instant_whose_offset_has_seconds_is_that_instant() -> None:
    old = datetime(1880, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert str(old.utcoffset()) == "0:53:28"
    rows.insert([Tick(name="old", at=old)])
    assert Tick.objects.get().at == old


def test_words_that_json_has_for_no_number_are_stored_as_words() -> None:
    words = ["NaN", "-Infinity"]
    rows.insert([Fleet(tenant="acme", name="words", kind="forecast", frequency="D", unit="NaN", tags=words)])
    assert Fleet.objects.values_list("unit", "tags").get() == ("NaN", words)


def test_a_number_that_json_does_not_have_is_refused_in_any_column() -> None:
    made = factories.version(registered_model=factories.registered_model())
    with pytest.raises(ValueError, match="not JSON compliant"):
        rows.insertion([ModelVersion(registered_model_id=made.registered_model_id, extra={"a": [float("inf")]})])


def test_a_row_to_come_is_what_its_class_makes_of_the_same_values() -> None:
    values = {"kind": "x", "actor": "test", "cause": "manual", "at": NOW, "count": 3}
    made, expected = rows.new(Event, **values), Event(**values)
    names = [field.attname for field in Event._meta.concrete_fields]
    assert [type(getattr(made, name)) for name in names] == [type(getattr(expected, name)) for name in names]
    assert all(getattr(made, name) == value for name, value in values.items())
    assert made._state.adding and made.pk is None


def test_what_was_prepared_is_what_is_stored() -> None:
    given = fleets("one", "two")
    settings = [{"primary": "mae"}, {"primary": "bias"}]
    rows.insert(given, prepared={"metric_settings": settings})
    assert [each.metric_settings.primary for each in Fleet.objects.order_by("pk")] == ["mae", "bias"]
