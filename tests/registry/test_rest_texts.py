"""The database writes a version as the serializer would, member by member, and the pages keep their form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.utils.encoders import JSONEncoder

from registry import lifecycle
from registry.models import Event, ModelVersion
from registry.reports import Scorecard
from registry.rest_api import shapes, texts
from registry.rest_base import paging
from tests import factories
from tests.factories import NOW
from tests.rest_client import caller

pytestmark = pytest.mark.django_db
HALF = datetime(2026, 2, 3, 4, 5, 6, 120_000, tzinfo=UTC)


def serialized(version_id: UUID) -> dict[str, Any]:
    version = ModelVersion.objects.select_related("registered_model__fleet").get(pk=version_id)
    found: dict[str, Any] = json.loads(json.dumps(shapes.VersionSerializer(version).data, cls=JSONEncoder))
    return found


def rich() -> ModelVersion:
    """A version with a value in every column, texts that JSON has to escape, and stamps with and without fractions."""
    model = factories.registered_model()
    scorecard = Scorecard(metrics={"mae": 1e-7, "bias": None}, reasons={"bias": 'no "actuals"'}, points=28, windows=4)
    version = factories.champion(
        registered_model=model,
        at=NOW + timedelta(microseconds=1),
        params={"depth": 3, "name": "Ä\u2028\\", "steps": [1, 2.5, None]},
        scorecard=scorecard,
        data_start=HALF,
        train_end=NOW,
        fit_end=NOW,
        rows=120,
        features=["lag,1", 'la"g'],
        snapshot_digest="ab" * 32,
        seed=-(2**40),
        library_versions={"numpy": "2.4"},
        refitted=True,
        note="two\nlines",
        extra={"big": 10**22, "deep": {"x": []}},
    )
    ModelVersion.objects.filter(pk=version.pk).update(tags=["a", "b c"])
    return version


def test_a_version_is_written_as_it_is_serialized() -> None:
    version = rich()
    assert json.loads(texts.version(version.pk)) == serialized(version.pk)


def test_a_version_with_empty_columns_is_written_as_it_is_serialized() -> None:
    version = factories.version(registered_model=factories.registered_model())
    written = json.loads(texts.version(version.pk))
    assert written == serialized(version.pk)
    assert (written["pointers"], written["promoted_at"], written["features"]) == ([], None, [])


def test_members_stand_in_the_order_of_the_document() -> None:
    assert list(json.loads(texts.version(rich().pk))) == list(shapes.VersionSerializer().fields)


def test_a_query_writes_what_the_statement_for_one_writes() -> None:
    made = [rich(), factories.version(registered_model=factories.registered_model())]
    rows = ModelVersion.objects.filter(registered_model__state="active").order_by("id")
    assert list(rows.values_list(texts.VersionText(), flat=True)) == [texts.version(each.pk) for each in made]


def test_all_pointers_to_a_version_are_written() -> None:
    version = rich()
    model = version.registered_model
    type(model).objects.filter(pk=model.pk).update(challenger=version.pk)
    assert json.loads(texts.version(version.pk))["pointers"] == ["champion", "challenger", "anchor"]


def test_a_quarantined_version_says_why_and_since_when_and_a_released_one_no_longer() -> None:
    version = rich()
    for reason in ('The file "x" is damaged.', "It is damaged again."):
        lifecycle.quarantine([version.pk], actor="ada", reason=reason, at=HALF, cause="key rotation")
        written = json.loads(texts.version(version.pk))
        ModelVersion.objects.filter(pk=version.pk).update(state="ready")
    assert json.loads(texts.version(version.pk))["quarantined"] is None
    ModelVersion.objects.filter(pk=version.pk).update(state="quarantined")
    assert written == json.loads(texts.version(version.pk)) == serialized(version.pk)
    assert written["quarantined"] == {
        "reason": "It is damaged again.", "cause": "key rotation", "actor": "ada", "at": written["quarantined"]["at"],
    }  # fmt: skip
    assert written["quarantined"]["at"] == Event.objects.latest("count").at.isoformat().replace("+00:00", "Z")


def test_a_quarantine_of_which_the_ledger_says_nothing_is_null() -> None:
    version = factories.version(registered_model=factories.registered_model())
    ModelVersion.objects.filter(pk=version.pk).update(state="quarantined")
    assert json.loads(texts.version(version.pk)) == serialized(version.pk)
    assert serialized(version.pk)["quarantined"] is None


@pytest.mark.usefixtures("roles")
def test_a_list_says_why_versions_are_quarantined_without_a_query_more(django_assert_num_queries: Any) -> None:
    model = factories.registered_model()
    made = [factories.version(registered_model=model) for _ in range(3)]
    viewer = caller(role="viewer")
    viewer.get("versions", fleet=model.fleet.name)  # notes that the token was used
    with CaptureQueriesContext(connection) as before:
        viewer.get("versions", fleet=model.fleet.name)
    lifecycle.quarantine([each.pk for each in made[:2]], actor="ada", reason="Damaged.", at=NOW)
    with django_assert_num_queries(len(before)):
        found = viewer.get("versions", fleet=model.fleet.name).json()["results"]
    reasons = [each["quarantined"] and each["quarantined"]["reason"] for each in found]
    assert reasons == [None, "Damaged.", "Damaged."]


def test_the_reason_is_found_by_an_index_and_only_for_what_is_quarantined() -> None:
    version = rich()
    text = texts.written()
    with connection.cursor() as cursor:
        # A plan over a bitmap names its index elsewhere.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        # Of few rows the planner takes any index; this one would do as well, and is not what serves a long ledger.
        cursor.execute("DROP INDEX event_of_kind")
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {texts._ONE.format(text=text.statement)}", [*text.values, version.pk]
        )
        [[[plan]]] = cursor.fetchall()
    [lines] = [each for each in nodes(plan["Plan"]) if each.get("Relation Name") == "registry_event"]
    assert "to_version" in lines["Index Name"]
    assert lines["Actual Loops"] == 0


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every step of a plan."""
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


@pytest.mark.usefixtures("roles")
def test_the_plain_list_of_a_model_is_the_search_that_leaves_nothing_out() -> None:
    model = factories.registered_model()
    made = [factories.champion(registered_model=model) for _ in range(5)]
    for version, state in zip(made, ("archived", "deleted", "quarantined", "pending"), strict=False):
        ModelVersion.objects.filter(pk=version.pk).update(state=state)
    address = f"models/{model.fleet.name}/{model.entity_key}/versions"
    viewer = caller(role="viewer")
    for page in ({"limit": 2}, {"limit": 3}, {}, {"limit": 2, "cursor": paging.encode(["4"])}):
        plain, searched = viewer.get(address, **page).json(), viewer.get(address, **page, since="2000-01-01").json()
        assert plain["results"] == searched["results"] != []
        assert plain["next_cursor"] == searched["next_cursor"]
