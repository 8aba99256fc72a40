"""The champion over HTTP: who serves, who served, promotion and roll-back by hand, and the ledger of both."""

from __future__ import annotations

from datetime import timedelta

import pytest

from registry import timestamps
from registry.models import Event, RegisteredModel
from tests import factories
from tests.factories import NOW
from tests.rest_client import caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("roles")]
ADDRESS = "models/bakery/bread"


@pytest.fixture
def model() -> RegisteredModel:
    return factories.registered_model(fleet=factories.fleet(name="bakery"), entity_key="bread")


@pytest.mark.requirement("R09")
def test_a_model_without_champion_says_so(model: RegisteredModel) -> None:
    problem(caller(role="viewer").get(f"{ADDRESS}/champion"), status=404, code="no_champion")


@pytest.mark.requirement("P01")
def test_the_champion_is_shown_now_and_at_a_time(model: RegisteredModel) -> None:
    first = factories.champion(registered_model=model, at=NOW)
    second = factories.champion(registered_model=model, at=NOW + timedelta(days=1))
    viewer = caller(role="viewer")
    assert viewer.get(f"{ADDRESS}/champion").json()["id"] == str(second.pk)
    assert viewer.get(f"{ADDRESS}/champion", at="2026-03-01T20:00:00Z").json()["id"] == str(first.pk)
    assert viewer.get(f"{ADDRESS}/champion", at="2026-03-02T20:00:00+05:30").json()["id"] == str(second.pk)
    told = problem(viewer.get(f"{ADDRESS}/champion", at="2026-03-01T11:59:59Z"), status=404, code="no_champion")
    assert "nothing was promoted before" in told["detail"] and "etrain" not in told["next_step"]
    listed = told["next_step"].split()[1]
    assert [each["number"] for each in viewer.get(listed).json()["results"]] == [2, 1]


@pytest.mark.parametrize("at", ["yesterday", "2026-03-01T20:00:00", "2026-13-01T00:00:00Z", "9999999999999"])
def test_a_time_that_is_none_is_refused(model: RegisteredModel, at: str) -> None:
    found = problem(caller(role="viewer").get(f"{ADDRESS}/champion", at=at), status=400, code="invalid")
    assert [each["parameter"] for each in found["errors"]] == ["at"]


def test_nobody_has_served_at_a_time_that_has_not_come(model: RegisteredModel) -> None:
    factories.champion(registered_model=model)
    now, viewer = timestamps.utc_now(), caller(role="viewer")
    for address in (f"{ADDRESS}/champion", "fleets/bakery/champions"):
        for ahead in (0, 50):  # a caller's clock may be
            assert viewer.get(address, at=(now + timedelta(seconds=ahead)).isoformat()).status_code == 200
        found = problem(viewer.get(address, at=(now + timedelta(hours=1)).isoformat()), status=400, code="invalid")
        [refused] = found["errors"]
        assert refused["parameter"] == "at"
        assert f"in the future: it is {now:%Y-%m-%d}" in refused["detail"]


