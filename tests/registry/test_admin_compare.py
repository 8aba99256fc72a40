"""The page that sets two versions against each other, and the filters of the list of versions."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry import timestamps
from registry.admin import charts
from registry.admin.versions import ModelVersionAdmin
from registry.metrics import Direction
from registry.models import Hold, MetricSettings, ModelVersion, RegisteredModel
from registry.reports import Scorecard
from registry.upkeep import store_watch
from tests import admin_pages, factories
from tests.admin_pages import listing, page, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]


@pytest.fixture(autouse=True)
def look() -> None:
    """As where everything runs: a worker has just looked at the store."""
    store_watch.look(at=timestamps.utc_now())


@pytest.fixture
def http() -> Client:
    return admin_pages.client(role="viewer")


@pytest.fixture
def model() -> RegisteredModel:
    own = MetricSettings(primary="margin", directions={"margin": Direction.HIGHER})
    return factories.registered_model(
        fleet=factories.fleet(name="bakery", metric_settings=own), entity_key="store-1:roll"
    )


def scored(model: RegisteredModel, **values: Any) -> ModelVersion:
    columns = {name: values.pop(name) for name in ("trainer", "params") if name in values}
    card = Scorecard(metrics=values, test_start="2026-01-01", test_end="2026-01-28")
    return factories.version(registered_model=model, scorecard=card, **columns)


def compare(http: Client, **parameters: Any) -> Any:
    return http.get(reverse("admin:registry_modelversion_compare"), parameters)


def row(answer: Any, name: str) -> str:
    [found] = re.findall(rf"<tr>\s*<td><code>{name}</code>.*?</tr>", answer.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))


@pytest.mark.requirement("R11", "U03")
def test_two_versions_stand_side_by_side_with_the_winner_in_words(http: Client, model: RegisteredModel) -> None:
    one = scored(model, margin=1.0, mae=2.0, rmse=3.0, params={"growth": "linear", "cap": 1})
    two = scored(model, margin=2.0, mae=2.5, rmse=3.0, params={"growth": "flat", "cap": 1})
    answer = compare(http, first=one.pk, second=two.pk)
    assert answer.status_code == 200
    assert "v2" in row(answer, "margin")
    assert row(answer, "mae").split()[-2:] == ["check", "v1"]
    assert row(answer, "rmse").split()[-1] == "neither"
    for words in ("+0.5", "+25.0%", "growth", "linear", "flat", "1 the same", "How much better, in percent"):
        assert words in text(answer), words
    assert 'class="pn-winner">2.50' not in answer.content.decode()
    assert 'class="pn-winner">2<' in answer.content.decode()


@pytest.mark.requirement("U03")
def test_a_model_and_a_version_lead_to_the_page_by_any_reference(http: Client, model: RegisteredModel) -> None:
    champion = factories.champion(registered_model=model)
    newest = scored(model, mae=1.0)
    for source in (model, newest):
        content = http.get(page(source)).content.decode()
        assert f'action="{reverse("admin:registry_modelversion_compare")}"' in content
    for first, second in (("champion", "latest"), ("1", "2"), (champion.label, str(newest.pk))):
        answer = compare(http, model=model.pk, first=first, second=second)
        assert "Compare bakery/store-1:roll v1 with v2" in text(answer)
        assert "Compare with care" in text(answer)


def test_a_model_with_one_version_offers_nothing_to_compare(http: Client, model: RegisteredModel) -> None:
    scored(model)
    assert "Compare two versions" not in text(http.get(page(model)))


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"first": "1"}, "The second version is not named."),
        ({"first": "1", "second": "9"}, "has no version"),
        ({"first": "1", "second": "champion"}, "has no champion"),
        ({"first": "best", "second": "1"}, "is not an id, number or label"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_beside_the_form(
    http: Client, model: RegisteredModel, parameters: dict[str, str], told: str
) -> None:
    scored(model)
    answer = compare(http, model=model.pk, **parameters)
    assert answer.status_code in (400, 404)
    assert told in text(answer)
    assert 'name="first"' in answer.content.decode()


@pytest.mark.requirement("X04")
def test_what_is_foreign_cannot_be_compared(model: RegisteredModel) -> None:
    one, two = scored(model), scored(model)
    stranger = admin_pages.client(role="admin", tenants=("globex",))
    assert compare(stranger, first=one.pk, second=two.pk).status_code == 404
    assert compare(stranger, model=model.pk, first="1", second="2").status_code == 404
    assert "There is no version" in text(compare(stranger, first=one.pk, second=two.pk))


def test_versions_of_two_fleets_are_refused_with_the_way_out(model: RegisteredModel) -> None:
    other = scored(factories.registered_model())
    answer = compare(admin_pages.client(), first=scored(model).pk, second=other.pk)
    assert answer.status_code == 400
    assert "Compare two versions of one fleet" in text(answer)


def select(http: Client, *versions: ModelVersion) -> Any:
    chosen = {"action": "compare_selected", "_selected_action": [str(each.pk) for each in versions]}
    return http.post(listing(ModelVersion), chosen, follow=True)


@pytest.mark.requirement("U03")
def test_two_selected_versions_are_compared_the_older_first(http: Client, model: RegisteredModel) -> None:
    one, two, three = scored(model), scored(model), scored(model)
    assert "Compare bakery/store-1:roll v1 with v3" in text(select(http, three, one))
    assert "Select exactly two versions to compare." in text(select(http, one))
    assert "Select exactly two versions to compare." in text(select(http, one, two, three))


def shown(http: Client, **filters: Any) -> list[int]:
    answer = http.get(listing(ModelVersion), filters)
    assert answer.status_code == 200
    return [version.number for version in answer.context["cl"].result_list]


@pytest.mark.requirement("R10")
def test_the_list_is_filtered_by_what_an_index_answers(http: Client, model: RegisteredModel) -> None:
    for margin in (1.0, 2.0, 3.0):
        scored(model, margin=margin, mae=margin)
    scored(model, trainer="ridge")
    ModelVersion.objects.filter(number=2).update(tags=["blessed"])
    ModelVersion.objects.filter(number=3).update(state="archived")
    fleet = model.fleet_id
    assert shown(http) == [4, 2, 1]
    assert shown(http, state__exact="archived") == [3]
    assert shown(http, state__exact="any") == [4, 3, 2, 1]
    assert shown(http, trainer="ridge") == [4]
    assert shown(http, tag="blessed") == [2]
    assert shown(http, fleet=fleet, min="1.5") == [2]
    assert shown(http, fleet=fleet, max="1.5", state__exact="any") == [1]
    assert shown(http, fleet=fleet + 1) == []
    assert shown(http, q="store-1") == shown(http, q=model.versions.get(number=1).label[:8]) == [4, 2, 1]
    assert shown(http, q="bun") == []


def test_the_bounds_are_those_of_the_metric_that_the_fleet_goes_by(http: Client, model: RegisteredModel) -> None:
    assert "By margin" in text(http.get(listing(ModelVersion), {"fleet": model.fleet_id}))
    assert "By mae" in text(http.get(listing(ModelVersion)))
    answer = http.get(listing(ModelVersion), {"min": "many"})
    assert "&#x27;many&#x27; is not a number" in text(answer)


def test_typing_a_filter_keeps_those_that_were_clicked(http: Client, model: RegisteredModel) -> None:
    scored(model, margin=1.0)
    chosen: dict[str, Any] = {"fleet": model.fleet_id, "state__exact": "any", "min": "0.5", "tag": "", "q": "store"}
    content = http.get(listing(ModelVersion), chosen).content.decode()
    form = content[content.index('id="filter-form"') :].split("</form>")[0]
    # As a browser sends them; of those that stand twice the last one counts.
    sent = dict(re.findall(r'<input type="(?:hidden|text)" name="([^"]+)"(?: value="([^"]*)")?', form))
    expected = {"fleet": str(model.fleet_id), "state__exact": "any", "min": "0.5", "max": "", "tag": "", "q": "store"}
    assert sent == expected


def test_the_list_asks_for_no_exact_count_and_orders_as_its_index(
    http: Client, model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelVersionAdmin, "list_per_page", 2)
    for _ in range(3):
        scored(model)
    with CaptureQueriesContext(connection) as seen:
        http.get(listing(ModelVersion))
    asked = [each["sql"] for each in seen if '"registry_modelversion"."created_at" DESC' in each["sql"]]
    *bounded, rows = asked  # the trainers that are offered, the keys of the page; then the rows by these
    assert len(bounded) == 2
    assert all('"created_at" DESC, "registry_modelversion"."id" DESC LIMIT' in each for each in bounded)
    assert '"registry_modelversion"."id" IN (' in rows
    assert not [each["sql"] for each in seen if "DISTINCT" in each["sql"]]


@pytest.mark.parametrize("kind", [ModelVersion, RegisteredModel, Hold])
def test_a_list_asks_as_often_for_thirty_rows_as_for_one(kind: Any) -> None:
    http = admin_pages.client()
    model = factories.registered_model()

    def add() -> None:
        version = factories.champion(registered_model=factories.registered_model(fleet=model.fleet))
        Hold.objects.create(version=version, placed_by="user", reason="kept")

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert http.get(listing(kind)).status_code == 200
        return len(found)

    add()
    one = queries()
    for _ in range(29):
        add()
    assert queries() == one <= 20


def test_the_page_asks_as_often_for_thirty_metrics_as_for_one(http: Client, model: RegisteredModel) -> None:
    def queries(count: int) -> int:
        many = {f"m{number}": float(number) for number in range(count)}
        one, two = scored(model, **many), scored(model, **many)
        with CaptureQueriesContext(connection) as found:
            assert compare(http, model=model.pk, first=one.number, second=two.number).status_code == 200
        return len(found)

    assert queries(1) == queries(30) <= 18


def test_bars_go_up_for_better_and_down_for_worse() -> None:
    chart = charts.gains(labels=["mae", "rmse"], values=[20.0, -5.0], names=("v2 better", "v1 better"), description="x")
    better, worse = chart.bars
    zero = next(tick.at for tick in chart.y_ticks if tick.text == "0")
    assert (better.style, better.y + better.height) == ("better", zero)
    assert (worse.style, worse.y) == ("worse", zero)
    assert (better.text, worse.text) == ("mae: 20.0 % better", "rmse: 5.0 % worse")
