"""Two tenants: whatever belongs to one looks to the other exactly like what does not exist, on every route."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from registry.models import Event, Hold, ModelVersion
from tests import factories
from tests.config.test_rest_routes import PUBLIC, TABLE
from tests.rest_client import Caller, caller
from training.models import Batch, RetrainingPolicy, Snapshot, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles"), pytest.mark.requirement("X04")]

ROUTES = [route for route in TABLE if PUBLIC not in TABLE[route].values()]
NOWHERE = "0190a1b2-0000-7000-8000-000000000000"
WHY = {"reason": "x"}
BODIES = {"promote": {"version": "1", **WHY}, "rollback": WHY, "prune": WHY, "holds": WHY}


@pytest.fixture
def theirs() -> SimpleNamespace:
    """Everything that tenant acme can have."""
    fleet = factories.fleet(tenant="acme", name="theirs")
    source = factories.source(tenant="acme", name="theirs")
    policy = factories.policy(fleet=fleet, name="theirs", source=source)
    model = factories.registered_model(fleet=fleet, entity_key="theirs")
    factories.champion(registered_model=model)
    version = factories.champion(registered_model=model)
    batch = factories.batch(fleet=fleet, policy=policy)
    run = factories.run(registered_model=model, batch=batch, state="queued")
    Snapshot.objects.create(source=source, digest="a" * 64, rows=1, entities=1, location="x")
    hold = Hold.objects.create(version=version, placed_by="user", reason="theirs")
    return SimpleNamespace(
        fleet="theirs", entity="theirs", policy="theirs", source="theirs", reference=str(version.pk), 
        version=str(version.pk), batch=str(batch.pk), run=str(run.pk), row=run, model=model,
        hold=str(hold.pk),
    )  # fmt: skip


@pytest.fixture
def stranger() -> Caller:
    return caller(role="admin", tenants=("globex",))


def address(route: str, names: Any) -> str:
    return "/" + re.sub(r"<str:(\w+)>", lambda match: getattr(names, match[1]), route)


def unknown(route: str) -> SimpleNamespace:
    absent = {"version": NOWHERE, "batch": NOWHERE, "run": NOWHERE, "reference": NOWHERE, "hold": "7"}
    return SimpleNamespace(**{"fleet": "absent", "entity": "absent", "policy": "absent", "source": "absent", **absent})


def state() -> list[Any]:
    return [
        list(Event.objects.values_list("id", flat=True)),
        list(TrainingRun.objects.values_list("id", "state")),
        list(Batch.objects.values_list("id", flat=True)),
        list(RetrainingPolicy.objects.values_list("id", "paused")),
        list(Hold.objects.values_list("id", flat=True)),
        list(ModelVersion.objects.values_list("id", "state")),
    ]


WITH_NAMES = [route for route in ROUTES if "<" in route]


@pytest.mark.parametrize(("route", "method"), [(route, method) for route in WITH_NAMES for method in TABLE[route]])
def test_what_is_theirs_looks_like_what_does_not_exist(
    theirs: SimpleNamespace, stranger: Caller, route: str, method: str
) -> None:
    before = state()
    body = json.dumps(BODIES.get(route.rpartition("/")[2], {}))
    foreign = stranger.raw(method, address(route, theirs), body)
    absent = stranger.raw(method, address(route, unknown(route)), body)
    assert foreign.status_code == absent.status_code == 404
    assert _without(foreign, theirs) == _without(absent, unknown(route))
    assert state() == before


def _without(response: Any, names: Any) -> str:
    text: str = response.content.decode()
    for name in (names.version, names.batch, names.run, names.fleet):
        text = text.replace(name, "NAME")
    return text


# Has parameters that it needs; lists what belongs to nobody; takes a POST alone.
NO_LISTS = {"api/v1/versions/compare", "api/v1/metrics", "api/v1/versions/bulk"}


@pytest.mark.parametrize("route", [route for route in ROUTES if "<" not in route and route not in NO_LISTS])
def test_a_list_shows_nothing_of_theirs(theirs: SimpleNamespace, stranger: Caller, route: str) -> None:
    answer = stranger.get(f"/{route}")
    assert answer.status_code == 200
    assert answer.json()["results"] == []


@pytest.mark.parametrize("filters", [{"tenant": "acme"}, {"fleet": "theirs"}, {"tenant": "acme", "fleet": "theirs"}])
def test_a_filter_opens_nothing(theirs: SimpleNamespace, stranger: Caller, filters: dict[str, Any]) -> None:
    assert stranger.get("runs", **filters).json()["results"] == []
    assert stranger.get("runs", batch=theirs.batch).json()["results"] == []
    assert stranger.get("versions", tenant="acme").json()["results"] == []
    assert stranger.get("versions", fleet="theirs").status_code == 404
    assert stranger.get("metrics", fleet="theirs").status_code == 404
    assert stranger.get("batches", **filters).json()["results"] == []
    assert stranger.get("policies", **filters).json()["results"] == []


def test_their_fleet_cannot_be_retrained(theirs: SimpleNamespace, stranger: Caller) -> None:
    before = state()
    assert stranger.post("runs", {"fleet": "theirs"}).status_code == 404
    assert stranger.post("runs", {"fleet": "theirs", "tenant": "acme"}).status_code == 404
    assert state() == before


def test_their_version_cannot_be_reached_through_a_model_of_mine(theirs: SimpleNamespace, stranger: Caller) -> None:
    mine = factories.registered_model(fleet=factories.fleet(tenant="globex", name="mine"), entity_key="mine")
    factories.champion(registered_model=mine)
    assert stranger.get(f"models/mine/mine/versions/{theirs.version}").status_code == 404
    assert stranger.post("models/mine/mine/promote", {"version": theirs.version, "reason": "x"}).status_code == 404
    assert stranger.post("models/mine/mine/rollback", {"to": theirs.version, "reason": "x"}).status_code == 404


def test_their_versions_cannot_be_compared_with_mine(theirs: SimpleNamespace, stranger: Caller) -> None:
    mine = factories.version(registered_model=factories.registered_model(fleet=factories.fleet(tenant="globex")))
    for first, second in ((theirs.version, mine.pk), (mine.pk, theirs.version)):
        assert stranger.get("versions/compare", first=first, second=second).status_code == 404


def test_a_fleet_of_the_same_name_is_mine_alone(theirs: SimpleNamespace, stranger: Caller) -> None:
    mine = factories.fleet(tenant="globex", name="theirs")
    factories.registered_model(fleet=mine, entity_key="only-mine")
    assert [row["entity"] for row in stranger.get("models/theirs").json()["results"]] == ["only-mine"]
    assert stranger.get("models/theirs/theirs").status_code == 404


def test_the_table_of_names_covers_every_route() -> None:
    names = {name for route in ROUTES for name in re.findall(r"<str:(\w+)>", route)}
    assert names <= set(vars(unknown("")))
