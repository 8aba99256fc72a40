"""Two versions side by side in a real browser: reached from the model, the winner marked by more than a colour."""

from __future__ import annotations

import pytest

from registry.models import ModelVersion
from registry.reports import Scorecard
from tests import factories
from tests.admin_pages import listing, page
from tests.browser.chromium import Tab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("roles")]


def scored(mae: float, rmse: float) -> Scorecard:
    return Scorecard(metrics={"mae": mae, "rmse": rmse}, test_start="2026-01-01", test_end="2026-01-28")


@pytest.mark.requirement("U03", "R11")
def test_a_model_leads_to_the_comparison_of_its_champion_with_its_newest(tab: Tab) -> None:
    model = factories.registered_model()
    factories.champion(registered_model=model, scorecard=scored(2.0, 3.0))
    factories.version(registered_model=model, scorecard=scored(1.0, 4.0))
    drawn = tab.open(page(model))
    drawn.get_by_role("button", name="Compare").click()
    drawn.locator("#compare").wait_for()
    winners = drawn.locator(".pn-winner").all_inner_texts()
    assert winners == ["1", "3"]
    marks = drawn.evaluate(
        "[...document.querySelectorAll('.pn-winner')].map(e => getComputedStyle(e, '::before').content)"
    )
    assert all("✓" in mark for mark in marks)
    assert drawn.locator("svg[role=img] .pn-bar").count() == 2
    drawn.get_by_role("link", name="Swap").click()
    drawn.locator("#compare").wait_for()
    assert drawn.get_by_label("First").input_value() == "latest"
    assert tab.faults == []


def test_the_page_draws_in_light_and_in_dark(tab: Tab) -> None:
    model = factories.registered_model()
    for mae in (1.0, 2.0):
        factories.version(registered_model=model, scorecard=scored(mae, mae))
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        drawn = tab.open(f"{listing(ModelVersion)}compare/?model={model.pk}&first=1&second=2")
        text = drawn.evaluate("getComputedStyle(document.querySelector('.pn-compare input[name=first]')).color")
        card = drawn.evaluate("getComputedStyle(document.querySelector('.pn-card')).backgroundColor")
        assert text != card, scheme
    assert tab.faults == []


def test_two_versions_that_are_ticked_in_the_list_are_compared(tab: Tab) -> None:
    model = factories.registered_model()
    for mae in (1.0, 2.0):
        factories.version(registered_model=model, scorecard=scored(mae, mae))
    drawn = tab.open(listing(ModelVersion))
    for box in drawn.locator("input.action-select").all():
        box.check()
    drawn.locator("select[name=action]").select_option("compare_selected")
    drawn.get_by_role("button", name="Run").click()
    drawn.get_by_text(f"{model} v1 against v2").wait_for()
    assert tab.faults == []
