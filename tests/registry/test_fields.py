"""A typed JSON column gives back exactly its dataclass, and refuses everything else."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from django import forms
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from registry import lifecycle
from registry.models import Event, Fleet, MetricSettings, ModelVersion, Retention
from registry.reports import GateReport, Scorecard, Verdict
from tests import factories
from training import policy_terms
from training.models import RetrainingPolicy, TrainingRun

pytestmark = pytest.mark.django_db


def stored(table: str, column: str, key: UUID | int) -> object:
    """What stands in the column, as the database sees it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column}::text FROM {table} WHERE id = %s", [key])
        text = cursor.fetchone()[0]
    return None if text is None else json.loads(text)


def test_a_dataclass_comes_back_as_it_was() -> None:
    fleet = factories.fleet(retention=Retention(keep=3), metric_settings=MetricSettings(primary="wape", zero_below=0.5))
    read = Fleet.objects.get(pk=fleet.pk)
    assert read.retention == Retention(keep=3)
    assert read.metric_settings == MetricSettings(primary="wape", zero_below=0.5)
    assert stored("registry_fleet", "retention", fleet.pk) == {
        "keep": 3,
        "younger_than_days": None,
        "served_within_days": None,
        "champions": None,
        "grace_days": None,
    }


def test_nested_tuples_and_enums_come_back_as_they_were() -> None:
    registered_model = factories.registered_model()
    report = factories.gate_report(verdict=Verdict.HELD)
    run = factories.run(registered_model=registered_model, report=report)
    read = TrainingRun.objects.get(pk=run.pk)
    assert read.report == report
    assert read.report is not None and read.report.verdict is Verdict.HELD and isinstance(read.report.checks, tuple)


def test_none_is_null_and_not_the_text_null() -> None:
    run = factories.run(registered_model=factories.registered_model(), report=None)
    assert TrainingRun.objects.get(pk=run.pk).report is None
    assert TrainingRun.objects.filter(report__isnull=True).count() == 1
    assert stored("training_trainingrun", "report", run.pk) is None


def test_a_tuple_of_dataclasses_comes_back_as_it_was() -> None:
    trainers = (
        policy_terms.TrainerChoice(name="ridge", params={"alpha": 0.1}),
        policy_terms.TrainerChoice(name="prophet"),
    )
    policy = factories.policy(fleet=factories.fleet(), trainers=trainers)
    assert RetrainingPolicy.objects.get(pk=policy.pk).trainers == trainers
    assert factories.policy(fleet=factories.fleet(), trainers=()).trainers == ()


def test_a_mapping_of_numbers_comes_back_as_it_was() -> None:
    batch = factories.batch(fleet=factories.fleet(), counts={"queued": 3})
    batch.refresh_from_db()
    assert batch.counts == {"queued": 3}


def test_floats_come_back_bit_by_bit() -> None:
    metrics = {"mae": 0.1 + 0.2, "rmse": 1e-320, "bias": -1.7976931348623157e308, "mape": None}
    version = factories.version(
        registered_model=factories.registered_model(), scorecard=Scorecard(metrics=metrics, reasons={"mape": "zeros"})
    )
    assert ModelVersion.objects.get(pk=version.pk).scorecard.metrics == metrics


def test_lookups_reach_into_the_json() -> None:
    registered_model = factories.registered_model()
    for mae in (1.0, 2.0):
        factories.version(registered_model=registered_model, scorecard=Scorecard(metrics={"mae": mae}))
    versions = ModelVersion.objects.all()
    assert versions.filter(scorecard__metrics__mae__gt=1.5).count() == 1
    assert versions.filter(scorecard__metrics__has_key="mae").count() == 2
    assert sorted(versions.values_list("scorecard__metrics__mae", flat=True)) == [1.0, 2.0]
    assert versions.order_by("-scorecard__metrics__mae")[0].scorecard.metrics == {"mae": 2.0}
    first = versions.order_by("number").values_list("scorecard", flat=True)[0]
    assert first == Scorecard(metrics={"mae": 1.0})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        factories.fleet(metric_settings=MetricSettings(zero_below=bad))


