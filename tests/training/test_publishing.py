"""Forecasts are published thousands at once, exactly, and what was published of a cutoff stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pytest_django import DjangoAssertNumQueries

from registry.models import ModelVersion
from tests import factories
from training import forecasting, publishing
from training.models import Forecast
from training.publishing import Publication
from training.trainers import base

pytestmark = pytest.mark.django_db
NOW = factories.NOW
TIME = [NOW + timedelta(days=day) for day in range(1, 4)]
NAN = float("nan")


def publication(version: ModelVersion, **values: Any) -> Publication:
    plain = Publication(
        version_id=version.pk, cutoff=NOW, published_at=NOW, time=TIME, yhat=[0.1 + 0.2, -0.0, 1e-7], lower=[1.0] * 3,
        upper=[2.0] * 3,
    )  # fmt: skip
    return replace(plain, **values)


@pytest.fixture
def version() -> ModelVersion:
    return factories.version(registered_model=factories.registered_model())


def test_every_number_and_instant_comes_back_exactly(version: ModelVersion) -> None:
    yhat = np.random.default_rng(7).normal(size=3) * [1e-9, 1.0, 1e18]
    given = base.Prediction(yhat=yhat, lower=np.array([NAN, 1.5, NAN]), upper=np.array([NAN] * 3))
    publishing.publish([forecasting.publication(version.pk, cutoff=NOW, time=TIME, prediction=given, published_at=NOW)])
    [found] = Forecast.objects.all()
    assert (found.version_id, found.cutoff, found.published_at, found.time) == (version.pk, NOW, NOW, TIME)
    assert (found.yhat, found.lower, found.upper) == (yhat.tolist(), [None, 1.5, None], [None] * 3)


def test_one_of_the_same_version_and_cutoff_stays_as_it_is(version: ModelVersion) -> None:
    publishing.publish([publication(version)])
    later = publication(version, cutoff=NOW + timedelta(days=1), yhat=[9.0] * 3)
    publishing.publish([publication(version, yhat=[7.0] * 3), later, replace(later, yhat=[8.0] * 3)])
    assert [each.yhat for each in Forecast.objects.order_by("cutoff")] == [[0.1 + 0.2, -0.0, 1e-7], [9.0] * 3]


def test_each_has_its_own_instants_and_all_are_one_statement(
    version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    others = [NOW + timedelta(hours=1)]
    given = [publication(version, cutoff=NOW + timedelta(minutes=each)) for each in range(100)]
    short = publication(version, cutoff=NOW - timedelta(1), time=others, yhat=[1.0], lower=[NAN], upper=[NAN])
    with django_assert_num_queries(1):
        publishing.publish([*given, short])
    found = list(Forecast.objects.order_by("cutoff"))
    assert [each.time for each in found] == [others] + [TIME] * 100


def test_a_forecast_of_unequal_lengths_is_refused(version: ModelVersion) -> None:
    with pytest.raises(ValueError, match="each of its instants"):
        publishing.publish([publication(version), publication(version, lower=[1.0])])
    assert not Forecast.objects.exists()


def test_nothing_needs_no_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        publishing.publish([])
