"""Searching, comparing and the newest of a fleet over REST: the same answers as the registry's, errors that help."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry import lifecycle
from registry.metrics import Direction
from registry.models import MetricSettings, ModelVersion, RegisteredModel
from registry.reports import Scorecard
from tests import factories
from tests.factories import NOW
from tests.rest_client import Caller, caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


@pytest.fixture
def viewer() -> Caller:
    return caller(role="viewer", tenants=("acme", "globex"))


@pytest.fixture
def model() -> RegisteredModel:
    own = MetricSettings(directions={"margin": Direction.HIGHER})
    fleet = factories.fleet(name="bakery", metric_settings=own)
    return factories.registered_model(fleet=fleet, entity_key="store-1:roll")


def scored(model: RegisteredModel, *, days: int = 0, **values: Any) -> ModelVersion:
    card = Scorecard(metrics=values, test_start="2026-01-01", test_end="2026-01-28")
    return factories.version(registered_model=model, at=NOW + timedelta(days=days), scorecard=card)


def numbers(viewer: Caller, address: str = "versions", **filters: Any) -> list[int]:
    answer = viewer.get(address, **filters)
    assert answer.status_code == 200, answer.json()
    return [row["number"] for row in answer.json()["results"]]


@pytest.mark.requirement("R10", "R20")
def test_versions_of_all_my_fleets_are_listed_newest_first_with_their_pointers(
    viewer: Caller, model: RegisteredModel
) -> None:
    other = factories.registered_model(fleet=factories.fleet(tenant="globex", name="solar"), entity_key="panel")
    champion = factories.champion(registered_model=model)
    newest = factories.version(registered_model=other, at=NOW + timedelta(days=1))
    rows = viewer.get("versions").json()["results"]
    assert [(row["id"], row["pointers"]) for row in rows] == [
        (str(newest.pk), []),
        (str(champion.pk), ["champion", "anchor"]),
    ]
    assert rows[1]["promoted_at"] == "2026-03-01T12:00:00Z"
    assert numbers(viewer, fleet="solar") == numbers(viewer, tenant="globex") == [1]
    assert numbers(viewer, entity_prefix="pan") == numbers(viewer, entity="panel") == [1]
    assert numbers(viewer, tenant="acme", entity_prefix="pan") == numbers(viewer, entity="pan") == []


@pytest.mark.requirement("R10")
def test_every_filter_reaches_the_search(viewer: Caller, model: RegisteredModel) -> None:
    made = [scored(model, days=day, mae=float(day), margin=0.1 * day) for day in range(4)]
    ModelVersion.objects.filter(pk=made[1].pk).update(trainer="ridge", tags=["a", "b"], state="archived")
    ModelVersion.objects.filter(pk=made[2].pk).update(tags=["a"])
    for address in ("versions", "models/bakery/store-1:roll/versions"):
        assert numbers(viewer, address) == [4, 3, 1]
        assert (
            numbers(viewer, address, state="archived") == numbers(viewer, address, state="any", trainer="ridge") == [2]
        )
        assert numbers(viewer, address, state=["archived", "ready"], tag="a") == [3, 2]
        assert numbers(viewer, address, state="any", tag=["b", "a"]) == [2]
        assert numbers(viewer, address, min_mae=1, max_mae=2.5) == [3]
        assert numbers(viewer, address, since="2026-03-03T12:00:00Z") == [4, 3]
        assert numbers(viewer, address, since="2026-03-03T14:00:00+02:00", until="2026-03-04") == [3]
        assert numbers(viewer, address, pointer="champion") == []
        assert numbers(viewer, address, limit=1) == [4]
    assert numbers(viewer, text="STORE-1") == numbers(viewer, model_tag=[], model_state="active") == [4, 3, 1]
    assert numbers(viewer, model_tag="rare") == numbers(viewer, model_state="retired") == []


@pytest.mark.requirement("R12")
def test_a_metric_of_the_fleets_own_can_be_searched_where_the_fleet_is_named(
    viewer: Caller, model: RegisteredModel
) -> None:
    for margin in (0.1, 0.3):
        scored(model, margin=margin)
    assert numbers(viewer, fleet="bakery", min_margin=0.2) == [2]
    assert numbers(viewer, "models/bakery/store-1:roll/versions", min_margin=0.2) == [2]
    body = problem(viewer.get("versions", min_margin=0.2), status=400, code="invalid")
    assert "min_ and max_ of every metric that GET /api/v1/metrics lists" in body["detail"]


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({"since": "yesterday"}, "'yesterday' is not an ISO 8601 time"),
        ({"since": "2026-03-01T12:00:00"}, "has no offset"),
        ({"until": "2026-03-01T12:00:00 02:00"}, "has lost the + of its offset: write %2B"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "No version is registered from 2026-03-02"),
        ({"min_mae": 2, "max_mae": 1}, "mae of at least 2 and at most 1"),
        ({"min_mae": "inf"}, "A valid number is required"),
        (
            {"state": "broken"},
            '"broken" is not a valid choice. Known are: pending, ready, quarantined, archived, deleted, any.',
        ),
        ({"pointer": "best"}, '"best" is not a valid choice. Known are: champion, challenger'),
        ({"fleet": "bakery", "entity": ["a", "b"]}, "Give this parameter once"),
        ({"min_accuracyy": 1}, "not known here"),
    ],
)
def test_a_filter_that_cannot_be_meant_says_what_is_wrong(
    viewer: Caller, model: RegisteredModel, filters: dict[str, Any], told: str
) -> None:
    answer = viewer.get("versions", **filters)
    assert answer.status_code == 400
    assert told in answer.json()["detail"]


def test_a_fleet_that_nobody_has_is_unknown_and_shows_not_everything(viewer: Caller, model: RegisteredModel) -> None:
    problem(viewer.get("versions", fleet="bakkery"), status=404, code="fleet_unknown")


@pytest.mark.requirement("R08")
def test_the_newest_and_the_champion_of_every_model_stand_beside_each_other(
    viewer: Caller, model: RegisteredModel
) -> None:
    champion, newest = factories.champion(registered_model=model), factories.version(registered_model=model)
    factories.registered_model(fleet=model.fleet, entity_key="a-new-one", tags=["new"])
    factories.registered_model(fleet=model.fleet, entity_key="gone", state="retired")

    def rows(**filters: Any) -> list[Any]:
        found = viewer.get("fleets/bakery/latest", **filters).json()["results"]
        return [(row["entity"], *(row[name] and row[name]["id"] for name in ("latest", "champion"))) for row in found]

    full = ("store-1:roll", str(newest.pk), str(champion.pk))
    assert rows() == [("a-new-one", None, None), full]
    assert rows(placed="champion") == rows(entity_prefix="store") == [full]
    assert rows(placed="none") == rows(tag="new") == [("a-new-one", None, None)]
    assert rows(state="retired") == [("gone", None, None)]


def test_models_are_listed_by_entity_tags_and_place(viewer: Caller, model: RegisteredModel) -> None:
    factories.champion(registered_model=model)
    factories.registered_model(fleet=model.fleet, entity_key="bun", tags=["x", "y"])
    factories.registered_model(fleet=model.fleet, entity_key="bap", tags=["x"])

    def entities(**filters: Any) -> list[str]:
        return [row["entity"] for row in viewer.get("models/bakery", **filters).json()["results"]]

    assert entities(tag=["x", "y"]) == entities(entity_prefix="bu") == ["bun"]
    assert entities(placed="champion") == ["store-1:roll"]
    assert entities(placed="none", tag="x") == ["bap", "bun"]
    assert entities(placed="challenger") == []


@pytest.mark.requirement("R11")
@pytest.mark.parametrize("first", ["1", "champion", "id", "label"])
def test_two_versions_of_a_model_are_compared_by_any_reference(
    viewer: Caller, model: RegisteredModel, first: str
) -> None:
    one = factories.champion(registered_model=model, scorecard=Scorecard(metrics={"mae": 2.0, "mape": None}))
    two = scored(model, mae=1.0)
    reference = {"id": str(one.pk), "label": one.label}.get(first, first)
    body = viewer.get("models/bakery/store-1:roll/compare", first=reference, second="latest").json()
    assert (body["first"]["id"], body["second"]["id"]) == (str(one.pk), str(two.pk))
    assert body["first"]["pointers"] == ["champion", "anchor"]
    mae, mape = body["metrics"]
    assert mae == {
        "name": "mae", "first": 2.0, "second": 1.0, "difference": -1.0, "relative": -0.5, "direction": "lower",
        "winner": "second", "reason": "",
    }  # fmt: skip
    assert mape["winner"] == "unknown"
    assert "was not measured" in mape["reason"]
    assert body["warnings"] == ["At least one of the two does not say on which windows it was scored."]
    by_id = viewer.get("versions/compare", first=one.pk, second=two.pk)
    assert by_id.json() == body


@pytest.mark.requirement("R11")
def test_a_comparison_says_the_state_of_each_and_why_one_is_quarantined(viewer: Caller, model: RegisteredModel) -> None:
    one, two = (factories.version(registered_model=model) for _ in range(2))
    lifecycle.quarantine([two.pk], actor="ada", reason="Its file is damaged.", at=NOW)
    answers = [
        viewer.get("models/bakery/store-1:roll/compare", first=one.number, second=two.number),
        viewer.get("versions/compare", first=one.pk, second=two.pk),
    ]
    for body in (answer.json() for answer in answers):
        assert [body[each]["state"] for each in ("first", "second")] == ["ready", "quarantined"]
        assert body["first"]["quarantined"] is None
        assert body["second"]["quarantined"]["reason"] == "Its file is damaged."
        assert any("is quarantined: it cannot be placed" in each for each in body["warnings"])


def test_what_cannot_be_compared_is_refused(viewer: Caller, model: RegisteredModel) -> None:
    one, foreign = scored(model), factories.version(registered_model=factories.registered_model())
    body = problem(viewer.get("versions/compare", first=one.pk, second=foreign.pk), status=400, code="fleets_differ")
    assert "one fleet" in body["next_step"]
    address = "models/bakery/store-1:roll/compare"
    problem(viewer.get(address, first="1", second="9"), status=404, code="version_unknown")
    problem(viewer.get(address, first="1", second="best"), status=400, code="malformed")
    assert "second" in problem(viewer.get(address, first="1"), status=400, code="invalid")["detail"]


@pytest.mark.requirement("R12")
def test_the_catalogue_says_which_way_each_metric_gets_better(viewer: Caller, model: RegisteredModel) -> None:
    def by_name(**filters: Any) -> dict[str, Any]:
        return {row["name"]: row for row in viewer.get("metrics", **filters).json()["results"]}

    common, own = by_name(), by_name(fleet="bakery")
    assert common["mae"]["direction"] == "lower"
    assert common["coverage"]["direction"] == "neither"
    assert common["r_squared"]["origin"] == "built-in"
    assert own.keys() - common.keys() == {"margin"}
    assert (own["margin"]["direction"], own["margin"]["origin"]) == ("higher", "fleet")


def test_pages_of_a_search_are_complete_also_where_many_were_registered_at_once(
    viewer: Caller, model: RegisteredModel
) -> None:
    for _ in range(7):
        scored(model)
    found: list[int] = []
    cursor: dict[str, Any] = {}
    while True:
        page = viewer.get("versions", limit=3, **cursor).json()
        found += [row["number"] for row in page["results"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(found) == list(range(1, 8))
    assert len(found) == 7


def test_a_deep_page_starts_in_the_index_where_the_page_before_ended(viewer: Caller, model: RegisteredModel) -> None:
    for _ in range(3):
        scored(model)
    following = viewer.get("versions", limit=1).json()["next"]
    with CaptureQueriesContext(connection) as seen:
        assert viewer.get(following).status_code == 200
    [page] = [each["sql"] for each in seen if 'FROM "registry_modelversion"' in each["sql"]]
    assert '"registry_modelversion"."created_at" <=' in page