def test_a_metric_that_is_not_finite_never_enters_a_row() -> None:
    registered_model = factories.registered_model()
    with pytest.raises(lifecycle.MetadataInvalid, match="finite"), transaction.atomic():
        factories.version(registered_model=registered_model, scorecard=Scorecard(metrics={"mae": float("nan")}))
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize("bad", [{"keep": "many"}, {"unknown": 1}, [], "text", 7])
def test_what_is_not_the_declared_dataclass_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError):
        factories.fleet(retention=bad)


def test_an_update_of_many_rows_writes_the_dataclass() -> None:
    fleet = factories.fleet()
    Fleet.objects.update(retention=Retention(keep=9))
    fleet.refresh_from_db()
    assert fleet.retention == Retention(keep=9)


def test_a_bulk_update_writes_the_dataclass() -> None:
    fleets = [factories.fleet(), factories.fleet()]
    for number, fleet in enumerate(fleets, start=1):
        fleet.retention = Retention(keep=number)
    Fleet.objects.bulk_update(fleets, ["retention"])
    assert [fleet.retention.keep for fleet in Fleet.objects.order_by("pk")] == [1, 2]


def test_an_equal_dataclass_is_found_by_value() -> None:
    fleet = factories.fleet(retention=Retention(keep=4))
    assert Fleet.objects.filter(retention=Retention(keep=4)).get() == fleet


def test_a_form_shows_the_dataclass_and_takes_it_back_edited() -> None:
    form_class = forms.modelform_factory(Fleet, fields=["retention"])
    fleet = factories.fleet(retention=Retention(keep=3))
    html = str(form_class(instance=fleet)["retention"])
    assert "&quot;keep&quot;: 3" in html
    form = form_class({"retention": '{"keep": 8, "younger_than_days": null}'}, instance=fleet)
    assert form.is_valid(), form.errors
    form.save()
    assert Fleet.objects.get(pk=fleet.pk).retention == Retention(keep=8)


@pytest.mark.parametrize("text", ['{"keep": "many"}', '{"surplus": 1}', "{broken", "[]", '{"keep": NaN}'])
def test_a_form_names_the_error_of_what_it_refuses(text: str) -> None:
    form = forms.modelform_factory(Fleet, fields=["retention"])({"retention": text}, instance=factories.fleet())
    assert not form.is_valid()
    assert form.errors["retention"]


def test_a_form_that_was_not_touched_has_not_changed() -> None:
    form_class = forms.modelform_factory(Fleet, fields=["retention"])
    fleet = factories.fleet(retention=Retention(keep=3))
    shown = form_class(instance=fleet)["retention"].value()
    # A field with a default made by a call is shown a second time, hidden, as what it was.
    form = form_class({"retention": shown, "initial-retention": shown}, instance=fleet)
    assert not form.has_changed()


def test_fixtures_carry_the_dataclass() -> None:
    fleet = factories.fleet(retention=Retention(keep=3))
    [restored] = serializers.deserialize("json", serializers.serialize("json", [fleet]))
    read: Any = restored.object
    assert read.retention == Retention(keep=3)


def test_a_report_in_the_ledger_may_be_absent() -> None:
    factories.champion(registered_model=factories.registered_model())
    assert [event.report for event in Event.objects.all()] == [None, None]
    assert isinstance(factories.gate_report(), GateReport)


def test_a_row_of_another_release_is_read_without_the_keys_that_this_one_does_not_know(db: None) -> None:
    fleet = factories.fleet()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE registry_fleet SET retention = %s WHERE id = %s", ['{"keep": 7, "later": true}', fleet.pk]
        )
    fleet.refresh_from_db()
    assert fleet.retention == Retention(keep=7)
