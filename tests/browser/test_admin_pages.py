"""The admin in a real browser: pages draw without a fault, from this host alone, and follow what happens."""

from __future__ import annotations

import pytest

from registry import ticks, timestamps
from tests import admin_pages, factories
from tests.admin_pages import listing, page
from tests.browser.chromium import Tab
from training.models import TrainingRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("roles")]
HOSTILE = "<script>window.stolen=1</script>\"'><img src=x onerror=window.stolen=1>{{7*7}}"


@pytest.mark.requirement("U02")
def test_every_page_draws_without_a_fault_and_asks_no_other_host(tab: Tab) -> None:
    rows = admin_pages.one_of_each()
    for name in ("fleet", "model", "version", "run", "batch", "policy", "event"):
        drawn = tab.open(page(rows[name]))
        assert drawn.locator("#panels .pn-card").count() >= 1, name
    tab.open("/admin/").locator("#attention").wait_for()
    tab.open(listing(TrainingRun)).locator("#result_list").wait_for()
    assert tab.faults == []
    assert tab.hosts == {tab.base.split("/")[2]}


def test_hostile_text_runs_nowhere(tab: Tab) -> None:
    rows = admin_pages.one_of_each(words=HOSTILE)
    for row in rows.values():
        for address in (page(row), listing(type(row))):
            drawn = tab.open(address)
            assert drawn.evaluate("window.stolen") is None, address
    tab.open("/admin/")
    assert tab.page.evaluate("window.stolen") is None
    assert tab.faults == []


def test_the_charts_draw_in_light_and_in_dark(tab: Tab) -> None:
    rows = admin_pages.one_of_each()
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        drawn = tab.open(page(rows["model"]))
        assert drawn.locator("svg[role=img]").count() == 2
        for chart in drawn.locator("svg[role=img]").all():
            box = chart.bounding_box()
            assert box is not None
            assert box["width"] > 300, scheme
            assert box["height"] > 100, scheme
        line = drawn.evaluate("getComputedStyle(document.querySelector('.pn-axis text')).fill")
        card = drawn.evaluate("getComputedStyle(document.querySelector('.pn-card')).backgroundColor")
        assert line != card


@pytest.mark.requirement("U04")
def test_retrain_now_is_asked_for_confirmed_and_then_followed_until_it_rests(tab: Tab) -> None:
    fleet = factories.fleet()
    factories.policy(fleet=fleet)
    model = factories.registered_model(fleet=fleet)
    drawn = tab.open(page(model))
    drawn.get_by_role("link", name="Retrain now").first.click()
    drawn.get_by_label("Reason").fill("new prices")
    drawn.get_by_role("button", name="Retrain now").click()
    drawn.get_by_text("This card follows the run.").wait_for()
    run = TrainingRun.objects.get()
    assert drawn.url.endswith(page(run))
    TrainingRun.objects.filter(pk=run.pk).update(state="running", phase="fitting", percent=45)
    drawn.get_by_text("phase fitting").wait_for(timeout=10_000)
    TrainingRun.objects.filter(pk=run.pk).update(
        state="failed",
        code="series_too_short",
        sentence="29 observations are fewer than 30.",
        finished_at=timestamps.utc_now(),
    )
    drawn.get_by_text("29 observations are fewer than 30.").wait_for(timeout=10_000)
    assert drawn.get_by_role("link", name="Cancel run").count() == 0
    assert tab.faults == []


def test_an_instant_is_utc_with_its_age_and_the_viewers_time_in_the_tooltip(tab: Tab) -> None:
    ticks.record("dispatch", at=timestamps.utc_now())
    drawn = tab.open("/admin/")
    instant = drawn.locator("time.pn-time").last
    assert instant.inner_text().endswith("UTC")
    assert "your time" in (instant.get_attribute("title") or "")