def test_the_etag_spares_the_body_until_the_champion_moves(model: RegisteredModel) -> None:
    factories.champion(registered_model=model)
    viewer = caller(role="viewer")
    first = viewer.get(f"{ADDRESS}/champion")
    again = viewer.get(f"{ADDRESS}/champion", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    listed = viewer.get(f"{ADDRESS}/champion", headers={"If-None-Match": f'"x", {first.headers["ETag"]}'})
    assert listed.status_code == 304
    factories.champion(registered_model=model, at=NOW + timedelta(days=1))
    moved = viewer.get(f"{ADDRESS}/champion", headers={"If-None-Match": first.headers["ETag"]})
    assert moved.status_code == 200
    assert moved.headers["ETag"] != first.headers["ETag"]


@pytest.mark.requirement("R13")
def test_an_approver_promotes_with_a_reason(model: RegisteredModel) -> None:
    factories.champion(registered_model=model)
    better = factories.version(registered_model=model)
    approver = caller(role="approver")
    answer = approver.post(f"{ADDRESS}/promote", {"version": "2", "reason": "Knows the new opening hours."})
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert body["champion"]["id"] == str(better.pk)
    assert body["champion"]["pointers"] == ["champion"]
    assert (body["event"]["kind"], body["event"]["cause"]) == ("registry.champion.promoted", "manual")
    assert body["event"]["reason"] == "Knows the new opening hours."
    assert body["event"]["actor"].startswith("user-")


@pytest.mark.requirement("R14")
def test_an_approver_rolls_back_to_the_champion_before(model: RegisteredModel) -> None:
    first = factories.champion(registered_model=model)
    second = factories.champion(registered_model=model, at=NOW + timedelta(days=1))
    approver = caller(role="approver")
    body = approver.post(f"{ADDRESS}/rollback", {"reason": "Forecasts doubled."}).json()
    assert body["champion"]["id"] == str(first.pk)
    assert (body["event"]["from_version"], body["event"]["to_version"]) == (str(second.pk), str(first.pk))
    named = approver.post(f"{ADDRESS}/rollback", {"to": second.label, "reason": "It was the data."}).json()
    assert named["champion"]["id"] == str(second.pk)


@pytest.mark.parametrize("move", ["promote", "rollback"])
@pytest.mark.parametrize("reason", [None, "", "   "])
def test_a_move_without_a_reason_is_refused(model: RegisteredModel, move: str, reason: str | None) -> None:
    factories.champion(registered_model=model)
    factories.version(registered_model=model)
    body = {"version": "2"} if move == "promote" else {"to": "2"}
    sent = body if reason is None else {**body, "reason": reason}
    found = problem(caller(role="approver").post(f"{ADDRESS}/{move}", sent), status=400, code="invalid")
    assert found["errors"][0]["pointer"] == "#/reason"


def test_a_move_to_what_already_serves_is_a_conflict(model: RegisteredModel) -> None:
    factories.champion(registered_model=model)
    sent = {"version": "1", "reason": "Again."}
    problem(caller(role="approver").post(f"{ADDRESS}/promote", sent), status=409, code="already_champion")


def test_there_may_be_nothing_to_roll_back_to(model: RegisteredModel) -> None:
    factories.champion(registered_model=model)
    answer = caller(role="approver").post(f"{ADDRESS}/rollback", {"reason": "Bad."})
    assert answer.status_code == 409
    assert answer.json()["next_step"]
    assert Event.objects.filter(kind="registry.champion.rolled_back").count() == 0


def test_the_history_tells_every_move_newest_first(model: RegisteredModel) -> None:
    factories.champion(registered_model=model)
    factories.champion(registered_model=model, at=NOW + timedelta(days=1))
    rows = caller(role="viewer").get(f"{ADDRESS}/history").json()["results"]
    assert [row["count"] for row in rows] == [4, 3, 2, 1]
    assert {(row["fleet"], row["entity"]) for row in rows} == {("bakery", "bread")}
    assert rows[0]["previous_hash"] == rows[1]["hash"]


@pytest.mark.django_db(transaction=True)
def test_the_feed_gives_every_event_once_and_a_cursor_for_later(model: RegisteredModel) -> None:
    viewer = caller(role="viewer")
    for day in range(3):
        factories.champion(registered_model=model, at=NOW + timedelta(days=day))
    first = viewer.get("events", limit=4).json()
    assert [row["count"] for row in first["results"]] == [1, 2, 3, 4]
    second = viewer.get(first["next"]).json()
    assert [row["count"] for row in second["results"]] == [5, 6]
    nothing = viewer.get("events", cursor=second["next_cursor"]).json()
    assert nothing["results"] == []
    assert nothing["next_cursor"] == second["next_cursor"]
    factories.version(registered_model=model, at=NOW + timedelta(days=4))
    later = viewer.get("events", cursor=nothing["next_cursor"]).json()
    assert [row["count"] for row in later["results"]] == [7]


@pytest.mark.django_db(transaction=True)
def test_the_feed_shows_only_my_tenants(model: RegisteredModel) -> None:
    factories.champion(registered_model=model)
    foreign = factories.registered_model(fleet=factories.fleet(tenant="globex"))
    factories.champion(registered_model=foreign)
    rows = caller(role="viewer").get("events").json()["results"]
    assert {row["tenant"] for row in rows} == {"acme"}
