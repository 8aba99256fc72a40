"""Holds are placed and lifted with an event, for many at once; a deleted version cannot be held."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from registry import history, holding, identifiers, lifecycle
from registry.models import Event, Hold
from registry.reasons import ReasonMissing
from tests.factories import NOW
from tests.registry import kept

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("R16")]
WEEK = timedelta(days=7)


def place(*versions: object, **values: object) -> holding.Placed:
    given = {"placed_by": "user", "reason": "audit", "until": None, "actor": "ada", "at": NOW, **values}
    return holding.place([getattr(each, "pk", each) for each in versions], **given)  # type: ignore[arg-type]


def test_a_hold_is_placed_and_lifted_with_its_events() -> None:
    model, versions = kept.model()
    [hold] = place(versions[0], until=NOW + WEEK, placed_by="ab-test").holds
    assert (hold.version_id, hold.until, hold.placed_by) == (versions[0].pk, NOW + WEEK, "ab-test")
    assert holding.lift([hold.pk], actor="bob", reason="The test is over.", at=NOW) == 1
    assert not Hold.objects.exists()
    events = Event.objects.filter(registered_model=model).order_by("-count")[:2]
    assert [(each.kind, each.actor, each.cause, each.reason, each.to_version_id) for each in events] == [
        ("registry.version.hold_lifted", "bob", "ab-test", "The test is over.", versions[0].pk),
        ("registry.version.held", "ada", "ab-test", "audit", versions[0].pk),
    ]
    assert history.verify(model) is None


def test_many_are_held_in_a_few_statements(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    versions = [kept.model(versions=1)[1][0] for _ in range(30)]
    with django_assert_max_num_queries(14):
        assert len(place(*versions).holds) == 30
    with django_assert_max_num_queries(16):
        assert holding.lift(list(Hold.objects.values_list("pk", flat=True)), actor="a", reason="b", at=NOW) == 30


def test_what_cannot_be_held_is_told_and_the_others_are() -> None:
    _, versions = kept.model()
    lifecycle.archive([versions[0].pk], actor="a", reason="b", at=NOW)
    lifecycle.forget([versions[0].pk], actor="a", reason="b", at=NOW)
    unknown = identifiers.uuid7()
    done = place(versions[0], unknown, versions[1])
    assert [hold.version_id for hold in done.holds] == [versions[1].pk]
    assert {key: error.code for key, error in done.refused.items()} == {
        versions[0].pk: "version_gone", unknown: "version_unknown",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "error"),
    [({"reason": " "}, ReasonMissing), ({"until": NOW}, holding.HoldEnded)],
    ids=["without a reason", "over already"],
)
def test_a_hold_that_says_or_keeps_nothing_is_refused(values: dict[str, object], error: type[Exception]) -> None:
    _, versions = kept.model()
    with pytest.raises(error):
        place(versions[0], **values)
    assert not Hold.objects.exists()


def test_lifting_twice_is_told_once() -> None:
    _, versions = kept.model()
    [hold] = place(versions[0]).holds
    assert [holding.lift([hold.pk], actor="a", reason="b", at=NOW) for _ in range(2)] == [1, 0]
    assert Event.objects.filter(kind=holding.LIFTED).count() == 1
    with pytest.raises(ReasonMissing):
        holding.lift([hold.pk], actor="a", reason="", at=NOW)


def test_a_held_version_is_neither_archived_nor_forgotten() -> None:
    _, versions = kept.model()
    place(versions[0])
    assert lifecycle.archive([versions[0].pk], actor="a", reason="b", at=NOW).changed == frozenset()
    lifecycle.archive([versions[1].pk], actor="a", reason="b", at=NOW)
    place(versions[1])
    assert lifecycle.forget([versions[1].pk], actor="a", reason="b", at=NOW).changed == frozenset()


def test_each_hold_is_told_with_whoever_placed_it_also_where_two_gave_one_reason() -> None:
    _, versions = kept.model()
    for actor, at in (("ada", NOW), ("bob", NOW + WEEK)):
        place(versions[0], actor=actor, at=at)
    place(versions[1], actor="eve")
    place(versions[0], actor="planner", placed_by="ab-test")
    told = Hold.objects.filter(version=versions[0].pk).order_by("pk")
    assert [each.holder for each in told] == ["ada", "bob", "ab-test (planner)"]
    assert Hold(version=versions[2], placed_by="user", reason="by a hand in the database").holder == "a user"


def test_a_rehearsal_places_and_lifts_nothing() -> None:
    _, versions = kept.model()
    assert len(place(versions[0], rehearsed=True, reason="").holds) == 1
    assert not Hold.objects.exists()
    [hold] = place(versions[0]).holds
    assert holding.lift([hold.pk], actor="a", reason="", at=NOW, rehearsed=True) == 1
    assert Hold.objects.count() == Event.objects.filter(kind=holding.HELD).count() == 1
