"""The quicker Prophet gives what the library gives, column by column, and forgets and copies as it should."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import prophet
import pytest
from prophet.diagnostics import cross_validation

from tests.training.trainers.prophet_map import problems
from training.trainers.prophet_map import backend, features, library
from training.trainers.prophet_map.library import Prophet

DRAWN = ["yhat_lower", "yhat_upper"]
Model = type[prophet.Prophet]


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    library.CACHE.clear()


def holidays(day: str = "2018-07-14") -> pd.DataFrame:
    return pd.DataFrame(
        {"holiday": "day off", "ds": pd.to_datetime([day, "2019-01-01"]), "lower_window": -1, "upper_window": 1}
    )


def both(rows: pd.DataFrame, prepare: Any = None, **settings: Any) -> tuple[prophet.Prophet, prophet.Prophet]:
    """The library's model and ours, fitted by the same optimiser."""
    made: list[prophet.Prophet] = []
    for kind in (prophet.Prophet, Prophet):
        model = kind(stan_backend=backend.NAME, **settings)
        if prepare is not None:
            prepare(model)
        made.append(model.fit(rows))
    return made[0], made[1]


def ahead(model: prophet.Prophet, rows: pd.DataFrame, steps: int = 20) -> pd.DataFrame:
    future = model.make_future_dataframe(steps)
    for name in ("cap", "x", "summer"):
        if name in rows:
            future[name] = np.resize(rows[name].to_numpy(), len(future))
    return future


def seeded(model: prophet.Prophet, future: pd.DataFrame | None) -> pd.DataFrame:
    np.random.seed(11)
    return model.predict(future)


def regressor(model: prophet.Prophet) -> None:
    model.add_regressor("x")


def condition(model: prophet.Prophet) -> None:
    model.add_seasonality("of summer", period=7, fourier_order=2, condition_name="summer")


def season(model: prophet.Prophet) -> None:
    model.add_seasonality("monthly", period=30.5, fourier_order=4, mode="multiplicative")


def country(model: prophet.Prophet) -> None:
    model.add_country_holidays("DE")


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (None, {}),
    "multiplicative": (None, {"seasonality_mode": "multiplicative"}),
    "flat": (None, {"growth": "flat"}),
    "logistic": (None, {"growth": "logistic"}),
    "min-max": (None, {"scaling": "minmax"}),
    "nothing seasonal": (None, {"weekly_seasonality": False}),
    "no samples": (None, {"uncertainty_samples": 0}),
    "holidays": (None, {"holidays": holidays()}),
    "country": (country, {"holidays": holidays()}),
    "mixed": (season, {"holidays": holidays(), "holidays_mode": "multiplicative"}),
    "regressor": (regressor, {}),
    "condition": (condition, {}),
}


# Prophet 1.5 still calls what pandas 3.1 deprecates, here from a frame that the filter of its module misses.
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_every_column_but_two_is_the_librarys(name: str) -> None:
    prepare, settings = CASES[name]
    rows = problems.real()
    rows = rows.assign(
        cap=rows["y"].max() * 1.2, x=np.sin(np.arange(len(rows))), summer=rows["ds"].dt.month.between(5, 9)
    )
    theirs, ours = both(rows, prepare, **settings)
    for _ in range(2):  # from the library, then from memory
        for future in (None, ahead(theirs, rows)):
            expected, found = seeded(theirs, future), seeded(ours, future)
            assert list(found.columns) == list(expected.columns)
            same = [column for column in expected.columns if column not in DRAWN]
            pd.testing.assert_frame_equal(found[same], expected[same], check_exact=True)
    assert all(np.array_equal(theirs.params[each], ours.params[each]) for each in theirs.params)


def test_bounds_of_the_history_are_the_quantiles_of_the_noise_and_the_future_is_drawn() -> None:
    rows = problems.real()
    theirs, ours = both(rows, uncertainty_samples=4000)
    future = theirs.make_future_dataframe(60)
    expected, found = seeded(theirs, future), seeded(ours, future)
    width = (expected["yhat_upper"] - expected["yhat_lower"]).to_numpy()
    for name in DRAWN:
        assert np.abs((found[name] - expected[name]) / width).max() < 0.1
    reach = 1.2815515655446004 * ours.params["sigma_obs"][0, 0] * ours.y_scale
    past = len(rows)
    assert (found["yhat_upper"] - found["yhat"])[:past].to_numpy() == pytest.approx(np.full(past, reach), rel=1e-9)


def test_a_forecast_of_the_future_alone_is_the_librarys_to_the_last_bit() -> None:
    theirs, ours = both(problems.real())
    future = theirs.make_future_dataframe(30, include_history=False)
    pd.testing.assert_frame_equal(seeded(ours, future), seeded(theirs, future), check_exact=True)


def test_an_interval_of_all_draws_is_left_to_the_library() -> None:
    rows = problems.days(problems.walk(60))
    theirs, ours = both(rows, interval_width=1.0)
    pd.testing.assert_frame_equal(seeded(ours, None), seeded(theirs, None), check_exact=True)


