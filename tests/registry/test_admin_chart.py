"""The chart of a model's versions: what is hidden, distrusted or given up is drawn so that one can tell."""

from __future__ import annotations

import re

import pytest

from registry import lifecycle
from registry.models import RegisteredModel
from tests import admin_pages, factories
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles"), pytest.mark.requirement("U03")]


def drawn(model: RegisteredModel) -> tuple[dict[str, str], str]:
    """Return the class of each mark by its tooltip, and the legend."""
    content = admin_pages.client(role="viewer").get(admin_pages.page(model)).content.decode()
    marks = re.findall(r'<(?:circle|path) class="(pn-mark [^"]*)"[^>]*><title>([^<]*)</title>', content)
    legend = re.search(r'<figcaption class="pn-legend">(.*?)</figcaption>', content, flags=re.S)
    assert legend is not None
    return {title: classes for classes, title in marks}, legend.group(1)


def test_archived_quarantined_and_deleted_versions_are_outlines_with_a_name() -> None:
    model, versions = kept.model(versions=4)
    kept.archive(versions[:2])
    lifecycle.forget([versions[0].pk], actor="ada", reason="Tidy.", at=NOW)
    lifecycle.quarantine([versions[2].pk], actor="ada", reason="Odd.", at=NOW)
    marks, legend = drawn(model)
    assert {title: "pn-hollow" in classes for title, classes in marks.items()} == {
        "v1 (seasonal_naive), deleted: MAE 1": True,
        "v2 (seasonal_naive), archived: MAE 1": True,
        "v3 (seasonal_naive), quarantined: MAE 1": True,
        "v4 (seasonal_naive): MAE 1": False,
    }
    assert '<span class="pn-key pn-key-hollow">not for use: archived, quarantined, deleted</span>' in legend


def test_a_former_champion_keeps_its_star_as_an_outline() -> None:
    model = factories.registered_model()
    _, second, _ = [factories.champion(registered_model=model) for _ in range(3)]  # the first is the anchor
    lifecycle.archive([second.pk], actor="ada", reason="Old.", at=NOW)
    marks, legend = drawn(model)
    assert marks["v2 (seasonal_naive), archived: MAE 1"] == "pn-mark pn-star pn-hollow"
    assert marks["v3 (seasonal_naive): MAE 1"] == "pn-mark pn-star"
    assert "not for use: archived<" in legend


def test_where_all_are_for_use_the_legend_names_no_outline() -> None:
    model = factories.registered_model()
    factories.champion(registered_model=model)
    assert "not for use" not in drawn(model)[1]
