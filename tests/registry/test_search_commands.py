"""`manage.py versions`, `models` and `compare`: what people and programs read, and the words for each mistake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.metrics import Direction
from registry.models import MetricSettings, ModelVersion, RegisteredModel
from registry.reports import Scorecard
from tests import factories
from tests.config import commands
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def model() -> RegisteredModel:
    own = MetricSettings(directions={"margin": Direction.HIGHER})
    return factories.registered_model(fleet=factories.fleet(name="bakery", metric_settings=own), entity_key="roll")


def scored(
    model: RegisteredModel, *, days: int = 0, params: dict[str, Any] | None = None, **values: Any
) -> ModelVersion:
    card = Scorecard(metrics=values, test_start="2026-01-01", test_end="2026-01-28")
    at = NOW + timedelta(days=days)
    return factories.version(registered_model=model, at=at, scorecard=card, params=params or {})


def numbers(*options: object) -> list[int]:
    said = commands.run("versions", "bakery", *options, "--json")
    found = [each["number"] for each in said.json["versions"]]
    assert said.status == (0 if found else 3)
    return found


@pytest.mark.requirement("R10")
def test_versions_are_listed_by_every_filter(model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=model, trainer="ridge")
    for day, mae in enumerate((3.0, 2.0, 1.0), start=1):
        scored(model, days=day, mae=mae, margin=mae)
    ModelVersion.objects.filter(number=4).update(state="archived", tags=["old"])
    assert numbers() == numbers("roll") == [3, 2, 1]
    assert numbers("--state", "archived") == numbers("--state", "any", "--tag", "old") == [4]
    assert numbers("--state", "archived", "--state", "ready") == [4, 3, 2, 1]
    assert numbers("--max", "mae=2") == numbers("--max", "mae=2", "--min", "mae=0") == [3, 1]
    assert numbers("--min", "margin=2.5") == [2]
    assert numbers("--trainer", "ridge") == numbers("--champions") == [champion.number]
    assert numbers("--since", "2026-03-03") == numbers("--since", "2026-03-03T00:00:00Z") == [3]
    assert numbers("--until", "2026-03-02") == [1]
    assert numbers("--limit", "1") == [3]
    assert numbers("--trainer", "nobody") == []


def test_a_list_for_people_shows_place_metric_and_label(model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=model, scorecard=Scorecard(metrics={"mae": 1.25, "wape": 0.5}))
    scored(model, mae=2.0)
    said = commands.run("versions", "bakery", "--max", "wape=1").text
    for words in ("Versions of acme/bakery", "champion", "1.250", "wape", "0.5000", champion.label):
        assert words in said
    assert "The newest 1; there are more, see --limit." in commands.run("versions", "bakery", "--limit", "1").text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--max", "maee=1"], "--max maee: no such metric. There are"),
        (["--max", "mae"], "give a number, such as mae=0.5"),
        (["--min", "mae=inf"], "give a number"),
        (["--min", "mae=2", "--max", "mae=1"], "No version has a mae of at least 2 and at most 1."),
        (["--since", "yesterday"], "--since: 'yesterday' is not an ISO 8601 time"),
        (["--limit", "0"], "allowed is 1 or more"),
        (["rol"], "Fleet bakery has no entity 'rol'. Did you mean roll?"),
    ],
)
def test_a_mistake_is_named_and_ends_with_2(model: RegisteredModel, options: list[str], told: str) -> None:
    said = commands.run("versions", "bakery", *options)
    assert said.status == 2
    assert told in said.text


def test_nothing_found_ends_with_3_and_says_what_is_left_out(model: RegisteredModel) -> None:
    said = commands.run("versions", "bakery")
    assert said.status == 3
    assert "Archived and deleted ones need --state." in said.text


@pytest.mark.requirement("R08")
def test_models_show_champion_and_latest(model: RegisteredModel) -> None:
    factories.champion(registered_model=model, scorecard=Scorecard(metrics={"mae": 1.25}))
    scored(model, mae=2.5)
    factories.registered_model(fleet=model.fleet, entity_key="bun", tags=["new"])
    factories.registered_model(fleet=model.fleet, entity_key="gone", state="retired")
    said = commands.run("models", "bakery").text
    for words in ("roll", "v1", "1.250", "v2", "2.500", "bun", "2 models, 1 with a champion."):
        assert words in said
    [bun, roll] = commands.run("models", "bakery", "--json").json["models"]
    assert (bun["entity"], bun["champion"], bun["latest"], bun["tags"]) == ("bun", None, None, ["new"])
    assert (roll["champion"]["number"], roll["latest"]["number"], roll["challenger"]) == (1, 2, None)
    assert [each["entity"] for each in commands.run("models", "bakery", "--json", "--tag", "new").json["models"]] == [
        "bun"
    ]
    assert [each["entity"] for each in commands.run("models", "bakery", "--json", "--retired").json["models"]] == [
        "gone"
    ]
    assert commands.run("models", "bakery", "--tag", "nope").status == 3


@pytest.mark.requirement("R11")
def test_two_versions_are_compared_with_winner_and_differences(model: RegisteredModel) -> None:
    factories.champion(registered_model=model, scorecard=Scorecard(metrics={"mae": 2.0, "mape": None}))
    scored(model, mae=1.0, params={"growth": "flat"})
    said = commands.run("compare", "bakery", "roll", "champion", "latest")
    assert said.status == 0
    for words in (
        "Compare with care. At least one of the two does not say",
        "v1 against v2",
        "-50.0%",
        "No value in the first: no reason was given.",
        "What differs in recipe and data",
        "growth",
    ):
        assert words in said.text
    assert "refitted" not in said.text
    assert "refitted" in commands.run("compare", "bakery", "roll", "1", "2", "--all").text
    told = commands.run("compare", "bakery", "roll", "1", "2", "--json").json
    assert (told["first"]["number"], told["second"]["number"], told["primary"]) == (1, 2, "mae")
    assert told["metrics"][0]["winner"] == "second"


def test_two_equal_versions_differ_in_nothing(model: RegisteredModel) -> None:
    scored(model, mae=1.0)
    said = commands.run("compare", "bakery", "roll", "1", "1").text
    assert "Recipe and data are the same." in said
    assert "neither" in said


@pytest.mark.parametrize("reference", ["9", "champion", "best"])
def test_a_version_that_is_not_there_ends_with_2_and_the_way_to_those_that_are(
    model: RegisteredModel, reference: str
) -> None:
    scored(model)
    said = commands.run("compare", "bakery", "roll", "1", reference)
    assert said.status == 2
    assert "Its versions: manage.py versions bakery roll" in said.text


@pytest.mark.parametrize("command", ["versions", "models"])
def test_a_list_asks_as_often_for_thirty_rows_as_for_one(command: str, model: RegisteredModel) -> None:
    def queries(read: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as found:
            read()
        return len([each for each in found if "SELECT" in each["sql"]])

    def add() -> None:
        factories.champion(registered_model=factories.registered_model(fleet=model.fleet))

    add()
    one = queries(lambda: commands.run(command, "bakery", "--json"))
    for _ in range(29):
        add()
    assert queries(lambda: commands.run(command, "bakery", "--json")) == one
