"""Retention over REST: read by viewers, pruned by approvers in bounded calls; operators hold, approvers lift."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry import timestamps
from registry.models import Event, Hold, ModelVersion, RegisteredModel
from registry.rest_api import retention
from tests.factories import NOW
from tests.registry import kept
from tests.rest_client import Caller, caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles"), pytest.mark.requirement("R16")]
NOWHERE = "0190a1b2-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timestamps, "utc_now", lambda: NOW)


@pytest.fixture
def model() -> RegisteredModel:
    return kept.model(versions=5)[0]


def states(model: RegisteredModel) -> list[str]:
    return list(model.versions.order_by("number").values_list("state", flat=True))


def prune(who: Caller, model: RegisteredModel, **body: Any) -> Any:
    return who.post(f"models/{model.fleet.name}/{model.entity_key}/prune", body)


def test_a_viewer_reads_policy_and_preview(model: RegisteredModel) -> None:
    kept.archive(list(model.versions.order_by("number")[:1]))
    body = caller(role="viewer").get(f"fleets/{model.fleet.name}/retention").json()
    size = model.versions.get(number=1).artifact_size
    assert body["policy"] == {
        "keep": 1,
        "champions": 3,
        "younger_than_days": 0,
        "served_within_days": 0,
        "grace_days": 7,
    }
    assert body["marked"] == {"models": 1, "versions": 3, "bytes": 3 * size}
    assert body["kept"] == {"newest": {"models": 1, "versions": 1, "bytes": size}}
    assert body["waiting"] == {
        "versions": 1, "bytes": size, "first_at": "2026-03-08T12:00:00Z", "last_at": "2026-03-08T12:00:00Z",
    }  # fmt: skip
    assert body["due"] == {"versions": 0, "bytes_freed": 0}


def test_candidates_come_in_pages(model: RegisteredModel) -> None:
    viewer = caller(role="viewer")
    page = viewer.get(f"fleets/{model.fleet.name}/retention/candidates", limit=3).json()
    rows = page["results"]
    while page["next"]:
        page = viewer.get(page["next"]).json()
        rows += page["results"]
    assert [row["number"] for row in rows] == [1, 2, 3, 4]
    assert {row["entity"] for row in rows} == {model.entity_key}
    broken = viewer.get(f"fleets/{model.fleet.name}/retention/candidates", cursor="WyJhIl0")
    problem(broken, status=400, code="invalid")


def test_a_list_of_candidates_asks_as_often_for_thirty_models_as_for_one() -> None:
    fleet, viewer = kept.fleet(), caller(role="viewer")
    address = f"fleets/{fleet.name}/retention/candidates"
    kept.model(owner=fleet)
    viewer.get(address)
    counts = []
    for more in (0, 29):
        for _ in range(more):
            kept.model(owner=fleet)
        with CaptureQueriesContext(connection) as seen:
            viewer.get(address, limit=200)
        counts.append(len(seen))
    assert counts[0] == counts[1] <= 8


def test_a_dry_run_changes_nothing_and_needs_no_reason(model: RegisteredModel) -> None:
    body = prune(caller(role="approver"), model, dry_run=True).json()
    assert [row["number"] for row in body["versions"]] == [1, 2, 3, 4]
    assert (body["dry_run"], body["next_cursor"]) == (True, None)
    assert states(model) == ["ready"] * 5


def test_pruning_a_model_answers_what_it_marked(model: RegisteredModel) -> None:
    other = kept.model(owner=model.fleet)[0]
    body = prune(caller(role="approver"), model, reason="Disk is full.").json()
    marked = ModelVersion.objects.filter(state="archived").order_by("number")
    assert [row["id"] for row in body["versions"]] == [str(each.pk) for each in marked]
    assert states(model) == ["archived"] * 4 + ["ready"]
    assert states(other) == ["ready"] * 3
    assert set(Event.objects.filter(kind="registry.version.archived").values_list("reason", "cause")) == {
        ("Disk is full.", "retention")
    }


def test_pruning_needs_a_reason(model: RegisteredModel) -> None:
    refused = problem(prune(caller(role="approver"), model), status=400, code="reason_missing")
    assert refused["errors"][0]["pointer"] == "#/reason"
    assert states(model) == ["ready"] * 5


def test_a_cursor_that_is_none_is_a_fault_of_the_body(model: RegisteredModel) -> None:
    refused = problem(prune(caller(role="approver"), model, reason="x", cursor="WyJhIl0"), status=400, code="invalid")
    assert [each["pointer"] for each in refused["errors"]] == ["#/cursor"]
    assert states(model) == ["ready"] * 5


@pytest.mark.requirement("R17")
def test_one_call_marks_a_bounded_number_and_its_cursor_goes_on(
    model: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MARKED_MOST", 3)
    approver, address = caller(role="approver"), f"fleets/{model.fleet.name}/prune"
    first = approver.post(address, {"reason": "space"}).json()
    assert (len(first["versions"]), states(model).count("archived")) == (3, 3)
    second = approver.post(address, {"reason": "space", "cursor": first["next_cursor"]}).json()
    assert ([row["number"] for row in second["versions"]], second["next_cursor"]) == ([4], None)


def test_a_repeated_request_marks_once_and_answers_the_same(model: RegisteredModel) -> None:
    approver = caller(role="approver")
    address = f"fleets/{model.fleet.name}/prune"
    first, again = (approver.post(address, {"reason": "space"}, key="once") for _ in range(2))
    assert first.json() == again.json()
    assert len(first.json()["versions"]) == 4


def test_an_operator_holds_a_version_and_an_approver_lifts_the_hold(model: RegisteredModel) -> None:
    operator, version = caller(role="operator"), model.versions.get(number=1)
    until = timestamps.utc_now() + timedelta(days=30)
    made = operator.post(f"versions/{version.pk}/holds", {"reason": "audit", "until": until.isoformat()})
    assert made.status_code == 201
    hold = made.json()
    assert (hold["version"], hold["placed_by"], hold["reason"]) == (str(version.pk), "user", "audit")
    assert [row["id"] for row in operator.get(f"versions/{version.pk}/holds").json()["results"]] == [hold["id"]]
    body = prune(caller(role="approver"), model, reason="space").json()
    assert [row["number"] for row in body["versions"]] == [2, 3, 4]
    problem(operator.delete(f"versions/{version.pk}/holds/{hold['id']}?reason=x"), status=403, code="permission_denied")
    approver = caller(role="approver")
    problem(approver.delete(f"versions/{version.pk}/holds/{hold['id']}"), status=400, code="invalid")
    lifted = approver.delete(f"versions/{version.pk}/holds/{hold['id']}?reason=done")
    assert (lifted.status_code, Hold.objects.count()) == (204, 0)
    assert Event.objects.latest("id").reason == "done"


def test_a_hold_that_cannot_be_is_refused_with_its_reason(model: RegisteredModel) -> None:
    operator, version = caller(role="operator"), model.versions.get(number=1)
    past = {"reason": "audit", "until": "2020-01-01T00:00:00Z"}
    problem(operator.post(f"versions/{version.pk}/holds", past), status=400, code="hold_ended")
    problem(operator.post(f"versions/{version.pk}/holds", {"reason": " "}), status=400, code="invalid")
    problem(operator.post(f"versions/{NOWHERE}/holds", {"reason": "x"}), status=404, code="version_unknown")
    approver = caller(role="approver")
    problem(approver.delete(f"versions/{version.pk}/holds/7?reason=x"), status=404, code="hold_unknown")
    problem(approver.delete(f"versions/{version.pk}/holds/seven?reason=x"), status=404, code="hold_unknown")
    ModelVersion.objects.filter(pk=version.pk).update(state="deleted")
    problem(operator.post(f"versions/{version.pk}/holds", {"reason": "x"}), status=409, code="version_gone")


def test_a_hold_of_another_version_is_not_reached(model: RegisteredModel) -> None:
    first, second = model.versions.order_by("number")[:2]
    hold = Hold.objects.create(version=first, placed_by="user", reason="audit")
    approver = caller(role="approver")
    problem(approver.delete(f"versions/{second.pk}/holds/{hold.pk}?reason=x"), status=404, code="hold_unknown")
    stranger = caller(role="admin", tenants=("globex",))
    problem(stranger.delete(f"versions/{first.pk}/holds/{hold.pk}?reason=x"), status=404, code="version_unknown")
    assert Hold.objects.count() == 1


@pytest.mark.parametrize("until", ["2026-03-01T12:00:00", "soon", 20260301, "2027-03-01T12:00:00 02:00", "2026-13-01"])
def test_the_end_of_a_hold_is_read_as_every_instant_is(model: RegisteredModel, until: object) -> None:
    version, operator = model.versions.get(number=1), caller(role="operator")
    answer = operator.post(f"versions/{version.pk}/holds", {"reason": "audit", "until": until})
    assert [each["pointer"] for each in problem(answer, status=400, code="invalid")["errors"]] == ["#/until"]
    day = operator.post(f"versions/{version.pk}/holds", {"reason": "audit", "until": "2999-03-01"})
    assert (day.status_code, day.json()["until"]) == (201, "2999-03-01T00:00:00Z")