def test_samples_of_the_posterior_are_left_to_the_library() -> None:
    ours: Any = Prophet(mcmc_samples=8, n_changepoints=2)
    ours.fit(problems.days(problems.walk(40)), chains=1, seed=3, show_progress=False)
    expected = seeded(ours, None)
    np.random.seed(11)
    draws = ours.predictive_samples(ours.history.drop(columns=["t", "y_scaled"]))["yhat"]
    assert expected["yhat_upper"].to_numpy() == pytest.approx(np.percentile(draws, 90, axis=1), rel=1e-12)


def test_rows_in_another_order_get_their_own_bounds() -> None:
    _, ours = both(problems.real())
    future = ours.make_future_dataframe(10)
    mixed = future.sample(frac=1.0, random_state=3)
    pd.testing.assert_frame_equal(seeded(ours, mixed), seeded(ours, future), check_exact=True)


def test_equal_dates_are_made_once_and_other_settings_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = prophet.Prophet.make_all_seasonality_features

    def counted(model: prophet.Prophet, df: pd.DataFrame) -> Any:
        made.append(len(df))
        return original(model, df)

    monkeypatch.setattr(prophet.Prophet, "make_all_seasonality_features", counted)
    rows = problems.real()
    Prophet().fit(rows)
    Prophet().fit(rows.assign(y=rows["y"] * 2 + 1))
    assert len(made) == 1
    for settings in (
        {"seasonality_prior_scale": 3.0},
        {"seasonality_mode": "multiplicative"},
        {"weekly_seasonality": 5},
        {"holidays": holidays()},
        {"holidays": holidays("2018-08-15")},
        {"holidays": holidays(), "holidays_prior_scale": 2.0},
    ):
        before = len(made)
        Prophet(**settings).fit(rows)
        assert len(made) == before + 1, settings
    Prophet().fit(rows.tail(-1))
    assert len(made) == 8


def test_a_model_that_finds_its_tables_notes_the_holidays_that_it_met() -> None:
    rows = problems.real()
    first, again = (Prophet(holidays=holidays(), uncertainty_samples=0).fit(rows) for _ in range(2))
    assert first.train_holiday_names is not None
    assert again.train_holiday_names is not None
    assert list(again.train_holiday_names) == list(first.train_holiday_names) == ["day off"]


def test_values_of_a_regressor_are_read_each_time() -> None:
    rows = problems.real().assign(x=lambda each: np.sin(np.arange(len(each))))
    first, other = rows, rows.assign(x=rows["x"][::-1].to_numpy())
    tables = []
    for each in (first, other):
        model: Any = Prophet(uncertainty_samples=0)
        model.add_regressor("x")
        tables.append(model.fit(each).make_all_seasonality_features(model.history)[0]["x"].to_numpy())
    assert not np.array_equal(tables[0], tables[1])


def test_holidays_are_marked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[int] = []
    original = features.mark

    def counted(table: pd.DataFrame | None) -> Any:
        marked.append(1)
        return original(table)

    monkeypatch.setattr(features, "mark", counted)
    model = Prophet(holidays=holidays(), uncertainty_samples=0).fit(problems.real())
    model.predict(model.make_future_dataframe(5))
    assert len(marked) == 1


def test_what_a_caller_does_to_a_table_stays_with_him() -> None:
    rows = problems.real()
    first: Any = Prophet().fit(rows)
    expected = seeded(first, None)["yhat"]
    table, scales, components, modes = first.make_all_seasonality_features(first.history)
    table.iloc[:, :] = 0.0
    components["additive_terms"] = 0
    scales.clear()
    modes["additive"].append("nonsense")
    again: Any = Prophet().fit(rows)
    pd.testing.assert_series_equal(seeded(again, None)["yhat"], expected, check_exact=True)
    assert "nonsense" not in again.component_modes["additive"]


def test_the_least_recently_used_goes_out_and_large_tables_are_not_kept() -> None:
    cache = features.Cache(entries=2)
    small = pd.DataFrame({"a": [1.0]})
    for key in ("one", "two"):
        cache.keep(key, ((small, [1.0], small, {}), None))
    assert cache.find("one") is not None
    cache.keep("three", ((small, [1.0], small, {}), None))
    assert cache.find("two") is None
    assert cache.find("one") is not None
    cache.keep("large", ((pd.DataFrame({"a": np.zeros(300_000)}), [1.0], small, {}), None))
    assert cache.find("large") is None
    assert len(cache) == 2


def test_threads_share_the_tables() -> None:
    rows = problems.real()
    expected = Prophet(uncertainty_samples=0).fit(rows).predict()["yhat"]

    def fit(number: int) -> pd.Series:
        return Prophet(uncertainty_samples=0).fit(rows.tail(len(rows) - number % 3)).predict()["yhat"]

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(fit, range(18)))
    for each in found[::3]:
        pd.testing.assert_series_equal(each, expected, check_exact=True)


def test_cross_validation_makes_models_of_this_class() -> None:
    model = Prophet(uncertainty_samples=0).fit(problems.real())
    found = cross_validation(model, initial="300 days", period="60 days", horizon="30 days", disable_tqdm=True)
    plain = prophet.Prophet(stan_backend=backend.NAME, uncertainty_samples=0).fit(problems.real())
    expected = cross_validation(plain, initial="300 days", period="60 days", horizon="30 days", disable_tqdm=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
