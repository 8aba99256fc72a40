"""Versions are found by every filter and their combinations, newest first, without reading what does not answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import comparison, lifecycle
from registry.comparison import Search
from registry.models import SEARCHED_METRICS, Fleet, ModelVersion, RegisteredModel, metric_value
from registry.reports import Scorecard
from tests import factories
from tests.factories import NOW

pytestmark = [pytest.mark.django_db]


def scored(model: RegisteredModel, *, days: int = 0, **values: Any) -> ModelVersion:
    """A version with metrics; whatever is no column is a metric."""
    columns = {name: values.pop(name) for name in ("trainer",) if name in values}
    tags = values.pop("tags", [])
    card = Scorecard(metrics=values)
    made = factories.version(registered_model=model, at=NOW + timedelta(days=days), scorecard=card, **columns)
    ModelVersion.objects.filter(pk=made.pk).update(tags=tags)
    return made


def numbers(tenants: frozenset[str] | None = None, **wanted: Any) -> list[int]:
    scope = {} if tenants is None else {"tenants": tenants}
    return [version.number for version in comparison.search(Search(**wanted), **scope)]


@pytest.fixture
def model() -> RegisteredModel:
    return factories.registered_model(entity_key="store-1:roll", tags=["north", "small"])


@pytest.mark.requirement("R10", "R20")
def test_the_newest_comes_first_also_across_models(model: RegisteredModel) -> None:
    other = factories.registered_model(fleet=model.fleet)
    made = [scored(model, days=1), scored(other, days=3), scored(model, days=2)]
    found = list(comparison.search(Search(fleet=model.fleet)))
    assert found == [made[1], made[2], made[0]]


@pytest.mark.requirement("R10")
def test_bounds_on_metrics_are_included_and_hold_together(model: RegisteredModel) -> None:
    for mae, bias in ((1.0, -0.5), (2.0, 0.5), (3.0, 0.0), (None, 0.1)):
        scored(model, mae=mae, bias=bias)
    assert numbers(maximum={"mae": 2.0}) == [2, 1]
    assert numbers(minimum={"mae": 2.0}) == [3, 2]
    assert numbers(minimum={"mae": 1.5}, maximum={"mae": 2.5}) == [2]
    assert numbers(minimum={"bias": 0.0}, maximum={"mae": 2.5}) == [2]
    assert numbers(minimum={"bias": 0.0}) == [4, 3, 2]
    assert numbers(minimum={"rmse": 0.0}) == []


def test_a_metric_of_the_fleets_own_is_searched_like_any_other(model: RegisteredModel) -> None:
    for margin in (0.1, 0.4, 0.2):
        scored(model, margin=margin)
    assert numbers(minimum={"margin": 0.2}) == [3, 2]


@pytest.mark.requirement("R10")
def test_trainer_tags_and_time_narrow_the_list(model: RegisteredModel) -> None:
    scored(model, trainer="prophet", tags=["a", "b"])
    scored(model, days=1, trainer="ridge", tags=["a"])
    scored(model, days=2, trainer="prophet")
    assert numbers(trainer="prophet") == [3, 1]
    assert numbers(tags=("a",)) == [2, 1]
    assert numbers(tags=("b", "a")) == [1]
    assert numbers(since=NOW + timedelta(days=1)) == [3, 2]
    assert numbers(until=NOW + timedelta(days=1)) == [1]
    assert numbers(since=NOW + timedelta(days=1), until=NOW + timedelta(days=2)) == [2]


def set_state(number: int, state: str) -> None:
    ModelVersion.objects.filter(number=number).update(state=state)


def test_what_is_archived_or_deleted_shows_only_where_its_state_is_asked_for(model: RegisteredModel) -> None:
    states = ["ready", "archived", "deleted", "quarantined", "pending"]
    for number, state in enumerate(states, start=1):
        scored(model)
        set_state(number, state)
    assert numbers() == [5, 4, 1]
    assert numbers(registered_model=model) == [5, 4, 1]
    for number, state in enumerate(states, start=1):
        assert numbers(states=(state,)) == [number]
    assert numbers(states=("archived", "deleted")) == [3, 2]
    assert numbers(states=("any",)) == [5, 4, 3, 2, 1]


def test_versions_of_retired_models_show_where_the_model_or_its_state_is_named(model: RegisteredModel) -> None:
    scored(model)
    RegisteredModel.objects.update(state="retired")
    assert numbers(fleet=model.fleet) == []
    assert (
        numbers(registered_model=model) == numbers(model_states=("retired",)) == numbers(model_states=("any",)) == [1]
    )
    assert numbers(registered_model=model, model_states=("active",)) == []


def test_models_are_chosen_by_the_beginning_of_their_entity_and_by_their_tags(model: RegisteredModel) -> None:
    other = factories.registered_model(fleet=model.fleet, entity_key="store-10:100%_rye", tags=["north"])
    mine, theirs = scored(model), scored(other)

    def found(**wanted: Any) -> set[ModelVersion]:
        return set(comparison.search(Search(**wanted)))

    assert found(entity_prefix="store-1") == {mine, theirs}
    assert found(entity_prefix="store-10") == {theirs}
    assert found(entity_prefix="STORE") == found(entity_prefix="tore-1") == found(entity_prefix="%") == set()
    assert found(model_tags=("north",)) == {mine, theirs}
    assert found(model_tags=("north", "small")) == {mine}


@pytest.mark.requirement("R10")
def test_only_what_a_pointer_leads_to(model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=model)
    waiting = factories.version(registered_model=model)
    factories.version(registered_model=model)
    move = lifecycle.Move(registered_model_id=model.pk, version_id=waiting.pk, expected_id=None)
    lifecycle.nominate([move], actor="test", cause="gate", at=NOW)
    assert numbers(pointer="champion") == numbers(pointer="champion", fleet=model.fleet) == [champion.number]
    assert numbers(pointer="challenger") == [waiting.number]
    assert numbers(pointer="champion", fleet=factories.fleet()) == []


def test_a_text_is_part_of_an_entity_or_begins_a_label(model: RegisteredModel) -> None:
    scored(model)
    late = scored(model, days=1)
    assert numbers(text="E-1:RO") == [2, 1]
    assert numbers(text="bun") == []
    assert numbers(text=late.label) == numbers(text=late.label[:8]) == numbers(text=late.label[:13]) == [2]
    assert numbers(text="20260301") == [1]
    assert numbers(text="99999999") == []


@pytest.mark.requirement("X04")
def test_foreign_tenants_are_left_out_whatever_is_asked_for(model: RegisteredModel) -> None:
    scored(model)
    assert numbers(frozenset({"acme"})) == numbers(frozenset({"acme"}), fleet=model.fleet) == [1]
    foreign = frozenset({"globex"})
    for wanted in ({}, {"fleet": model.fleet}, {"registered_model": model}, {"entity_prefix": "store"}):
        assert numbers(foreign, **wanted) == []


def test_what_nothing_could_answer_is_refused(model: RegisteredModel) -> None:
    with pytest.raises(comparison.SearchInvalid, match="mae of at least 3 and at most 1"):
        numbers(minimum={"mae": 3.0}, maximum={"mae": 1.0})
    with pytest.raises(comparison.SearchInvalid, match="before 2026-03-01"):
        numbers(since=NOW, until=NOW)


VALUES = st.one_of(st.none(), st.integers(-3, 3).map(float))
ROWS = st.lists(
    st.fixed_dictionaries(
        {"mae": VALUES, "bias": VALUES, "trainer": st.sampled_from("ab"), "tags": st.lists(st.sampled_from("xy"))}
    ),
    max_size=6,
)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "trainer": st.sampled_from("ab"),
        "tags": st.lists(st.sampled_from("xy")).map(tuple),
        "minimum": st.dictionaries(st.sampled_from(["mae", "bias"]), st.integers(-3, 3).map(float)),
        "maximum": st.dictionaries(st.sampled_from(["mae", "bias"]), st.integers(-3, 3).map(float)),
    },
)


def answers(row: dict[str, Any], query: dict[str, Any]) -> bool:
    low = [(row[name], bound) for name, bound in query.get("minimum", {}).items()]
    high = [(row[name], bound) for name, bound in query.get("maximum", {}).items()]
    return (
        query.get("trainer", row["trainer"]) == row["trainer"]
        and set(query.get("tags", ())) <= set(row["tags"])
        and all(value is not None and value >= bound for value, bound in low)
        and all(value is not None and value <= bound for value, bound in high)
    )


@pytest.mark.requirement("R10")
@settings(deadline=None, max_examples=60)
@given(rows=ROWS, query=QUERIES)
def test_every_combination_finds_what_looking_at_each_would_find(
    rows: list[dict[str, Any]], query: dict[str, Any]
) -> None:
    fleet = factories.fleet()
    model = factories.registered_model(fleet=fleet)
    for row in rows:
        scored(model, **{**row, "tags": list(row["tags"])})
    expected = [number for number, row in enumerate(rows, start=1) if answers(row, query)][::-1]
    try:
        assert numbers(fleet=fleet, **query) == expected
    except comparison.SearchInvalid:
        assert expected == []


COUNTED = """
CREATE TEMPORARY TABLE registry_modelversion (LIKE public.registry_modelversion INCLUDING ALL) ON COMMIT DROP;
INSERT INTO pg_temp.registry_modelversion SELECT * FROM public.registry_modelversion;
ANALYZE pg_temp.registry_modelversion;
ANALYZE public.registry_registeredmodel;
-- So few rows are read faster whole; of thousands the database would leave that alone itself.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
"""


@pytest.fixture
def counted(model: RegisteredModel) -> RegisteredModel:
    """A model whose versions lie in a new table with its own statistics.

    What the database plans would depend else on what other tests wrote and when their rows were counted last.
    """
    items = [factories.registration(registered_model=model, scorecard=Scorecard()) for _ in range(300)]
    lifecycle.register(items, actor="test", cause="manual", at=NOW)
    with connection.cursor() as cursor:
        cursor.execute(COUNTED)
    return model


def conditions(**wanted: Any) -> str:
    """Return what indexes are asked where versions are searched so: rows that do not answer it are not read."""
    told = comparison.search(Search(**wanted))[:51].explain(format="json")
    return " ".join(node["Index Cond"] for node in _nodes(told) if "Index Cond" in node)


def _nodes(told: str) -> Iterator[dict[str, Any]]:
    waiting = [json.loads(told)[0]["Plan"]]
    while waiting:
        waiting += (node := waiting.pop()).get("Plans", [])
        yield node


@pytest.mark.requirement("R20")
def test_a_bound_on_a_metric_is_answered_by_the_index(counted: RegisteredModel) -> None:
    asked = {name: conditions(fleet=counted.fleet, maximum={name: 1.0}) for name in SEARCHED_METRICS}
    assert [name for name, told in asked.items() if f"{{metrics,{name}}}" not in told or "fleet_id" not in told] == []


def test_few_versions_by_mae_of_all_fleets_are_found_by_an_index_of_their_own(counted: RegisteredModel) -> None:
    found = ModelVersion.objects.alias(error=metric_value("mae")).filter(error__lte=1.0)
    [scan] = [node for node in _nodes(found.order_by().explain(format="json")) if "mae" in node.get("Index Cond", "")]
    # As its copy is called in the new table: by its columns. The other one begins with the fleet.
    assert scan["Index Name"] == "registry_modelversion_float8_fleet_id_idx"


def test_a_bound_on_another_metric_is_read_from_the_rows(counted: RegisteredModel) -> None:
    assert "metrics" not in conditions(fleet=counted.fleet, maximum={"stockouts": 1.0})


def test_trainer_and_state_are_answered_by_the_index(counted: RegisteredModel) -> None:
    # MAE has an index of its own besides, which would do for so few.
    asked = conditions(fleet=counted.fleet, trainer="ridge", maximum={"rmse": 1.0})
    assert "trainer" in asked
    assert "state" in asked


def test_the_index_reads_a_metric_as_the_row_has_it(model: RegisteredModel) -> None:
    scored(model, mae=0.1, rmse=1e-300, bias=None)
    row = ModelVersion.objects.annotate(
        mae=metric_value("mae"), rmse=metric_value("rmse"), bias=metric_value("bias"), wape=metric_value("wape")
    )
    assert row.values_list("mae", "rmse", "bias", "wape").get() == (0.1, 1e-300, None, None)


@pytest.mark.requirement("R08")
def test_the_latest_of_a_fleet_is_the_newest_ready_one_beside_the_champion_in_one_query(
    model: RegisteredModel, django_assert_num_queries: Any
) -> None:
    champion = factories.champion(registered_model=model)
    ready, broken = factories.version(registered_model=model), factories.version(registered_model=model)
    ModelVersion.objects.filter(pk=broken.pk).update(state="quarantined")
    bare = factories.registered_model(fleet=model.fleet, entity_key="a-new-one")
    factories.registered_model(fleet=model.fleet, state="retired")
    factories.version(registered_model=factories.registered_model())
    with django_assert_num_queries(1):
        rows = [(each.entity_key, each.latest, each.champion) for each in _latest(model.fleet)]
    assert rows == [(bare.entity_key, None, None), (model.entity_key, ready, champion)]


def _latest(fleet: Fleet) -> Any:
    return comparison.latest(fleet)


def test_labels_follow_the_day_that_a_search_by_label_looks_at(model: RegisteredModel) -> None:
    late = factories.version(registered_model=model, at=datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC))
    assert numbers(text=late.label) == [1]


def test_a_text_that_every_entity_has_is_not_taken_for_a_rare_one() -> None:
    fleet = factories.fleet()
    RegisteredModel.objects.bulk_create(
        RegisteredModel(fleet=fleet, entity_key=f"store-{number}") for number in range(300)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE registry_registeredmodel")
        told = RegisteredModel.objects.filter(entity_key__icontains="store").explain()
    rows = [int(number) for number in re.findall(r"rows=(\d+)", told)]
    assert rows[0] > 200
