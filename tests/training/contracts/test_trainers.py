"""The contract of a trainer: one list of checks over every entry of the table, also over those that are added."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest

from registry.errors import Invalid
from tests.training.series import DAILY, SOLAR, a_series, linear_rows, weekly_pattern
from training import windows
from training.trainers import table
from training.trainers.base import Fitted, ForecasterUnreadable, Grid, Points, Prediction, Refused, Series

ENTRIES = [(name, kind) for name in table.names() for kind in sorted(table.TRAINERS[name].kinds)]
every_trainer = pytest.mark.parametrize(("name", "kind"), ENTRIES, ids=["-".join(entry) for entry in ENTRIES])
pytestmark = pytest.mark.requirement("T01")


def grid_of(kind: str) -> Grid:
    """A calendar of the kind."""
    return DAILY if kind == "forecast" else SOLAR


def some(kind: str, *, count: int = 210, seed: int = 3, entity: str = "store-1") -> Series:
    """A series with arrays that cannot be written to, as those of a snapshot."""
    series = a_series(weekly_pattern(count // 7, seed=seed)) if kind == "forecast" else linear_rows(count, seed=seed)
    for array in (series.instants, series.times, series.target, series.features):
        array.setflags(write=False)
    return Series(**{**series.__dict__, "entity": entity})


def points(series: Series, kind: str) -> Points:
    """Where to predict: the future, or the last rows of a regression."""
    return windows.future(series, DAILY) if kind == "forecast" else series.slice(-20, None).points()


def fit(name: str, kind: str, series: Series, *, seed: int = 11, params: dict[str, Any] | None = None) -> Fitted:
    """A fit that succeeds."""
    (outcome,) = table.find(name).fit_many([series], params=[params or {}], seeds=[seed], grid=grid_of(kind))
    assert isinstance(outcome, Fitted), outcome
    return outcome


def assert_same(one: Prediction, other: Prediction) -> None:
    """Forecast and interval are equal to the last bit."""
    for field in ("yhat", "lower", "upper"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


@every_trainer
def test_one_value_and_one_interval_for_each_point(name: str, kind: str) -> None:
    series = some(kind)
    at = points(series, kind)
    answer = fit(name, kind, series).forecaster.predict(series, at)
    assert answer.yhat.shape == answer.lower.shape == answer.upper.shape == (len(at),)
    assert answer.yhat.dtype == np.float64
    assert np.isfinite(answer.yhat).all()
    known = np.isfinite(answer.lower) & np.isfinite(answer.upper)
    assert (answer.lower[known] <= answer.upper[known]).all()


@every_trainer
def test_the_same_seed_gives_the_same_forecast(name: str, kind: str) -> None:
    series = some(kind)
    at = points(series, kind)
    one, other = (fit(name, kind, series).forecaster.predict(series, at) for _ in range(2))
    assert_same(one, other)


@every_trainer
def test_what_was_dumped_and_loaded_forecasts_the_same(name: str, kind: str) -> None:
    series = some(kind)
    at = points(series, kind)
    forecaster = fit(name, kind, series).forecaster
    again = table.find(name).load(forecaster.dump())
    assert_same(forecaster.predict(series, at), again.predict(series, at))
    assert_same(forecaster.predict(series, at), table.find(name).load(again.dump()).predict(series, at))


@every_trainer
def test_no_points_give_no_values(name: str, kind: str) -> None:
    series = some(kind)
    nothing = series.slice(0, 0).points()
    assert len(fit(name, kind, series).forecaster.predict(series, nothing).yhat) == 0


@every_trainer
@pytest.mark.parametrize("count", [0, 1])
def test_a_series_that_is_too_short_is_refused_and_not_raised(name: str, kind: str, count: int) -> None:
    outcomes = table.find(name).fit_many(
        [some(kind, entity="long"), some(kind).head(count), some(kind, seed=4)],
        params=[{}] * 3,
        seeds=[1, 2, 3],
        grid=grid_of(kind),
    )
    assert [type(outcome) for outcome in outcomes] == [Fitted, Refused, Fitted]
    assert outcomes[1].code == "series_too_short"
    assert f"store-1 has {count} observations" in outcomes[1].sentence


@every_trainer
def test_a_series_that_breaks_the_fit_ends_alone(name: str, kind: str) -> None:
    broken = some(kind)
    bad = Series(**{**broken.__dict__, "target": np.full(len(broken), np.nan), "entity": "broken"})
    outcomes = table.find(name).fit_many([bad, some(kind)], params=[{}] * 2, seeds=[1, 2], grid=grid_of(kind))
    assert isinstance(outcomes[1], Fitted)
    assert isinstance(outcomes[0], Refused)
    assert "broken" in outcomes[0].sentence
    assert outcomes[0].next_step


@every_trainer
def test_each_series_gets_its_own_fit_whatever_its_neighbours_are(name: str, kind: str) -> None:
    one, other = some(kind, seed=3), some(kind, seed=4)
    together = table.find(name).fit_many([one, other], params=[{}] * 2, seeds=[5, 6], grid=grid_of(kind))
    alone = fit(name, kind, other, seed=6)
    at = points(other, kind)
    assert_same(together[1].forecaster.predict(other, at), alone.forecaster.predict(other, at))


@every_trainer
def test_the_input_is_not_touched(name: str, kind: str) -> None:
    series = some(kind)
    before = [array.copy() for array in (series.instants, series.times, series.target, series.features)]
    fit(name, kind, series).forecaster.predict(series, points(series, kind))
    for array, copy in zip((series.instants, series.times, series.target, series.features), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_trainer
def test_a_constant_target_is_fitted(name: str, kind: str) -> None:
    series = some(kind)
    flat = Series(**{**series.__dict__, "target": np.full(len(series), 4.0)})
    answer = fit(name, kind, flat).forecaster.predict(flat, points(flat, kind))
    assert answer.yhat == pytest.approx(np.full(len(answer.yhat), 4.0), abs=1e-6)


@every_trainer
def test_defaults_are_allowed_and_recorded(name: str, kind: str) -> None:
    trainer = table.find(name)
    assert trainer.check_params({}) == trainer.defaults
    assert fit(name, kind, some(kind)).params == trainer.defaults


@every_trainer
def test_an_unknown_parameter_is_refused_by_name_with_those_there_are(name: str, kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        table.find(name).check_params({"magic": 1})
    assert caught.value.code == "params_invalid"
    assert "'magic'" in caught.value.sentence
    assert next(iter(table.find(name).defaults), "") in caught.value.sentence


def _foreign() -> dict[str, bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("schema.json", "{}")
    return {
        "nothing": b"",
        "noise": bytes(range(256)),
        "pickle": pickle.dumps({"format": "prophet-json-1"}),
        "json": b"{}",
        "json list": b"[1, 2]",
        "deep json": b"[" * 100_000,
        "zip": packed.getvalue(),
    }


@every_trainer
@pytest.mark.parametrize("data", _foreign().values(), ids=_foreign().keys())
def test_foreign_bytes_are_refused(name: str, kind: str, data: bytes) -> None:
    with pytest.raises(ForecasterUnreadable) as caught:
        table.find(name).load(data)
    assert caught.value.next_step


@every_trainer
def test_the_bytes_of_another_trainer_are_refused(name: str, kind: str) -> None:
    for other, other_kind in ENTRIES:
        if other != name:
            data = fit(other, other_kind, some(other_kind)).forecaster.dump()
            with pytest.raises(ForecasterUnreadable):
                table.find(name).load(data)
