"""The page before an action on many rows in a real browser: chosen across pages, confirmed, and told."""

from __future__ import annotations

import pytest

from registry.models import RegisteredModel
from tests import factories
from tests.admin_pages import listing
from tests.browser.chromium import Tab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("roles")]


@pytest.mark.requirement("U03")
def test_all_rows_of_a_list_are_chosen_across_its_pages_and_tagged(tab: Tab) -> None:
    fleet = factories.fleet(name="crowd")
    RegisteredModel.objects.bulk_create(
        [RegisteredModel(fleet=fleet, entity_key=f"machine-{number}") for number in range(200)]
    )
    drawn = tab.open(listing(RegisteredModel))
    drawn.locator("#action-toggle").check()
    drawn.get_by_role("link", name="Select all").click()
    drawn.locator("select[name=action]").select_option("tag")
    drawn.get_by_role("button", name="Run").click()
    drawn.locator("#confirm_form").wait_for()
    assert drawn.get_by_text("and 180 more").count() == 1
    assert "ids=" not in drawn.url
    drawn.get_by_label("Add").fill("season")
    drawn.get_by_label("Reason").fill("Season begins.")
    drawn.get_by_role("button", name="Tag").click()
    drawn.get_by_text("Tagged: 200.").wait_for()
    assert RegisteredModel.objects.filter(tags=["season"]).count() == 200
    assert tab.faults == []
