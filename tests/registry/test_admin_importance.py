"""The card of feature importance on the page of a version: read when it is opened, within limits, or a sentence."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from registry import bundle, lifecycle, ownership, timestamps
from registry.admin import importance
from registry.bundle import Bundle
from registry.models import ModelVersion
from registry.ownership import Standing
from registry.store import StoreUnavailable
from registry.upkeep import store_watch
from tests import admin_pages, factories
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles"), pytest.mark.requirement("R04")]


def version(weights: dict[str, float]) -> ModelVersion:
    content = bundle.pack(Bundle(format="seasonal-naive-json-1", forecaster=b"{}", feature_importance=weights))
    return factories.version(registered_model=factories.registered_model(), content=content)


def card(of: ModelVersion) -> str:
    """Return what the card says, read by somebody who may only look."""
    page = admin_pages.text(admin_pages.client(role="viewer").get(admin_pages.page(of)))
    assert page.count("Feature importance ") >= 1
    return page.split("Feature importance ", 1)[1].split(" Holds ")[0]


def test_the_features_that_weigh_most_come_first_also_negative_ones() -> None:
    said = card(version({"promo": 0.25, "price": -0.75, "rain": 0.1}))
    assert "price -0.75 promo 0.25 rain 0.1" in said
    assert "more feature" not in said


def test_twenty_are_shown_and_how_many_more() -> None:
    said = card(version({f"lag_{number:02}": float(number) for number in range(1, 24)}))
    assert "lag_23 23" in said and "lag_04 4" in said and "lag_03" not in said
    assert "and 3 more features" in said


def test_a_trainer_that_gives_none_is_told() -> None:
    assert "Its trainer gives none." in card(version({}))


def test_a_feature_is_shown_as_text() -> None:
    made = version({"<script>alert(1)</script>": 1.0})
    assert b"<script>alert" not in admin_pages.client().get(admin_pages.page(made)).content


def test_the_page_opens_and_says_why_where_the_bytes_cannot_be_read(artifact_folder: Path) -> None:
    made = version({"promo": 1.0})
    kept.path(artifact_folder, made.artifact_digest).write_bytes(b"x" * made.artifact_size)
    assert "its SHA-256 is not the one registered" in card(made)
    kept.path(artifact_folder, made.artifact_digest).unlink()
    assert "is missing" in card(made)


def test_nothing_is_read_of_what_nobody_is_given() -> None:
    made = version({"promo": 1.0})
    lifecycle.quarantine([made.pk], actor="ada", reason="Not trusted.", at=NOW)
    said = card(made)
    assert "is quarantined since" in said and "promo" not in said


def test_what_is_no_bundle_is_told() -> None:
    assert "bundle" in card(factories.version(registered_model=factories.registered_model(), content=b"no bundle"))


def test_a_large_artifact_is_not_read_for_a_page(monkeypatch: pytest.MonkeyPatch, artifact_folder: Path) -> None:
    made = version({"promo": 1.0})
    monkeypatch.setattr(importance, "READ_BYTES", made.artifact_size - 1)
    kept.path(artifact_folder, made.artifact_digest).unlink()
    said = card(made)
    assert "more than is read for a page" in said and "missing" not in said


def test_a_bomb_is_refused_by_the_limits_of_what_is_stored(settings: Settings) -> None:
    made = version({f"feature_{number}": 1.0 for number in range(2000)})
    settings.PERENNIAL_REGISTRY = {**settings.PERENNIAL_REGISTRY, "max_unpacked_bytes": 4096}
    said = card(made)
    assert "refused as a bomb" in said and "feature_1 " not in said


def test_a_store_in_trouble_is_not_asked_and_the_trouble_is_told(artifact_folder: Path) -> None:
    made = version({"promo": 1.0})
    away = Standing(purpose=ownership.ARTIFACTS, url="", installation=None, refused=StoreUnavailable("Away."))
    store_watch.note(away, at=timestamps.utc_now() - timedelta(seconds=5))
    said = card(made)
    assert "The artifact is not read now: The artifact store" in said and "promo" not in said


def test_the_list_of_versions_reads_no_bytes(artifact_folder: Path) -> None:
    made = version({"promo": 1.0})
    kept.path(artifact_folder, made.artifact_digest).unlink()
    assert admin_pages.client(role="viewer").get(admin_pages.listing(ModelVersion)).status_code == 200
